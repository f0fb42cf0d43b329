/* fuzz_instructions.c - the bytes as what is said about a voice, and as a voice's name with labels.
 */
#include "runtime/server/instructions.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void check_labels(const struct mill_labels *labels) {
    require(labels->gender >= -1 && labels->gender <= 1);
    require(labels->pitch >= -1 && labels->pitch <= 4 && labels->rate >= -1 && labels->rate <= 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mill_error err;
    struct mill_labels labels;
    char name[MILL_VOICE_REFERENCE_BYTES];
    char *text = malloc(size + 1);
    require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    mill_status status = mill_instructions_read(text, &labels, &err);
    require_message(status, &err);
    if (status == MILL_OK)
        check_labels(&labels);
    status = mill_voice_reference_read(text, name, &labels, &err);
    require_message(status, &err);
    if (status == MILL_OK) {
        check_labels(&labels);
        require(strlen(name) < sizeof name && !strchr(name, ','));
    }
    free(text);
    return 0;
}
