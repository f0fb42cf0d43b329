/* zip_stored.h - the directory of a zip archive whose members are stored as they are, so that their
 * bytes can be used in place.
 *
 * A library that reads zip files hands out the content of members but not where they lie, and that
 * is the one thing needed here: PyTorch files hold gigabytes that are to be mapped. So this reads
 * the directory itself, strictly: central and local headers must agree, members must not overlap,
 * names must differ, and only method 0 without encryption is accepted. 64-bit archives (PyTorch
 * always writes their end record) are read. */
#ifndef MILL_IO_ZIP_STORED_H
#define MILL_IO_ZIP_STORED_H

#include "runtime/base/status.h"

#include <stddef.h>
#include <stdint.h>

struct mill_zip_member {
    const char *name; /* borrowed from the archive, not zero-terminated */
    size_t name_length;
    size_t header; /* file offset of the local header */
    size_t offset; /* file offset of the content */
    size_t bytes;
    uint32_t crc32; /* of the content; not checked here */
};

struct mill_zip {
    struct mill_zip_member *members; /* owned; sorted by name, bytewise */
    size_t n_members;
};

/* `data` is borrowed and must outlive the result. Messages name the member and the byte, not the
 * path. */
mill_status mill_zip_open(struct mill_zip *zip, const uint8_t *data, size_t size,
                          struct mill_error *err);
void mill_zip_close(struct mill_zip *zip);

/* Borrowed; NULL when there is none of that name. */
const struct mill_zip_member *mill_zip_find(const struct mill_zip *zip, const char *name,
                                            size_t name_length);

#endif
