/* zip_write.c - see zip_write.h and PKWARE's APPNOTE.TXT. */
#include "tests/support/zip_write.h"

#include <string.h>
#include <zlib.h>

static bool put(struct mill_buffer *out, uint64_t value, size_t bytes) {
    return mill_buffer_append(out, &value, bytes, NULL) == MILL_OK; /* little-endian machines */
}

/* What local and central headers have in common, from the version on. */
static bool put_common(struct mill_buffer *out, const struct test_zip_member *m) {
    uLong crc = crc32(0, m->size ? m->data : Z_NULL, (uInt)m->size);
    return put(out, 20, 2) && put(out, 0, 2) && put(out, m->method, 2) && put(out, 0, 4) &&
           put(out, m->size ? crc : 0, 4) && put(out, m->size, 4) && put(out, m->size, 4) &&
           put(out, strlen(m->name), 2) && put(out, 0, 2);
}

static bool put_end(struct mill_buffer *out, size_t n, size_t start, size_t end, bool wide) {
    bool ok = true;
    if (wide)
        ok = put(out, 0x06064b50, 4) && put(out, 44, 8) && put(out, 45, 2) && put(out, 45, 2) &&
             put(out, 0, 8) && put(out, n, 8) && put(out, n, 8) && put(out, end - start, 8) &&
             put(out, start, 8) && put(out, 0x07064b50, 4) && put(out, 0, 4) && put(out, end, 8) &&
             put(out, 1, 4);
    return ok && put(out, 0x06054b50, 4) && put(out, 0, 4) && put(out, n, 2) && put(out, n, 2) &&
           put(out, end - start, 4) && put(out, start, 4) && put(out, 0, 2);
}

bool test_zip_write(struct mill_buffer *out, const struct test_zip_member *members, size_t n,
                    bool wide) {
    enum { MEMBERS_MAXIMUM = 64 };
    size_t at[MEMBERS_MAXIMUM];
    if (n > MEMBERS_MAXIMUM)
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        const struct test_zip_member *m = &members[i];
        at[i] = out->size;
        ok = put(out, 0x04034b50, 4) && put_common(out, m) &&
             mill_buffer_append(out, m->name, strlen(m->name), NULL) == MILL_OK &&
             mill_buffer_append(out, m->data, m->size, NULL) == MILL_OK;
    }
    size_t start = out->size;
    for (size_t i = 0; ok && i < n; i++) {
        const struct test_zip_member *m = &members[i];
        ok = put(out, 0x02014b50, 4) && put(out, 20, 2) && put_common(out, m) && put(out, 0, 2) &&
             put(out, 0, 2) && put(out, 0, 2) && put(out, 0, 4) && put(out, at[i], 4) &&
             mill_buffer_append(out, m->name, strlen(m->name), NULL) == MILL_OK;
    }
    return ok && put_end(out, n, start, out->size, wide);
}
