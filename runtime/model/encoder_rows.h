/* encoder_rows.h - rows of the encoders' weights: the recipes that weight_rows.h does not have. */
#ifndef MILL_MODEL_ENCODER_ROWS_H
#define MILL_MODEL_ENCODER_ROWS_H

#include "runtime/model/weight_rows.h"

/* A convolution as one tap over tap-major rows: tensor[0] [out][in][tap] to [out][tap][in];
 * tensor_rows[1] = taps, n_in = taps * in, scratch n_in values. */
mill_row_make mill_rows_flat_taps;
/* Batch norm as y = x * gain + shift, eps 1e-5: tensor[0] = weight, tensor[1] = running variance,
 * tensor[2] = running mean, `gain` = bias. Row r is channel r, of one element. */
mill_row_make mill_rows_batch_gain, mill_rows_batch_shift;
/* Weight norm with a gain per tap, of one group of a grouped convolution: v = tensor[0] [all
 * out][in][tap], |v| over out and in, g = tensor[1] [tap]; tensor_rows[0] = the group's first
 * output, tensor_rows[1] = all outputs. Scratch: taps * n_in values. */
mill_row_make mill_rows_tap_norm;
mill_row_prepare mill_rows_prepare_tap_norm;
/* Row r is element tensor_rows[0] + r of tensor[0]. */
mill_row_make mill_rows_offset;
/* Rows of tensor[0] at length 1. */
mill_row_make mill_rows_unit;
/* The windowed Fourier transform of `shape`'s spectrogram: for each of n_fft / 2 + 1 bins a row of
 * cosines and one of sines, times the periodic Hann window, which lies in the middle of n_fft
 * samples; n_in = the window's samples. Only magnitudes are of use: the sign of the sines is left
 * away. */
mill_row_make mill_rows_fourier;
/* Triangles of the mel scale (Slaney's, of area 1 each): [n_mels][n_fft / 2 + 1]. */
mill_row_make mill_rows_mel;

#endif
