/* code_scale.h - numbers as whole multiples of a row's scale: the part of the rule in
 * kernels/README.md that all backends do alike on the host. */
#ifndef MILL_KERNELS_CODE_SCALE_H
#define MILL_KERNELS_CODE_SCALE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* Below this a row's largest magnitude counts as zero: its inverse would not be finite. */
#define MILL_SMALLEST_MAXIMUM 0x1p-100f

/* The scale of a row whose codes reach from -top to top: 0 for (all but) zeros, NaN where a value
 * is not finite. Codes are the values times *inverse, to nearest, ties to even; all 0 where that
 * is. */
static inline float mill_code_scale(const float *row, size_t n, float top, float *inverse) {
    float maximum = 0;
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        finite &= isfinite(row[i]) != 0;
        maximum = fabsf(row[i]) > maximum ? fabsf(row[i]) : maximum;
    }
    bool coded = finite && maximum >= MILL_SMALLEST_MAXIMUM;
    *inverse = coded ? top / maximum : 0;
    return coded ? maximum / top : finite ? 0 : NAN;
}

#endif
