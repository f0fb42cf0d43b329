/* golden_folder.c - reads what a manifest lists, by name; the files are not trusted. */
#include "tools/golden_folder.h"

#include "runtime/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_MANIFEST = 1 << 24 };

static mill_status list_arrays(struct golden_folder *folder, struct mill_error *err) {
    const json_t *arrays;
    mill_status status = mill_config_object(folder->manifest, "arrays", &arrays, err);
    if (status < 0)
        return mill_context(err, status, "%s/manifest.json", folder->path);
    folder->entries = mill_alloc_array(json_object_size(arrays), sizeof *folder->entries);
    if (!folder->entries)
        return mill_fail(err, MILL_E_MEMORY, "%s: no memory for its names", folder->path);
    const char *name;
    json_t *facts;
    json_object_foreach((json_t *)(uintptr_t)arrays, name, facts) {
        if (strlen(name) >= GOLDEN_NAME || strchr(name, '/'))
            return mill_fail(err, MILL_E_INPUT,
                             "%s/manifest.json: array '%.40s': not a name of this format",
                             folder->path, name);
        folder->entries[folder->n_arrays++].name = name;
    }
    return MILL_OK;
}

mill_status golden_folder_open(struct golden_folder *folder, const char *path, const char *dump,
                               struct mill_error *err) {
    *folder = (struct golden_folder){.path = path, .dump = dump};
    char *manifest = mill_path_join(path, "manifest.json");
    if (!manifest)
        return mill_fail(err, MILL_E_MEMORY, "%s: no memory", path);
    mill_status status = mill_json_open(&folder->manifest, manifest, LARGEST_MANIFEST, err);
    free(manifest);
    if (status >= 0)
        status = list_arrays(folder, err);
    if (status >= 0 && dump)
        status = mill_folder_make(dump, err);
    if (status < 0)
        golden_folder_close(folder);
    return status;
}

void golden_folder_close(struct golden_folder *folder) {
    free(folder->entries);
    json_decref(folder->manifest);
    *folder = (struct golden_folder){0};
}

bool golden_folder_next(const struct golden_folder *folder, int *at, const char *group,
                        const char *leaf, char item[GOLDEN_NAME]) {
    size_t group_length = strlen(group);
    while (*at < folder->n_arrays) {
        const char *name = folder->entries[(*at)++].name;
        const char *dot = strrchr(name, '.');
        if (!dot || strncmp(name, group, group_length) != 0 || name[group_length] != '.' ||
            dot == name + group_length || strcmp(dot + 1, leaf) != 0)
            continue;
        size_t length = (size_t)(dot - name);
        memcpy(item, name, length);
        item[length] = '\0';
        return true;
    }
    return false;
}

static struct golden_entry *find(const struct golden_folder *folder, const char *item,
                                 const char *leaf) {
    size_t length = strlen(item);
    for (int i = 0; i < folder->n_arrays; i++) {
        const char *name = folder->entries[i].name;
        if (strncmp(name, item, length) == 0 && name[length] == '.' &&
            strcmp(name + length + 1, leaf) == 0)
            return &folder->entries[i];
    }
    return NULL;
}

bool golden_folder_has(const struct golden_folder *folder, const char *item, const char *leaf) {
    return find(folder, item, leaf) != NULL;
}

static mill_status copy_array(const struct mill_npy *npy, const char *path, enum mill_dtype dtype,
                              int32_t n_dims, struct golden_array *out, struct mill_error *err) {
    if (npy->dtype != dtype || npy->n_dims != n_dims || npy->n_elements == 0)
        return mill_fail(err, MILL_E_INPUT,
                         "%s: %zu elements of %s in %d dimensions; %s in %d were expected", path,
                         npy->n_elements, mill_dtype_name(npy->dtype), npy->n_dims,
                         mill_dtype_name(dtype), n_dims);
    out->data = mill_alloc_array(npy->n_elements, mill_dtype_bytes(dtype));
    if (!out->data)
        return mill_fail(err, MILL_E_MEMORY, "%s: no memory", path);
    memcpy(out->data, npy->data, npy->n_elements * mill_dtype_bytes(dtype));
    out->n_dims = n_dims;
    out->n = npy->n_elements;
    memcpy(out->shape, npy->shape, sizeof out->shape);
    return MILL_OK;
}

/* FOLDER/ITEM.LEAF.npy in new memory. */
static char *array_path(const char *folder, const char *item, const char *leaf) {
    char *path;
    return asprintf(&path, "%s/%s.%s.npy", folder, item, leaf) < 0 ? NULL : path;
}

mill_status golden_folder_read(struct golden_folder *folder, const char *item, const char *leaf,
                               enum mill_dtype dtype, int32_t n_dims, struct golden_array *out,
                               struct mill_error *err) {
    *out = (struct golden_array){0};
    struct golden_entry *entry = find(folder, item, leaf);
    if (!entry)
        return mill_fail(err, MILL_E_INPUT, "%s: %s.%s is missing", folder->path, item, leaf);
    char *path = array_path(folder->path, item, leaf);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "%s: no memory", folder->path);
    struct mill_npy npy = {0};
    mill_status status = mill_npy_open(&npy, path, err);
    if (status >= 0) {
        status = copy_array(&npy, path, dtype, n_dims, out, err);
        mill_npy_close(&npy);
    }
    free(path);
    entry->used = status >= 0;
    return status;
}

mill_status golden_folder_dump(const struct golden_folder *folder, const char *item,
                               const char *leaf, enum mill_dtype dtype,
                               const struct golden_array *like, const void *data,
                               struct mill_error *err) {
    if (!folder->dump)
        return MILL_OK;
    char *path = array_path(folder->dump, item, leaf);
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "%s: no memory", folder->dump);
    mill_status status = mill_npy_write(path, dtype, like->n_dims, like->shape, data, err);
    free(path);
    return status;
}
