/* fuzz_pickle.c - the bytes as data.pkl in an archive that is otherwise right: with its checksum
 * correct, mutations reach the pickle reader. */
#include "tests/fuzz/fuzz_tensors.h"
#include "tests/support/zip_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t storage[64];
    const struct test_zip_member members[] = {
        {"w/data.pkl", data, size, 0},
        {"w/data/0", storage, sizeof storage, 0},
        {"w/data/1", storage, 12, 0},
        {"w/data/2", storage, 0, 0},
    };
    struct mill_buffer file;
    mill_buffer_init(&file, 64 << 20);
    if (test_zip_write(&file, members, sizeof members / sizeof *members, true)) {
        struct mill_tensors *tensors;
        struct mill_error err;
        mill_status status =
            mill_torch_parse(&tensors, "f", (const uint8_t *)file.data, file.size, &err);
        require_tensors(status, tensors, file.size, &err);
    }
    mill_buffer_deinit(&file);
    return 0;
}
