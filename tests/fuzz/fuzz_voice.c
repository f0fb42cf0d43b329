/* fuzz_voice.c - voice files from anywhere: whatever the bytes, a checked voice or a message. */
#include "runtime/voice/voice.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mill_shape shape = {0};
    shape.bicodec.speaker.n_tokens = 32;
    shape.bicodec.speaker.n_levels = 2;
    shape.bicodec.speaker.levels[0] = shape.bicodec.speaker.levels[1] = 64;
    struct mill_voice voice;
    struct mill_error err;
    mill_status status = mill_voice_parse(&voice, "f", (const char *)data, size, &shape, &err);
    require_message(status, &err);
    require((status == MILL_OK) == (voice.global != NULL));
    for (int32_t i = 0; i < voice.n_global; i++)
        require(voice.n_global == 32 && voice.global[i] >= 0 && voice.global[i] < 4096);
    mill_voice_deinit(&voice);
    return 0;
}
