/* golden_check.h - the parts of the program golden_check: what they share and who checks what. */
#ifndef MILL_TOOLS_GOLDEN_CHECK_H
#define MILL_TOOLS_GOLDEN_CHECK_H

#include "runtime/engine/model.h"
#include "runtime/model/bicodec_decode.h"
#include "runtime/model/qwen2.h"
#include "tools/golden_compare.h"
#include "tools/golden_folder.h"

struct golden_run {
    const char *model_folder;
    struct golden_folder folder;
    struct golden_table table;
    struct mill_model model;
    struct mill_device device;
    struct mill_qwen2 *lm;
    struct mill_qwen2_options lm_options; /* as it was opened */
    struct mill_bicodec_decoder *decoder;
    bool exact; /* fp32: the limits of an exact implementation apply */
};

/* Limits in fp32, and what is broken rather than rounded in any precision. */
#define GOLDEN_EXACT_SNR_DB 90.0
#define GOLDEN_EXACT_LOGITS 2e-3
#define GOLDEN_EXACT_MARGIN 1e-4
#define GOLDEN_BROKEN_SNR_DB 20.0

/* Frames that the decoder is opened for. */
enum { GOLDEN_WINDOW_FRAMES = 150 };

/* Positions that the longest item of group "lm" needs, at least 1. */
mill_status golden_longest_sequence(struct golden_run *run, int64_t *out, struct mill_error *err);

/* Every item of group "lm", of group "decode", and of group "encode" (semantic tokens only where
 * the checkpoint has wav2vec2). A miss is counted in the table; a failure is a folder or a model
 * that cannot be used. */
mill_status golden_check_language_model(struct golden_run *run, struct mill_error *err);
mill_status golden_check_decoder(struct golden_run *run, struct mill_error *err);
mill_status golden_check_encoder(struct golden_run *run, struct mill_error *err);

/* The signal to noise of one array against its limit, counted as compared; dumps ours. */
mill_status golden_check_snr(struct golden_run *run, const char *item, const char *leaf,
                             const struct golden_array *golden, const float *ours,
                             struct mill_error *err);

#endif
