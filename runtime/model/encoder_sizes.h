/* encoder_sizes.h - sizes of the encoders that no configuration file names: upstream has them as
 * literals. */
#ifndef MILL_MODEL_ENCODER_SIZES_H
#define MILL_MODEL_ENCODER_SIZES_H

enum {
    MILL_ECAPA_CHANNELS = 512, /* of the published models; "ecapa_channels" tells of others */
    MILL_ECAPA_TAPS = 5,
    MILL_ECAPA_BLOCKS = 3, /* "layer2" to "layer4"; block i has dilation 2 + i */
    MILL_ECAPA_RES_TAPS = 3,
    MILL_ECAPA_SCALE = 8, /* Res2: pieces of a row, the last of which is passed on as it is */
    MILL_ECAPA_SQUEEZE = 128,
    MILL_PERCEIVER_LAYERS = 2,
    MILL_PERCEIVER_HEADS = 8,
    MILL_PERCEIVER_INNER = MILL_PERCEIVER_HEADS * 64,
    MILL_WAV2VEC2_LAYERS = 16 /* that run: features are the mean of hidden states 11, 14 and 16 */
};

/* Width of the perceiver's feed-forward layer: int(d * 4 * 2 / 3). */
static inline int mill_perceiver_feed_forward(int latent) {
    return latent * 8 / 3;
}

#endif
