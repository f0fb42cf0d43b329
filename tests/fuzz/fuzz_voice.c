/* fuzz_voice.c - voice files from anywhere: whatever the bytes, a checked voice or a message. What
 * is JSON is sealed with the right checksum and read again, so that damage is not all that is ever
 * found. */
#include "runtime/voice/voice.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void read_voice(const char *data, size_t size, const struct mill_voice_model *model) {
    struct mill_voice voice;
    struct mill_error err = {""};
    char id[MILL_VOICE_ID_BYTES];
    mill_status status = mill_voice_parse(&voice, "f", data, size, model, &err);
    require_message(status, &err);
    require((status == MILL_OK) == (voice.global != NULL));
    for (int32_t i = 0; model && i < voice.n_global; i++)
        require(voice.n_global == 32 && voice.global[i] >= 0 && voice.global[i] < 4096);
    for (int32_t i = 0; model && i < voice.n_semantic; i++)
        require(voice.transcript && voice.semantic[i] >= 0 && voice.semantic[i] < 8192);
    if (status == MILL_OK)
        require(mill_voice_check_name(voice.name, NULL) == MILL_OK &&
                mill_voice_id(id, &voice, NULL) == MILL_OK &&
                mill_voice_consent_id(id, &voice, NULL) == MILL_OK);
    mill_voice_deinit(&voice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct mill_voice_model model = {"0123456789abcdef", 32, 4096, 8192};
    char hex[MILL_VOICE_HASH_BYTES];
    json_t *root;
    read_voice((const char *)data, size, NULL);
    if (mill_json_parse(&root, "f", (const char *)data, size, NULL) < 0)
        return 0;
    if (json_is_object(root) && mill_voice_checksum(hex, root, NULL) == MILL_OK) {
        json_object_set_new(root, "checksum", json_string(hex));
        char *text = json_dumps(root, JSON_COMPACT);
        if (text) {
            read_voice(text, strlen(text), NULL);
            read_voice(text, strlen(text), &model);
        }
        free(text);
    }
    json_decref(root);
    return 0;
}
