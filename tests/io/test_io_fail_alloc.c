/* test_io_fail_alloc.c - opening each kind of file with every allocation failing in turn: a clean
 * error each time, nothing left behind. */
#include "runtime/io/config.h"
#include "runtime/io/npy.h"
#include "runtime/io/tensors.h"
#include "tests/support/bad_input.h"
#include "tests/support/fail_alloc.h"

static const char safetensors_path[] = MILL_SCRATCH "/fail.safetensors";
static const char json_path[] = MILL_SCRATCH "/fail.json";
static const char yaml_path[] = MILL_SCRATCH "/fail.yaml";
static const char npy_path[] = MILL_SCRATCH "/fail.npy";

static void write_file(const char *path, const void *data, size_t size) {
    assert_int_equal(mill_file_write(path, data, size, NULL), MILL_OK);
}

static int write_files(void **state) {
    (void)state;
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                                 "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                                 "\"b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[2,6]}}";
    uint8_t file[8 + sizeof header - 1 + 6] = {sizeof header - 1};
    memcpy(file + 8, header, sizeof header - 1);
    write_file(safetensors_path, file, sizeof file);
    static const char json[] = "{\"a\":[1,2.5,\"text\",null,true],\"b\":{\"c\":{}}}";
    write_file(json_path, json, sizeof json - 1);
    static const char yaml[] = "a: [1, 2.5, text, null, true]\nb:\n  c: {}\n  'd': \"\\x41\"\n";
    write_file(yaml_path, yaml, sizeof yaml - 1);
    return 0;
}

static mill_status open_safetensors(void *context, struct mill_error *err) {
    (void)context;
    struct mill_tensors *t;
    mill_status status = mill_safetensors_open(&t, safetensors_path, err);
    mill_tensors_close(t);
    return status;
}

static mill_status open_torch(void *context, struct mill_error *err) {
    (void)context;
    struct mill_tensors *t;
    mill_status status = mill_torch_open(&t, MILL_TEST_DATA "/torch_state.bin", err);
    mill_tensors_close(t);
    return status;
}

static mill_status open_json(void *context, struct mill_error *err) {
    (void)context;
    json_t *json;
    mill_status status = mill_json_open(&json, json_path, 1000, err);
    json_decref(json);
    return status;
}

static mill_status open_yaml(void *context, struct mill_error *err) {
    (void)context;
    json_t *json;
    mill_status status = mill_yaml_open(&json, yaml_path, 1000, err);
    json_decref(json);
    return status;
}

static mill_status write_and_open_npy(void *context, struct mill_error *err) {
    (void)context;
    static const float data[6];
    static const int64_t shape[2] = {2, 3};
    struct mill_npy npy;
    MILL_TRY(mill_npy_write(npy_path, MILL_F32, 2, shape, data, err));
    MILL_TRY(mill_npy_open(&npy, npy_path, err));
    mill_npy_close(&npy);
    return MILL_OK;
}

static void sweep(mill_status (*attempt)(void *, struct mill_error *), long at_least) {
    if (!mill_fail_alloc_works())
        skip();
    long n = mill_fail_alloc_sweep(attempt, NULL);
    assert_true(n >= at_least); /* else the sweep tested nothing */
}

static void safetensors(void **state) {
    (void)state;
    sweep(open_safetensors, 20);
}

static void torch(void **state) {
    (void)state;
    sweep(open_torch, 10);
}

static void json(void **state) {
    (void)state;
    sweep(open_json, 10);
}

static void yaml(void **state) {
    (void)state;
    sweep(open_yaml, 20);
}

static void npy(void **state) {
    (void)state;
    sweep(write_and_open_npy, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors), cmocka_unit_test(torch), cmocka_unit_test(json),
        cmocka_unit_test(yaml),        cmocka_unit_test(npy),
    };
    return cmocka_run_group_tests(tests, write_files, NULL);
}
