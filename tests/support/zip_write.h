/* zip_write.h - a tiny writer of zip archives in memory, for tests and fuzz targets: good ones as
 * PyTorch makes them, or spoilt ones, by editing the bytes afterwards. */
#ifndef MILL_TESTS_ZIP_WRITE_H
#define MILL_TESTS_ZIP_WRITE_H

#include "runtime/base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

struct test_zip_member {
    const char *name;
    const void *data;
    size_t size;
    uint16_t method; /* 0 = stored; the data is written as it is in any case */
};

/* Local headers and content, directory, end record; with `wide` also a 64-bit end record. Checksums
 * are right. False when memory or the buffer is short. */
bool test_zip_write(struct mill_buffer *out, const struct test_zip_member *members, size_t n,
                    bool wide);

#endif
