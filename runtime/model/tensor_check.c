/* tensor_check.c - a file held against the table of what it should hold; see tensor_table.h.
 *
 * Missing tensors and wrong ones come in the order of the modules, then the unexpected ones by
 * name. */
#include "runtime/model/tensor_table.h"

#include <stdio.h>
#include <string.h>

enum { SHAPE_TEXT_BYTES = 184, LINE_BYTES = 576 };

/* "[166000, 896]"; a scalar is "[]". */
static void shape_text(char *out, int32_t n_dims, const int64_t *shape) {
    size_t at = 0;
    out[at++] = '[';
    for (int32_t i = 0; i < n_dims && at + 24 < SHAPE_TEXT_BYTES; i++)
        at += (size_t)snprintf(out + at, SHAPE_TEXT_BYTES - at, "%s%lld", i ? ", " : "",
                               (long long)shape[i]);
    out[at++] = ']';
    out[at] = 0;
}

static bool is_float(enum mill_dtype dtype) {
    return dtype == MILL_F64 || dtype == MILL_F32 || dtype == MILL_F16 || dtype == MILL_BF16;
}

/* What is wrong with one tensor that should be there: false to stop. */
static bool compare_one(const struct mill_tensor_spec *spec, const struct mill_tensor_entry *entry,
                        unsigned needed_uses, mill_tensor_report *report, void *context) {
    char line[LINE_BYTES], expected[SHAPE_TEXT_BYTES], found[SHAPE_TEXT_BYTES];
    bool needed = spec->uses & needed_uses;
    shape_text(expected, spec->n_dims, spec->shape);
    if (!entry) {
        snprintf(line, sizeof line, "tensor '%s' %s is missing", spec->name, expected);
        return !needed || report(context, MILL_TENSOR_MISSING, line);
    }
    if (entry->n_dims != spec->n_dims ||
        memcmp(entry->shape, spec->shape, (size_t)spec->n_dims * sizeof spec->shape[0]) != 0) {
        shape_text(found, entry->n_dims, entry->shape);
        snprintf(line, sizeof line, "tensor '%s' has shape %s, and the configuration asks for %s",
                 spec->name, found, expected);
        return report(context, MILL_TENSOR_WRONG_SHAPE, line);
    }
    if (needed && !is_float(entry->dtype)) {
        snprintf(line, sizeof line,
                 "tensor '%s' is stored as %s; weights are read from F32, F64, F16 and BF16",
                 spec->name, mill_dtype_name(entry->dtype));
        return report(context, MILL_TENSOR_WRONG_DTYPE, line);
    }
    return true;
}

void mill_tensor_table_compare(const struct mill_tensor_table *table,
                               const struct mill_tensors *file, unsigned needed_uses,
                               mill_tensor_report *report, void *context) {
    for (int32_t i = 0; i < table->n_specs; i++)
        if (!compare_one(&table->specs[i], mill_tensors_find(file, table->specs[i].name),
                         needed_uses, report, context))
            return;
    if (table->file == MILL_FILE_WAV2VEC2)
        return;
    for (size_t i = 0; i < file->n_entries; i++) {
        const char *name = file->entries[i].name;
        char line[LINE_BYTES];
        if (mill_tensor_table_find(table, name))
            continue;
        snprintf(line, sizeof line, "tensor '%.200s' is unexpected%s", name,
                 strcmp(name, "lm_head.weight") == 0
                     ? ": a head of its own is not supported, only one tied to the embedding"
                     : "");
        if (!report(context, MILL_TENSOR_UNEXPECTED, line))
            return;
    }
}

struct first_problem {
    mill_status status;
    const char *path;
    struct mill_error *err;
};

static bool stop_at_first(void *context, enum mill_tensor_problem problem, const char *line) {
    struct first_problem *first = context;
    (void)problem;
    first->status = mill_fail(first->err, MILL_E_INPUT, "'%s': %s", first->path, line);
    return false;
}

mill_status mill_tensor_table_check(const struct mill_tensor_table *table,
                                    const struct mill_tensors *file, unsigned needed_uses,
                                    struct mill_error *err) {
    struct first_problem first = {MILL_OK, file->path, err};
    mill_tensor_table_compare(table, file, needed_uses, stop_at_first, &first);
    return first.status;
}
