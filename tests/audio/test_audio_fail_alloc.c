/* test_audio_fail_alloc.c - encoding with every allocation failing in turn: a clean error each
 * time, nothing left behind. Only what is written here: libavcodec ends the process when it gets no
 * memory for its options, and libsoxr does not look. */
#include "runtime/audio/encode.h"
#include "tests/support/fail_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static mill_status ignore(void *context, uint64_t offset, const void *data, size_t size,
                          struct mill_error *err) {
    (void)context, (void)offset, (void)data, (void)size, (void)err;
    return MILL_OK;
}

static mill_status encode(void *context, struct mill_error *err) {
    static const float samples[4000];
    const struct mill_audio_sink sink = {.write = ignore, .can_seek = true};
    struct mill_audio_encoder *e;
    mill_status status = mill_audio_encoder_open(&e, context, &sink, err);
    if (status == MILL_OK)
        status = mill_audio_encoder_write(e, samples, 4000, err);
    if (status == MILL_OK)
        status = mill_audio_encoder_finish(e, err);
    mill_audio_encoder_close(e);
    return status;
}

static void test_encoders(void **state) {
    (void)state;
    if (!mill_fail_alloc_works())
        skip();
    for (int format = 0; format <= MILL_AUDIO_PCM; format++) {
        struct mill_audio_encoding encoding = {.format = (enum mill_audio_format)format,
                                               .sample_rate = 16000,
                                               .comment = MILL_DISCLOSURE};
        mill_fail_alloc_sweep(encode, &encoding);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_encoders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
