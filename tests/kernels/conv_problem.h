/* conv_problem.h - a random convolution of many spans on any backend's device, for tests that
 * compare ways of computing it. Failures are cmocka assertions. One thread. */
#ifndef MILL_TESTS_KERNELS_CONV_PROBLEM_H
#define MILL_TESTS_KERNELS_CONV_PROBLEM_H

#include "kernels/backend.h"

enum conv_kind { CONV_PLAIN, CONV_TRANSPOSED, CONV_UNIT };

struct conv_sizes {
    enum conv_kind kind;
    enum mill_dtype dtype;
    int32_t n_out, n_taps, n_in;
    int32_t step;            /* dilation, or stride */
    int32_t n_spans, n_rows; /* input rows of a span, about */
};

struct conv_problem {
    struct conv_sizes sizes;
    const struct mill_backend_ops *ops;
    struct mill_backend *backend;
    struct mill_weight w, pointwise;
    void *image[2];
    struct mill_matrix x, y;
    float *alpha; /* device */
    struct mill_span *spans;
};

/* Spans begin at times of all phases; every fifth is empty. A plain convolution adds what y held.
 */
void conv_problem_open(struct conv_problem *p, const char *backend, const struct conv_sizes *sizes);
void conv_problem_close(struct conv_problem *p);

/* y anew, the same every time; then some of the spans. */
void conv_problem_clear(struct conv_problem *p);
void conv_problem_run(struct conv_problem *p, const struct mill_span *spans, int32_t n_spans);
/* All of y, finite; owned by the caller. */
float *conv_problem_result(struct conv_problem *p);
size_t conv_problem_result_bytes(const struct conv_problem *p);

#endif
