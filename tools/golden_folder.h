/* golden_folder.h - a folder of golden data: manifest.json, and a .npy file for each array that it
 * lists; and the folder that our own arrays are dumped to.
 *
 * An array's name is GROUP.ITEM.LEAF ("lm.clone.hidden"): GROUP says which part of the model, ITEM
 * one case of it, LEAF what the numbers are. Here an item is named together with its group. One
 * owner, one thread. */
#ifndef MILL_TOOLS_GOLDEN_FOLDER_H
#define MILL_TOOLS_GOLDEN_FOLDER_H

#include "runtime/io/config.h"
#include "runtime/io/npy.h"

#include <stdbool.h>

enum { GOLDEN_NAME = 200 }; /* bytes of the longest name, with its end */

struct golden_folder {
    const char *path, *dump; /* borrowed; dump NULL = none */
    json_t *manifest;
    int n_arrays;
    struct golden_entry {
        const char *name; /* the manifest's */
        bool used;        /* read or, as a margin, understood */
    } * entries;
};

struct golden_array {
    void *data; /* owned */
    int32_t n_dims;
    int64_t shape[MILL_NPY_DIMS];
    size_t n; /* elements */
};

mill_status golden_folder_open(struct golden_folder *folder, const char *path, const char *dump,
                               struct mill_error *err);
void golden_folder_close(struct golden_folder *folder);

/* The next item of a group that has such a leaf, from *at on (0 at first); false at the end. */
bool golden_folder_next(const struct golden_folder *folder, int *at, const char *group,
                        const char *leaf, char item[GOLDEN_NAME]);
bool golden_folder_has(const struct golden_folder *folder, const char *item, const char *leaf);

/* An array of exactly this type and number of dimensions, none of them empty. On failure
 * out->data is NULL. */
mill_status golden_folder_read(struct golden_folder *folder, const char *item, const char *leaf,
                               enum mill_dtype dtype, int32_t n_dims, struct golden_array *out,
                               struct mill_error *err);

/* Our own array under the same name; nothing where nothing is to be dumped. */
mill_status golden_folder_dump(const struct golden_folder *folder, const char *item,
                               const char *leaf, enum mill_dtype dtype,
                               const struct golden_array *like, const void *data,
                               struct mill_error *err);

#endif
