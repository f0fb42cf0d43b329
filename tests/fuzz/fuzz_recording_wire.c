/* fuzz_recording_wire.c - the bytes as what a decoder that is in a stranger's hands writes. */
#include "runtime/audio/recording_wire.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mill_recording r;
    struct mill_error err;
    uint8_t *copy = malloc(size); /* aligned as a buffer is */
    require(copy != NULL || size == 0);
    if (size > 0)
        memcpy(copy, data, size);
    mill_status status = mill_wire_parse(&r, copy, size, 600, &err);
    require_message(status, &err);
    if (status == MILL_OK) {
        require(r.n_samples > 0 && r.n_samples * sizeof(float) < size);
        require(r.sample_rate >= MILL_WIRE_RATE_MIN && r.n_channels >= 1);
        for (size_t i = 0; i < r.n_samples; i++)
            require(isfinite(r.samples[i]));
    }
    free(copy);
    return 0;
}
