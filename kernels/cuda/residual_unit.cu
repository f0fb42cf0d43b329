/* residual_unit.cu - y = x + b2 + W2 snake2(b1 + W1 * snake1(x)), in one kernel where a block can
 * hold all channels of its rows, else as two convolutions. Host code.
 *
 * The kernels sum what the convolutions of the same card sum, in the same order from the same bf16
 * values, so the bits are the same, and which way a call goes is a matter of speed. */
#include "kernels/cuda/quads.h"
#include "kernels/cuda/residual_unit.h"

/* A kernel that can do it all at once and is worth it: from half of the card busy on. (A single
 * output's sums have an order of their own, conv_single.cu.) */
static struct unit_kernel choose_kernel(const struct mill_backend *backend,
                                        const struct unit_args *args, const struct mill_span *spans,
                                        int32_t n_spans) {
    const struct conv_args *dilated = &args->dilated;
    const struct unit_kernel none = {};
    if (dilated->w.shape.dtype != MILL_BF16 || dilated->w.shape.n_out == 1 ||
        backend->capability < 80)
        return none;
    if (mill_cuda_conv_by_warp_groups(backend))
        return mill_cuda_unit_wide(dilated);
    const struct unit_kernel kernel = mill_cuda_unit_mma(dilated);
    if (!kernel.launch ||
        kernel.shared_bytes + MILL_CUDA_STATIC_SHARED_BYTES > (size_t)backend->shared_bytes)
        return none;
    int64_t blocks = 0;
    for (int32_t s = 0; s < n_spans; s++)
        blocks += (spans[s].n_y + kernel.n_rows - 1) / kernel.n_rows;
    return 2 * blocks >= backend->n_processors ? kernel : none;
}

/* ------------------------------------------------------------------ launch, in two */

/* By way of the backend's scratch memory, which has room for n_rows hidden rows. */
static mill_status launch_in_two(struct mill_backend *backend, const struct unit_args *args,
                                 int32_t n_spans, int32_t n_rows) {
    struct conv_args dilated = args->dilated, pointwise = args->dilated;
    int32_t c = dilated.w.shape.n_out, row = 0;
    dilated.y = pointwise.x = {backend->scratch, MILL_F32, n_rows, c, c};
    dilated.residual = {};
    pointwise.w = args->pointwise;
    pointwise.alpha = args->alpha2;
    pointwise.dilation = 1;
    pointwise.padding = 0;
    for (int32_t s = 0; s < n_spans; s++) {
        struct mill_span *hidden = &pointwise.spans[s];
        dilated.spans[s].y_first = hidden->x_first = row;
        hidden->n_x = hidden->n_y;
        hidden->x_place = hidden->y_place = 0;
        row += hidden->n_y;
    }
    MILL_TRY(mill_cuda_conv_launch(backend, &dilated, n_spans));
    return mill_cuda_conv_launch(backend, &pointwise, n_spans);
}

/* ------------------------------------------------------------------ the operator */

static struct unit_args unit_of(const struct mill_residual_unit_args *args) {
    struct unit_args unit = {};
    unit.dilated.y = args->y;
    unit.dilated.x = unit.dilated.residual = args->x;
    unit.dilated.w = args->dilated;
    unit.dilated.alpha = args->alpha1;
    unit.dilated.dilation = args->dilation;
    unit.dilated.padding = args->padding;
    unit.dilated.whole_x = quads_are_whole(&args->x);
    unit.dilated.whole_y = quads_are_whole(&args->y) && unit.dilated.whole_x;
    unit.pointwise = args->pointwise;
    unit.alpha2 = args->alpha2;
    return unit;
}

/* Rows first .. first + n - 1 of a span's output as a span of their own. */
static void add_span(struct conv_args *dilated, int32_t at, const struct mill_span *span,
                     int32_t first, int32_t n) {
    dilated->spans[at] = *span;
    dilated->spans[at].y_first += first;
    dilated->spans[at].y_place += first;
    dilated->spans[at].n_y = n;
    dilated->residual_first[at] = span->x_first + span->y_place + first - span->x_place;
}

/* A call under way: spans that wait for their launch. */
struct unit_run {
    struct unit_args args;
    struct unit_kernel kernel; /* launch NULL = in two */
    int32_t n_spans, n_rows;
    int32_t room; /* rows of a launch */
};

static mill_status flush(struct mill_backend *backend, struct unit_run *run) {
    int32_t n_spans = run->n_spans, n_rows = run->n_rows;
    run->n_spans = run->n_rows = 0;
    if (n_spans == 0)
        return MILL_OK;
    return run->kernel.launch ? run->kernel.launch(backend, &run->args, n_spans, &run->kernel)
                              : launch_in_two(backend, &run->args, n_spans, n_rows);
}

mill_status mill_cuda_residual_unit(struct mill_backend *backend,
                                    const struct mill_residual_unit_args *args) {
    /* Of two types, one convolution's planes (conv_wide.h) would lie where the hidden rows do. */
    if (args->dilated.shape.dtype == MILL_I8 ||
        args->pointwise.shape.dtype != args->dilated.shape.dtype)
        return MILL_E_UNSUPPORTED;
    struct unit_run run = {};
    run.args = unit_of(args);
    run.kernel = choose_kernel(backend, &run.args, args->spans, args->n_spans);
    run.room = run.kernel.launch
                   ? INT32_MAX
                   : MILL_CUDA_SCRATCH_BYTES / (int32_t)sizeof(float) / args->y.columns;
    for (int32_t s = 0; s < args->n_spans; s++)
        for (int32_t first = 0, n; first < args->spans[s].n_y; first += n) {
            int32_t left = args->spans[s].n_y - first, room = run.room - run.n_rows;
            n = left < room ? left : room;
            add_span(&run.args.dilated, run.n_spans++, &args->spans[s], first, n);
            run.n_rows += n;
            if (run.n_spans == CONV_SPANS || run.n_rows == run.room)
                MILL_TRY(flush(backend, &run));
        }
    return flush(backend, &run);
}
