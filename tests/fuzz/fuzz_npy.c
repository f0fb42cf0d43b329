/* fuzz_npy.c - the bytes as an .npy file. */
#include "runtime/io/npy.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mill_npy npy;
    struct mill_error err;
    mill_status status = mill_npy_parse(&npy, "f", data, size, &err);
    require_message(status, &err);
    if (status == MILL_OK) {
        const uint8_t *array = npy.data;
        size_t bytes = npy.n_elements * mill_dtype_bytes(npy.dtype);
        require(array >= data && array + bytes == data + size);
    }
    mill_npy_close(&npy);
    return 0;
}
