/* test_npy.c - .npy files: those of the golden data, written and read back, and bad ones. */
#include "runtime/io/npy.h"
#include "tests/support/bad_input.h"

#include <stdlib.h>

static void golden_files(void **state) {
    (void)state;
    struct mill_npy npy;
    struct mill_error err;
    if (mill_npy_open(&npy, MILL_GOLDEN "/full/decode.1.wave.npy", &err) != MILL_OK)
        fail_msg("%s", err.text);
    assert_int_equal(npy.dtype, MILL_F32);
    assert_int_equal(npy.shape[npy.n_dims - 1], 320); /* one frame of 20 ms at 16 kHz */
    assert_int_equal(npy.n_elements, 320);
    mill_npy_close(&npy);
    mill_npy_close(&npy);
}

static void round_trips(void **state) {
    (void)state;
    static const struct {
        enum mill_dtype dtype;
        int32_t n_dims;
        int64_t shape[8];
        size_t n;
    } cases[] = {
        {MILL_F32, 2, {2, 3}, 6},
        {MILL_F64, 1, {5}, 5},
        {MILL_I32, 0, {0}, 1},
        {MILL_I64, 3, {1, 0, 2}, 0},
        {MILL_U16, 8, {1, 1, 1, 1, 1, 1, 1, 2}, 2},
        {MILL_BOOL, 1, {3}, 3},
        {MILL_U8, 1, {7}, 7},
    };
    unsigned char bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 37 + 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mill_error err;
        struct mill_npy npy;
        static const char path[] = MILL_SCRATCH "/round.npy";
        assert_int_equal(
            mill_npy_write(path, cases[i].dtype, cases[i].n_dims, cases[i].shape, bytes, &err),
            MILL_OK);
        if (mill_npy_open(&npy, path, &err) != MILL_OK)
            fail_msg("%s", err.text);
        assert_int_equal(npy.dtype, cases[i].dtype);
        assert_int_equal(npy.n_dims, cases[i].n_dims);
        for (int32_t k = 0; k < npy.n_dims; k++)
            assert_int_equal(npy.shape[k], cases[i].shape[k]);
        assert_int_equal(npy.n_elements, cases[i].n);
        assert_int_equal((uintptr_t)npy.data % 64, 0);
        assert_memory_equal(npy.data, bytes, cases[i].n * mill_dtype_bytes(npy.dtype));
        mill_npy_close(&npy);
    }
    const int64_t negative = -1, one = 1;
    struct mill_error err;
    assert_refused(mill_npy_write("x.npy", MILL_BF16, 1, &one, bytes, &err), &err, "x.npy|BF16");
    assert_refused(mill_npy_write("x.npy", MILL_F32, 1, &negative, bytes, &err), &err, "x.npy");
    assert_refused(mill_npy_write("x.npy", MILL_F32, 9, &one, bytes, &err), &err, "x.npy");
    assert_int_equal(mill_npy_write(MILL_SCRATCH "/none/x.npy", MILL_F32, 1, &one, bytes, &err),
                     MILL_E_IO);
}

/* version + header + data_bytes zeros */
static mill_status parse(int version, const char *header, size_t data_bytes, struct mill_npy *npy,
                         uint8_t **file, struct mill_error *err) {
    size_t length = strlen(header), prefix = version == 1 ? 10 : 12;
    size_t size = prefix + length + data_bytes;
    *file = calloc(size, 1);
    assert_non_null(*file);
    memcpy(*file, "\x93NUMPY", 6);
    (*file)[6] = (uint8_t)version;
    (*file)[8] = (uint8_t)length;
    memcpy(*file + prefix, header, length);
    return mill_npy_parse(npy, "a.npy", *file, size, err);
}

#define D "'descr': '<f4', "
#define O "'fortran_order': False, "
#define SH "'shape': (2, 3), "

static void versions(void **state) {
    (void)state;
    static const char *const headers[] = {"{" D O SH "}   \n", "{" SH O "'descr': '<f4'}",
                                          "{" D O "'shape':(2,3)}"};
    for (int version = 1; version <= 3; version++)
        for (size_t i = 0; i < 3; i++) {
            struct mill_npy npy;
            struct mill_error err;
            uint8_t *file;
            if (parse(version, headers[i], 24, &npy, &file, &err) != MILL_OK)
                fail_msg("%s", err.text);
            assert_int_equal(npy.shape[1], 3);
            free(file);
        }
}

static void bad_files(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *wanted;
    } cases[] = {
        {"", 0, "byte 10|dictionary"},
        {"{}", 0, "'descr' is missing"},
        {"{" D O "}", 0, "'shape' is missing"},
        {"{" D D O SH "}", 24, "'descr' is there twice"},
        {"{" D O SH "'x': 1}", 24, "'x' is not known"},
        {"{" D O SH "} x", 24, "text behind"},
        {"{'descr': '<f4' " O SH "}", 24, "dictionary"},
        {"{'descr' '<f4', " O SH "}", 24, "dictionary"},
        {"{1: '<f4', " O SH "}", 24, "dictionary"},
        {"{" D O SH, 24, "dictionary"},
        {"{'descr': '>f4', " O SH "}", 24, "'>f4'"},
        {"{'descr': '|O', " O SH "}", 24, "'|O'"},
        {"{'descr': [('a', '<f4')], " O SH "}", 24, "descr"},
        {"{'descr': '<f4<f4<f4<f4<f4<f4<f4<f4<f4<f4<f4<f4', " O SH "}", 24, "descr"},
        {"{" D "'fortran_order': True, " SH "}", 24, "fortran_order"},
        {"{" D O "'shape': (2, 4), }", 24, "need 32 bytes, the file has 24"},
        {"{" D O "'shape': (2, 2), }", 24, "need 16 bytes, the file has 24"},
        {"{" D O "'shape': (-2, 3), }", 24, "not a size"},
        {"{" D O "'shape': (2 3), }", 24, "not a size"},
        {"{" D O "'shape': (6), }", 24, "not a tuple"},
        {"{" D O "'shape': [6], }", 24, "not a tuple"},
        {"{" D O "'shape': (1,1,1,1,1,1,1,1,6), }", 24, "more than 8"},
        {"{" D O "'shape': (99999999999999999999, ), }", 24, "not a size"},
        {"{" D O "'shape': (9223372036854775807, 9), }", 24, "too large"},
        {"{" D O "'shape': (9223372036854775807, ), }", 24, "too large"},
    };
    struct mill_npy npy;
    struct mill_error err;
    uint8_t *file;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mill_status status = parse(1, cases[i].header, cases[i].data_bytes, &npy, &file, &err);
        assert_refused(status, &err, "'a.npy': byte");
        assert_refused(status, &err, cases[i].wanted);
        free(file);
    }
    assert_refused(parse(4, "{" D O SH "}", 24, &npy, &file, &err), &err, "version 4.0");
    free(file);
    assert_int_equal(parse(2, "{" D O SH "}", 24, &npy, &file, &err), MILL_OK);
    for (size_t cut = 0; cut < 12 + strlen("{" D O SH "}") + 24; cut++)
        assert_refused(mill_npy_parse(&npy, "a.npy", file, cut, &err), &err, "'a.npy': byte");
    file[11] = 1; /* a header of 16 MB */
    assert_refused(mill_npy_parse(&npy, "a.npy", file, 30, &err), &err, "header of 16777");
    free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_files),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(versions),
        cmocka_unit_test(bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
