/* tensors.c - the part of tensors.h that does not depend on the file's format: ownership, order,
 * search. No state; any thread. */
#include "runtime/base/memory.h"
#include "runtime/io/tensors_internal.h"

#include <stdlib.h>
#include <string.h>

struct mill_tensors *mill_tensors_new(const char *path, const uint8_t *data, size_t size, size_t n,
                                      size_t names_bytes) {
    struct mill_tensors *tensors = mill_alloc_array(1, sizeof *tensors);
    if (!tensors)
        return NULL;
    tensors->mapping = (struct mill_mapping){.data = data, .size = size};
    tensors->borrowed = true;
    tensors->path = strdup(path);
    tensors->entries = mill_alloc_array(n, sizeof *tensors->entries);
    tensors->names = mill_alloc_array(names_bytes, 1);
    tensors->n_entries = n;
    if (!tensors->path || !tensors->entries || !tensors->names) {
        mill_tensors_close(tensors);
        return NULL;
    }
    return tensors;
}

void mill_tensors_close(struct mill_tensors *tensors) {
    if (!tensors)
        return;
    if (!tensors->borrowed)
        mill_mapping_close(&tensors->mapping);
    free(tensors->names);
    free(tensors->entries);
    free(tensors->path);
    free(tensors);
}

mill_status mill_tensors_open(struct mill_tensors **out, const char *path,
                              mill_tensors_parse_fn *parse, struct mill_error *err) {
    *out = NULL;
    struct mill_mapping mapping;
    MILL_TRY(mill_mapping_open(&mapping, path, err));
    mill_status status = parse(out, path, mapping.data, mapping.size, err);
    if (status < 0)
        mill_mapping_close(&mapping);
    else
        (*out)->borrowed = false; /* the mapping now belongs to the result */
    return status;
}

static int compare_names(const void *a, const void *b) {
    const struct mill_tensor_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

mill_status mill_tensors_sort(struct mill_tensors *tensors, struct mill_error *err) {
    qsort(tensors->entries, tensors->n_entries, sizeof *tensors->entries, compare_names);
    for (size_t i = 1; i < tensors->n_entries; i++)
        if (strcmp(tensors->entries[i - 1].name, tensors->entries[i].name) == 0)
            return mill_fail(err, MILL_E_INPUT, "'%s': tensor '%.*s': the name occurs twice",
                             tensors->path, MILL_NAME_SHOWN, tensors->entries[i].name);
    return MILL_OK;
}

const struct mill_tensor_entry *mill_tensors_find(const struct mill_tensors *tensors,
                                                  const char *name) {
    struct mill_tensor_entry key = {.name = name};
    return bsearch(&key, tensors->entries, tensors->n_entries, sizeof *tensors->entries,
                   compare_names);
}

bool mill_tensors_shape_bytes(enum mill_dtype dtype, int32_t n_dims, const int64_t *shape,
                              size_t *out) {
    size_t bytes = mill_dtype_bytes(dtype);
    for (int32_t i = 0; i < n_dims; i++)
        if (!mill_mul_size(bytes, (size_t)shape[i], &bytes))
            return false;
    *out = bytes;
    return true;
}
