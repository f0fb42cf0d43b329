/* voice_model.c - the mark of the model in a folder, by which its voices are told from others'. */
#include "runtime/base/file.h"
#include "runtime/model/checkpoint_write.h"
#include "runtime/voice/voice.h"

#include <stdlib.h>

enum { MARKER_BYTES = 4096 };

/* A synthetic checkpoint's marker tells its recipe, and other weights make other tokens; every
 * trained model of this kind has the published codec. */
static mill_status model_name(struct mill_buffer *name, const char *folder, bool synthetic,
                              struct mill_error *err) {
    if (!synthetic)
        return mill_buffer_append(name, "Spark-TTS", sizeof "Spark-TTS", err);
    char *path = mill_path_join(folder, MILL_SYNTHETIC_MARKER);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    mill_status status = mill_file_read(path, name, err);
    free(path);
    return status == MILL_OK ? mill_buffer_append(name, "", 1, err) : status;
}

mill_status mill_voice_model_of(struct mill_voice_model *out, const char *folder,
                                const struct mill_shape *shape, bool synthetic,
                                struct mill_error *err) {
    struct mill_buffer name;
    mill_buffer_init(&name, MARKER_BYTES);
    mill_status status = model_name(&name, folder, synthetic, err);
    if (status == MILL_OK)
        status = mill_voice_model_init(out, shape, name.data, err);
    mill_buffer_deinit(&name);
    return status;
}

mill_status mill_voice_model_open(struct mill_voice_model *out, struct mill_shape *shape,
                                  const char *folder, struct mill_error *err) {
    MILL_TRY(mill_shape_read(shape, folder, err));
    return mill_voice_model_of(out, folder, shape, mill_checkpoint_is_synthetic(folder), err);
}
