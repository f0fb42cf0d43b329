/* test_safetensors.c - what a safetensors file may be, and each way in which it may not: every bad
 * one is a header and a number of data bytes behind it. */
#include "runtime/base/buffer.h"
#include "runtime/io/tensors.h"
#include "tests/support/bad_input.h"

#include <stdlib.h>

static const char name[] = "model.safetensors";

/* length + header + data_bytes bytes 0, 1, 2, ... in a block of its own, so that a sanitizer sees
 * reads past its end. */
static uint8_t *make(uint64_t length, const char *header, size_t header_bytes, size_t data_bytes,
                     size_t *size) {
    *size = 8 + header_bytes + data_bytes;
    uint8_t *file = malloc(*size);
    assert_non_null(file);
    memcpy(file, &length, 8);
    memcpy(file + 8, header, header_bytes);
    for (size_t i = 0; i < data_bytes; i++)
        file[8 + header_bytes + i] = (uint8_t)i;
    return file;
}

static void good_file(void **state) {
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[4,28]},"
        "\"a.num\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
        "\"most\":{\"dtype\":\"U8\",\"shape\":[0,1,1,1,1,1,1,8],\"data_offsets\":[28,28]},"
        "\"\xc3\xa9\":{\"dtype\":\"BF16\",\"shape\":[0,7],\"data_offsets\":[28,28]}}   ";
    size_t size;
    uint8_t *file = make(sizeof header - 1, header, sizeof header - 1, 28, &size);
    struct mill_tensors *t;
    struct mill_error err;
    assert_int_equal(mill_safetensors_parse(&t, name, file, size, &err), MILL_OK);
    assert_int_equal(t->n_entries, 4);
    assert_string_equal(t->entries[0].name, "a.num");
    assert_int_equal(mill_tensors_find(t, "most")->n_dims, MILL_TENSOR_DIMS);
    const struct mill_tensor_entry *b = mill_tensors_find(t, "b");
    assert_non_null(b);
    assert_int_equal(b->dtype, MILL_F32);
    assert_int_equal(b->n_dims, 2);
    assert_int_equal(b->shape[1], 3);
    assert_int_equal(b->bytes, 24);
    assert_int_equal(t->mapping.data[b->offset], 4);
    assert_int_equal(mill_tensors_find(t, "a.num")->n_dims, 0);
    assert_int_equal(mill_tensors_find(t, "\xc3\xa9")->bytes, 0);
    assert_null(mill_tensors_find(t, "c"));
    mill_tensors_close(t);
    for (size_t cut = 0; cut < size; cut++) { /* every truncation is refused */
        uint8_t *part = malloc(cut ? cut : 1);
        memcpy(part, file, cut);
        assert_refused(mill_safetensors_parse(&t, name, part, cut, &err), &err, name);
        assert_null(t);
        free(part);
    }
    free(file);
}

#define T(rest) "{\"x.y\":{" rest "}}"

static const struct {
    const char *header;
    size_t data_bytes;
    const char *wanted;
} bad_header_cases[] = {
    {" {}", 0, "byte 8|does not start with '{'"},
    {"[]", 0, "byte 8|does not start with '{'"},
    {"{\"a\":", 0, "byte 13|header"},
    {"{} x", 0, "byte 1|header|end of file"},
    {"{\"a\xff\":1}", 0, "byte 11|header|unable to decode byte 0xff"},
    {"{\"x.y\":1}", 0, "tensor 'x.y'|object"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__|'a'|not text"},
    {"{\"__metadata__\":[]}", 0, "__metadata__"},
    {"{\"x\":{},\"x\":{}}", 0, "byte|duplicate"},
    {T("\"shape\":[1],\"data_offsets\":[0,4]"), 4, "tensor 'x.y'|dtype is missing"},
    {T("\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]"), 4,
     "tensor 'x.y'|dtype 'F31' is not known"},
    {T("\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"), 4,
     "byte|duplicate"},
    {T("\"dtype\":\"F32\",\"data_offsets\":[0,4]"), 4, "tensor 'x.y'|shape is missing"},
    {T("\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]"), 4, "'x.y'|shape[0]"},
    {T("\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]"), 4, "'x.y'|shape[0]"},
    {T("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]"), 4,
     "'x.y'|9 dimensions"},
    {T("\"dtype\":\"F32\",\"shape\":[1]"), 4, "'x.y'|data_offsets is missing"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]"), 4, "'x.y'|data_offsets"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]"), 4, "'x.y'|end (0) before"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]"), 4, "'x.y'|data_offsets"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,16]"), 4,
     "'x.y'|12 bytes past the file's end at byte"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,9223372036854775807]"), 4,
     "'x.y'|past the file's end"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,92233720368547758070]"), 4,
     "byte|too big integer"},
    {T("\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]"), 8,
     "'x.y'|at byte|has 8 bytes|F32 need 12"},
    {T("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"), 0,
     "'x.y'|too large"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"), 5, "1 bytes more"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]"), 8, "'x.y'|gap"},
    {"{}", 1, "1 bytes more"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}",
     7, "tensor 'b'|starts at byte|overlap"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
     4, "tensor '|overlap"},
    {"{\"a\\u0000b\":{}}", 0, "byte|header"},
};

