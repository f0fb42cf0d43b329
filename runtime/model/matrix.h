/* matrix.h - making and cutting struct mill_matrix: f32, borrowed memory. */
#ifndef MILL_MODEL_MATRIX_H
#define MILL_MODEL_MATRIX_H

#include "kernels/backend.h"
#include "runtime/base/memory.h"

static inline struct mill_matrix mill_matrix_f32(float *data, int64_t rows, int32_t columns) {
    return (struct mill_matrix){data, MILL_F32, (int32_t)rows, columns, columns};
}

/* Memory of an arena; data stays NULL while it only counts. */
static inline struct mill_matrix mill_matrix_take(struct mill_arena *arena, int64_t rows,
                                                  int32_t columns) {
    size_t bytes = (size_t)rows * (size_t)columns * sizeof(float);
    return mill_matrix_f32(mill_arena_take(arena, bytes), rows, columns);
}

/* Columns [first, first + n). */
static inline struct mill_matrix mill_matrix_columns(struct mill_matrix m, int32_t first,
                                                     int32_t n) {
    m.data = (float *)m.data + first;
    m.columns = n;
    return m;
}

/* Rows [first, first + n). */
static inline struct mill_matrix mill_matrix_rows(struct mill_matrix m, int32_t first, int32_t n) {
    m.data = (float *)m.data + first * m.stride;
    m.rows = n;
    return m;
}

/* To the host; the rows lie one behind the other. Nothing where `to` is NULL. */
static inline mill_status mill_matrix_copy_out(const struct mill_backend_ops *ops,
                                               struct mill_backend *backend, float *to,
                                               struct mill_matrix m) {
    size_t bytes = (size_t)m.rows * (size_t)m.columns * sizeof *to;
    return to ? ops->copy_out(backend, to, m.data, bytes) : MILL_OK;
}

#endif
