/* bicodec_machine.c - see bicodec_run.h: the memory of a machine, for the most rows that a call can
 * bring together. */
#include "runtime/model/bicodec_run.h"

#include "runtime/base/memory.h"

#include <stdlib.h>

/* Rows of a time line, the kept ones included, that a call may bring together: those emitted, and
 * for each piece what it reaches to both sides where it begins in the middle of an utterance. A
 * piece that goes on keeps fewer. */
static size_t most_rows(const struct mill_bicodec_machine *m, const struct mill_range *one_frame,
                        int64_t rate) {
    int64_t around = one_frame->end - one_frame->first - rate;
    return (size_t)(m->sizes.max_frames * rate + m->sizes.max_pieces * around);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Elements of each slab; `frame` are the rows for one frame far from both ends. */
static void slab_elements(const struct mill_bicodec_machine *m, const struct mill_range *frame,
                          size_t elements[MILL_BICODEC_SLABS]) {
    const struct mill_bicodec_shape *shape = &m->weights->shape;
    size_t rows = most_rows(m, &frame[0], 1), dim = (size_t)shape->prenet.dim;
    size_t input = (size_t)shape->quantizer.input, output = (size_t)shape->generator.input;
    elements[0] = rows * dim;
    elements[1] = rows * larger(input, larger(output, dim));
    elements[2] = rows * larger(output, dim + (size_t)shape->prenet.intermediate);
    for (int32_t k = mill_bicodec_first_generator_layer(shape) + 1; k < m->n_layers; k++) {
        struct mill_bicodec_layer layer = mill_bicodec_layer_at(shape, k);
        int64_t rate = layer.rows_per_frame / layer.stride;
        size_t band = most_rows(m, &frame[k], rate) * (size_t)layer.columns;
        elements[0] = larger(elements[0], band);
        elements[1] = larger(elements[1], band);
    }
}

static void carve(struct mill_bicodec_machine *m, struct mill_arena *arena,
                  const size_t elements[MILL_BICODEC_SLABS]) {
    m->index = mill_arena_take(arena, (size_t)m->n_index * sizeof *m->index);
    for (int i = 0; i < MILL_BICODEC_SLABS; i++)
        m->slab[i] = mill_arena_take(arena, elements[i] * sizeof *m->slab[i]);
    size_t mark = mill_arena_mark(arena);
    for (int32_t k = 0; k < m->n_layers; k++) {
        struct mill_bicodec_layer layer = mill_bicodec_layer_at(&m->weights->shape, k);
        m->states[k] = mill_arena_take(arena, (size_t)m->sizes.n_states *
                                                  (size_t)mill_bicodec_layer_keeps(&layer) *
                                                  (size_t)layer.columns * sizeof *m->states[k]);
    }
    m->state_bytes = mill_arena_mark(arena) - mark;
}

static mill_status open_host(struct mill_bicodec_machine *m, size_t rows) {
    size_t adaptive = 1 + (size_t)m->weights->shape.prenet.n_layers;
    size_t pieces = (size_t)m->sizes.max_pieces;
    m->n_index = (int32_t)(rows * (1 + adaptive));
    m->host_index = m->ops->host_alloc(m->backend, (size_t)m->n_index * sizeof *m->host_index);
    m->spans = mill_alloc_array(2 * pieces, sizeof *m->spans);
    m->places = mill_alloc_array(MILL_BICODEC_SLABS * pieces, sizeof *m->places);
    m->states = mill_alloc_array((size_t)m->n_layers, sizeof *m->states);
    return m->host_index && m->spans && m->places && m->states ? MILL_OK : MILL_E_MEMORY;
}

static mill_status open_device(struct mill_bicodec_machine *m, const struct mill_range *frame) {
    size_t elements[MILL_BICODEC_SLABS];
    slab_elements(m, frame, elements);
    struct mill_arena arena = {0};
    carve(m, &arena, elements);
    m->memory_bytes = arena.peak;
    m->memory = m->ops->alloc(m->backend, arena.peak);
    if (!m->memory)
        return MILL_E_MEMORY;
    arena = (struct mill_arena){.base = m->memory, .capacity = arena.peak};
    carve(m, &arena, elements);
    return MILL_OK;
}

mill_status
mill_bicodec_machine_open(struct mill_bicodec_machine *machine, const struct mill_backend_ops *ops,
                          struct mill_backend *backend, const struct mill_decoder_weights *weights,
                          const struct mill_bicodec_run_sizes *sizes, struct mill_error *err) {
    struct mill_bicodec_machine *m = machine;
    const struct mill_bicodec_shape *shape = &weights->shape;
    const int64_t far = INT32_MAX; /* from both ends of any utterance */
    m->ops = ops;
    m->backend = backend;
    m->weights = weights;
    m->sizes = *sizes;
    m->n_layers = mill_bicodec_n_layers(shape);
    m->scratch = mill_alloc_array((size_t)m->n_layers + 1, sizeof *m->scratch);
    if (!m->scratch)
        return mill_fail(err, MILL_E_MEMORY, "decoder: no memory for its plan");
    mill_bicodec_plan_ranges(shape, far, far + 1, INT64_MAX, m->scratch);
    int64_t frames = m->scratch[0].end - m->scratch[0].first;
    if (sizes->max_pieces < 1 || sizes->max_frames < 1 || sizes->n_states < 0 ||
        sizes->max_pieces > INT32_MAX / frames ||
        sizes->max_frames > INT32_MAX / shape->hop - sizes->max_pieces * frames)
        return mill_fail(err, MILL_E_INPUT, "decoder: %d frames in %d pieces a call",
                         sizes->max_frames, sizes->max_pieces);
    mill_status status = open_host(m, most_rows(m, &m->scratch[0], 1));
    if (status == MILL_OK)
        status = open_device(m, m->scratch);
    if (status < 0)
        return mill_fail(err, status,
                         "decoder: no memory for %d frames in %d pieces a call and %d streams "
                         "(%zu bytes)",
                         sizes->max_frames, sizes->max_pieces, sizes->n_states, m->memory_bytes);
    return MILL_OK;
}

void mill_bicodec_machine_close(struct mill_bicodec_machine *machine) {
    if (machine->memory)
        machine->ops->free(machine->backend, machine->memory);
    if (machine->host_index)
        machine->ops->host_free(machine->backend, machine->host_index);
    free(machine->scratch);
    free(machine->spans);
    free(machine->places);
    free(machine->states);
    *machine = (struct mill_bicodec_machine){0};
}
