/* test_form.c - forms as clients send them, and forms that are cut, doubled or no forms. */
#include "runtime/server/form.h"
#include "tests/support/bad_input.h"

static const char type[] = "multipart/form-data; boundary=XX";
static const char urlencoded[] = "application/x-www-form-urlencoded";

static void must_read(struct mill_form *form, const char *of_type, const char *body) {
    struct mill_error err;
    if (mill_form_read(form, of_type, body, strlen(body), &err) != MILL_OK)
        fail_msg("%s: %s", body, err.text);
}

static void assert_field(const struct mill_form *form, const char *name, const char *data) {
    const struct mill_form_field *field = mill_form_find(form, name);
    if (!field || field->size != strlen(data) || memcmp(field->data, data, field->size) != 0)
        fail_msg("field '%s' is '%.*s', not '%s'", name, field ? (int)field->size : 0,
                 field ? field->data : "", data);
}

#define PART(name, data) "--XX\r\nContent-Disposition: form-data; name=" name "\r\n\r\n" data "\r\n"

static void test_multipart(void **state) {
    (void)state;
    struct mill_form form;
    must_read(&form, type,
              PART("\"a\"", "1") PART("b; filename=\"x\"", "two\r\n--X\r\n")
                  PART("\"c d\"\r\nContent-Type: audio/wav", "") "--XX--\r\n");
    assert_int_equal(form.n_fields, 3);
    assert_field(&form, "a", "1");
    assert_field(&form, "b", "two\r\n--X\r\n");
    assert_field(&form, "c d", "");
    assert_null(mill_form_find(&form, "d"));
    mill_form_deinit(&form);
    must_read(&form, "Multipart/Form-Data;charset=x; boundary=\"XX\"", "--XX--");
    assert_int_equal(form.n_fields, 0);
    mill_form_deinit(&form);
    /* The part's own headers come in any order and case. */
    must_read(&form, type,
              "--XX\r\nContent-Type: a/b\r\ncontent-disposition:form-data; filename=\"name=z\"; "
              "name=\"q\"\r\n\r\nr\r\n--XX--");
    assert_field(&form, "q", "r");
    mill_form_deinit(&form);
}

static void test_text(void **state) {
    (void)state;
    static const struct {
        const char *data;
        size_t size;
        const char *fault; /* NULL = none */
    } rows[] = {{"caf\xc3\xa9", 5, NULL},
                {"", 0, NULL},
                {"caf\xe9", 4, "a: byte 3 is not UTF-8"},
                {"b\0c", 3, "a: a text has no zero bytes"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct mill_form_field field = {
            .name = "a", .data = rows[i].data, .size = rows[i].size};
        struct mill_error err = {""};
        mill_status status = mill_form_check_text(&field, &err);
        assert_int_equal(status, rows[i].fault ? MILL_E_INPUT : MILL_OK);
        assert_string_equal(err.text, rows[i].fault ? rows[i].fault : "");
    }
}

static void test_urlencoded(void **state) {
    (void)state;
    struct mill_form form;
    must_read(&form, urlencoded, "a=1&b=two+words%21&&c&d=%c3%A4=&e=%4a%6f%AF");
    assert_int_equal(form.n_fields, 5);
    assert_field(&form, "a", "1");
    assert_field(&form, "b", "two words!");
    assert_field(&form, "c", "");
    assert_field(&form, "d", "\xc3\xa4=");
    assert_field(&form, "e", "Jo\xaf");
    mill_form_deinit(&form);
    must_read(&form, urlencoded, "");
    mill_form_deinit(&form);
}

static void refuse(const char *of_type, const char *body, const char *parts) {
    struct mill_form form;
    struct mill_error err;
    assert_refused(mill_form_read(&form, of_type, body, strlen(body), &err), &err, parts);
    assert_null(form.memory);
}

static void test_refused(void **state) {
    (void)state;
    refuse(NULL, "a=1", "multipart/form-data");
    refuse("text/plain", "a=1", "multipart/form-data");
    refuse("multipart/form-data", "--XX--", "boundary");
    refuse("multipart/form-data; boundary=", "--XX--", "boundary");
    refuse("multipart/form-data; boundary="
           "0123456789012345678901234567890123456789012345678901234567890123456789x",
           "--", "boundary");
    refuse(type, "", "begin");
    refuse(type, "--XY--", "begin");
    refuse(type, "--XX", "cut off");
    refuse(type, PART("a", "1"), "cut off");
    refuse(type, PART("a", "1") "--XX", "cut off");
    refuse(type, PART("a", "1") "--XX\r", "cut off");
    refuse(type, PART("a", "1") "--XX-", "cut off");
    refuse(type, PART("a", "1") "--XXYY", "cut off");
    refuse(type, "--XX\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XX--", "no name");
    refuse(type, "--XX\r\nX: form-data; name=a\r\n\r\n1\r\n--XX--", "no name");
    refuse(type, "--XX\r\n\r\n--XX--", "no name");
    refuse(type, PART("\"\"", "1") "--XX--", "name");
    refuse(type, PART("a", "1") PART("a", "2") "--XX--", "'a'|twice");
    refuse(urlencoded, "a=%4", "two digits");
    refuse(urlencoded, "a=%zz", "two digits");
    refuse(urlencoded, "%00a=1", "name");
    refuse(urlencoded, "=1", "name");
    refuse(urlencoded, "%ff=1", "name|UTF-8");
    refuse(urlencoded, "a=1&a=2", "twice");
    refuse(urlencoded,
           "1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17&18&19&20&21&22&23&24&25&26&27&28&"
           "29&30&31&32&33",
           "more than 32");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multipart), cmocka_unit_test(test_text),
        cmocka_unit_test(test_urlencoded), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