static void bad_headers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_header_cases / sizeof *bad_header_cases; i++) {
        size_t size;
        size_t bytes = strlen(bad_header_cases[i].header);
        uint8_t *file =
            make(bytes, bad_header_cases[i].header, bytes, bad_header_cases[i].data_bytes, &size);
        struct mill_tensors *t;
        struct mill_error err;
        mill_status status = mill_safetensors_parse(&t, name, file, size, &err);
        assert_refused(status, &err, name);
        assert_refused(status, &err, bad_header_cases[i].wanted);
        assert_null(t);
        free(file);
    }
}

static void bad_lengths(void **state) {
    (void)state;
    static const struct {
        uint64_t length;
        const char *wanted;
    } cases[] = {
        {0, "byte 8"},
        {3, "byte 0|ends past the file's end at byte 10"},
        {1000000000, "byte 0|header length 1000000000|limit of 100000000"},
        {100000000, "byte 0|past the file's end"},
        {UINT64_MAX, "byte 0|18446744073709551615"},
        {UINT64_MAX - 7, "byte 0"},
        {INT64_MAX, "byte 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        uint8_t *file = make(cases[i].length, "{}", 2, 0, &size);
        struct mill_tensors *t;
        struct mill_error err;
        assert_refused(mill_safetensors_parse(&t, name, file, size, &err), &err, cases[i].wanted);
        free(file);
    }
}

/* A header of empty objects would take 75 times its bytes. */
static void wide_header(void **state) {
    (void)state;
    enum { N = 4000000 };
    char *header = malloc(3 * N + 8);
    assert_non_null(header);
    memcpy(header, "{\"a\":[", 6);
    for (size_t i = 0; i < N; i++)
        memcpy(header + 6 + 3 * i, "{},", 3);
    memcpy(header + 6 + 3 * N - 1, "]}", 2); /* over the last comma */
    size_t size, length = 6 + 3 * N + 1;
    uint8_t *file = make(length, header, length, 0, &size);
    struct mill_tensors *t;
    struct mill_error err;
    assert_refused(mill_safetensors_parse(&t, name, file, size, &err), &err,
                   "header|would take more than");
    free(file);
    free(header);
}

static void deep_header(void **state) {
    (void)state;
    enum { DEPTH = 1000000 };
    char *header = malloc(DEPTH + 6);
    assert_non_null(header);
    memcpy(header, "{\"a\":", 5);
    memset(header + 5, '[', DEPTH);
    size_t size;
    uint8_t *file = make(DEPTH + 5, header, DEPTH + 5, 0, &size);
    struct mill_tensors *t;
    struct mill_error err;
    assert_refused(mill_safetensors_parse(&t, name, file, size, &err), &err, "byte|depth");
    free(file);
    free(header);
}

static void files(void **state) {
    (void)state;
    struct mill_tensors *t;
    struct mill_error err;
    assert_int_equal(mill_safetensors_open(&t, MILL_SCRATCH "/no.safetensors", &err),
                     MILL_E_NOT_FOUND);
    assert_non_null(strstr(err.text, "no.safetensors"));
    static const char text[] = "{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";
    size_t size;
    uint8_t *file = make(sizeof text - 1, text, sizeof text - 1, 2, &size);
    assert_int_equal(mill_file_write(MILL_SCRATCH "/io.safetensors", file, size, &err), MILL_OK);
    free(file);
    assert_int_equal(mill_safetensors_open(&t, MILL_SCRATCH "/io.safetensors", &err), MILL_OK);
    assert_int_equal(t->mapping.data[mill_tensors_find(t, "x")->offset + 1], 1);
    assert_string_equal(t->path, MILL_SCRATCH "/io.safetensors");
    mill_tensors_close(t);
    mill_tensors_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_file),   cmocka_unit_test(bad_headers), cmocka_unit_test(bad_lengths),
        cmocka_unit_test(deep_header), cmocka_unit_test(wide_header), cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
