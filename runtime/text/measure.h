/* measure.h - how much there is to say: what a text's length in sound is estimated from. No state.
 */
#ifndef MILL_TEXT_MEASURE_H
#define MILL_TEXT_MEASURE_H

#include <stddef.h>
#include <stdint.h>

/* Syllables are estimated: an ideograph, a kana, a hangul block is one, a digit one and a half,
 * other letters a third (English has 2.9 to 3.1 letters a syllable). */
struct mill_text_size {
    int32_t n_characters; /* letters and digits; 0 = nothing that can be spoken */
    int32_t n_pauses; /* places where a reader may rest: . ! ? : ; , and their like, line ends */
    double syllables;
};
/* Of UTF-8; what is not UTF-8 counts as nothing. */
struct mill_text_size mill_text_measure(const char *utf8, size_t n_bytes);

#endif
