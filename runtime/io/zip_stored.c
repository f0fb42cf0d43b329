/* zip_stored.c - see zip_stored.h. Formats as in PKWARE's APPNOTE.TXT 6.3: local header 4.3.7,
 * central header 4.3.12, end records 4.3.14 to 4.3.16, 64-bit extra field 4.5.3. All integers are
 * read through a cursor. No state. */
#include "runtime/io/zip_stored.h"

#include "runtime/base/cursor.h"
#include "runtime/base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    COMMENT_MAXIMUM = 65535,
    NAME_SHOWN = 100
};
static const uint32_t LOCAL_MAGIC = 0x04034b50, CENTRAL_MAGIC = 0x02014b50, END_MAGIC = 0x06054b50,
                      END64_MAGIC = 0x06064b50, LOCATOR_MAGIC = 0x07064b50;

/* Where the central directory lies. */
struct directory {
    uint64_t n_members, offset, bytes;
    size_t end; /* where it must end: the first end record */
};

static uint64_t get(const uint8_t *p, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* A record's fixed part at `at`, or NULL when it does not lie in the file or has another magic. */
static const uint8_t *record_at(const uint8_t *data, size_t size, uint64_t at, size_t bytes,
                                uint32_t magic) {
    if (at > size || bytes > size - at || get(data + at, 4) != magic)
        return NULL;
    return data + at;
}

/* The 64-bit end record in front of the 32-bit one at `end`: optional, but when it is there it
 * counts, and what both say must agree. */
static mill_status read_end64(struct directory *d, const uint8_t *data, size_t size,
                              struct mill_error *err) {
    const uint8_t *locator = d->end < LOCATOR_BYTES ? NULL
                                                    : record_at(data, size, d->end - LOCATOR_BYTES,
                                                                LOCATOR_BYTES, LOCATOR_MAGIC);
    bool needed = d->n_members == 0xffff || d->offset == 0xffffffff || d->bytes == 0xffffffff;
    if (!locator)
        return needed ? mill_fail(err, MILL_E_INPUT,
                                  "zip: byte %zu: the 64-bit end record is missing", d->end)
                      : MILL_OK;
    uint64_t at = get(locator + 8, 8);
    const uint8_t *p = record_at(data, size, at, END64_BYTES, END64_MAGIC);
    if (!p || get(p + 4, 8) != END64_BYTES - 12 || at != d->end - LOCATOR_BYTES - END64_BYTES)
        return mill_fail(err, MILL_E_INPUT, "zip: byte %zu: the 64-bit end record is damaged",
                         d->end - LOCATOR_BYTES);
    struct directory wide = {
        .n_members = get(p + 32, 8),
        .bytes = get(p + 40, 8),
        .offset = get(p + 48, 8),
        .end = (size_t)at,
    };
    if ((d->n_members != 0xffff && d->n_members != wide.n_members) ||
        (d->bytes != 0xffffffff && d->bytes != wide.bytes) ||
        (d->offset != 0xffffffff && d->offset != wide.offset))
        return mill_fail(err, MILL_E_INPUT, "zip: byte %zu: the two end records differ",
                         (size_t)at);
    *d = wide;
    return MILL_OK;
}

static mill_status find_directory(struct directory *d, const uint8_t *data, size_t size,
                                  struct mill_error *err) {
    const uint8_t *p = NULL;
    for (size_t comment = 0; !p && comment <= COMMENT_MAXIMUM && comment + END_BYTES <= size;
         comment++) {
        d->end = size - END_BYTES - comment;
        p = record_at(data, size, d->end, END_BYTES, END_MAGIC);
        if (p && get(p + 20, 2) != comment)
            p = NULL;
    }
    if (!p)
        return mill_fail(err, MILL_E_INPUT,
                         "zip: no end record in the last bytes before byte %zu: the file is cut or "
                         "not a zip archive",
                         size);
    if (get(p + 4, 2) != 0 || get(p + 6, 2) != 0 || get(p + 8, 2) != get(p + 10, 2))
        return mill_fail(err, MILL_E_INPUT, "zip: byte %zu: an archive in several parts", d->end);
    d->n_members = get(p + 10, 2);
    d->bytes = get(p + 12, 4);
    d->offset = get(p + 16, 4);
    MILL_TRY(read_end64(d, data, size, err));
    if (d->offset > d->end || d->bytes != d->end - d->offset)
        return mill_fail(err, MILL_E_INPUT,
                         "zip: the directory (%" PRIu64 " bytes from byte %" PRIu64
                         ") does not end at the end record at byte %zu",
                         d->bytes, d->offset, d->end);
    if (d->n_members > d->bytes / CENTRAL_BYTES)
        return mill_fail(err, MILL_E_INPUT,
                         "zip: byte %zu: %" PRIu64
                         " members do not fit into a directory of %" PRIu64 " bytes",
                         d->end, d->n_members, d->bytes);
    return MILL_OK;
}

/* What a central header says; the sizes as they are after the 64-bit extra field. */
struct central {
    uint16_t flags, method;
    uint64_t packed, bytes, header;
};

/* The 64-bit extra field holds, in this order, those of the three values that the header left at
 * all ones. */
static bool read_extra(struct central *central, const uint8_t *extra, size_t size) {
    struct mill_cursor c = {.data = extra, .size = size};
    uint64_t *wide[] = {&central->bytes, &central->packed, &central->header};
    uint16_t id, length;
    while (mill_cursor_u16(&c, &id) && mill_cursor_u16(&c, &length)) {
        const uint8_t *field = mill_cursor_take(&c, length);
        if (!field)
            return false;
        struct mill_cursor values = {.data = field, .size = length};
        for (int i = 0; id == 1 && i < 3; i++)
            if (*wide[i] == 0xffffffff && !mill_cursor_u64(&values, wide[i]))
                return false;
    }
    return true;
}

static mill_status check_method(const struct central *central, struct mill_error *err) {
    if (central->flags & 1)
        return mill_fail(err, MILL_E_INPUT, "is encrypted");
    if (central->method != 0)
        return mill_fail(err, MILL_E_INPUT,
                         "is compressed (method %u): only stored members can be used in place; "
                         "load the file with torch.load and write it with torch.save",
                         (unsigned)central->method);
    if (central->packed != central->bytes)
        return mill_fail(err, MILL_E_INPUT, "stored and real size differ");
    return MILL_OK;
}

/* Compare with the local header and find the content. `limit` = start of the directory. */
static mill_status locate(struct mill_zip_member *member, const struct central *central,
                          const uint8_t *data, size_t limit, struct mill_error *err) {
    const uint8_t *p = record_at(data, limit, central->header, LOCAL_BYTES, LOCAL_MAGIC);
    if (!p)
        return mill_fail(err, MILL_E_INPUT, "no local header at byte %" PRIu64, central->header);
    member->header = (size_t)central->header;
    size_t name_length = get(p + 26, 2);
    size_t offset = member->header + LOCAL_BYTES + name_length + get(p + 28, 2);
    if (offset > limit || member->bytes > limit - offset)
        return mill_fail(err, MILL_E_INPUT,
                         "%zu bytes from byte %zu reach into the directory at byte %zu",
                         member->bytes, offset, limit);
    if (get(p + 8, 2) != central->method || name_length != member->name_length ||
        memcmp(p + LOCAL_BYTES, member->name, name_length) != 0)
        return mill_fail(err, MILL_E_INPUT, "local header at byte %zu and directory differ",
                         member->header);
    member->offset = offset;
    return MILL_OK;
}

static mill_status read_member(struct mill_zip_member *member, struct mill_cursor *c,
                               const uint8_t *data, size_t limit, struct mill_error *err) {
    size_t at = limit + c->at;
    const uint8_t *p = mill_cursor_take(c, CENTRAL_BYTES);
    if (!p || get(p, 4) != CENTRAL_MAGIC)
        return mill_fail(err, MILL_E_INPUT, "zip: byte %zu: no directory entry here", at);
    struct central central = {
        .flags = (uint16_t)get(p + 8, 2),
        .method = (uint16_t)get(p + 10, 2),
        .packed = get(p + 20, 4),
        .bytes = get(p + 24, 4),
        .header = get(p + 42, 4),
    };
    member->crc32 = (uint32_t)get(p + 16, 4);
    member->name_length = get(p + 28, 2);
    size_t extra_length = get(p + 30, 2), comment_length = get(p + 32, 2);
    member->name = (const char *)mill_cursor_take(c, member->name_length);
    const uint8_t *extra = member->name ? mill_cursor_take(c, extra_length) : NULL;
    if (!extra || !mill_cursor_take(c, comment_length) ||
        !read_extra(&central, extra, extra_length))
        return mill_fail(err, MILL_E_INPUT, "zip: byte %zu: the directory entry is damaged", at);
    member->bytes = (size_t)central.bytes;
    mill_status status = check_method(&central, err);
    if (status == MILL_OK)
        status = locate(member, &central, data, limit, err);
    if (status < 0)
        mill_context(err, status, "zip: byte %zu: member '%.*s'", at,
                     (int)(member->name_length < NAME_SHOWN ? member->name_length : NAME_SHOWN),
                     member->name);
    return status;
}

static int compare_bytes(const char *a, size_t a_length, const char *b, size_t b_length) {
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare_names(const void *a, const void *b) {
    const struct mill_zip_member *x = a, *y = b;
    return compare_bytes(x->name, x->name_length, y->name, y->name_length);
}

static int compare_places(const void *a, const void *b) {
    const struct mill_zip_member *x = a, *y = b;
    return (x->header > y->header) - (x->header < y->header);
}

static mill_status check_members(struct mill_zip *zip, struct mill_error *err) {
    struct mill_zip_member *m = zip->members;
    qsort(m, zip->n_members, sizeof *m, compare_places);
    for (size_t i = 1; i < zip->n_members; i++)
        if (m[i].header < m[i - 1].offset + m[i - 1].bytes)
            return mill_fail(err, MILL_E_INPUT, "zip: byte %zu: two members overlap here",
                             m[i].header);
    qsort(m, zip->n_members, sizeof *m, compare_names);
    for (size_t i = 1; i < zip->n_members; i++)
        if (compare_names(&m[i - 1], &m[i]) == 0)
            return mill_fail(err, MILL_E_INPUT, "zip: byte %zu: a second member of the same name",
                             m[i].header);
    return MILL_OK;
}

mill_status mill_zip_open(struct mill_zip *zip, const uint8_t *data, size_t size,
                          struct mill_error *err) {
    *zip = (struct mill_zip){0};
    struct directory d = {0};
    MILL_TRY(find_directory(&d, data, size, err));
    zip->members = mill_alloc_array((size_t)d.n_members, sizeof *zip->members);
    if (!zip->members)
        return mill_fail(err, MILL_E_MEMORY, "zip: no memory for %" PRIu64 " members", d.n_members);
    mill_status status = MILL_OK;
    struct mill_cursor c = {.data = data + d.offset, .size = (size_t)d.bytes};
    for (; status == MILL_OK && zip->n_members < d.n_members; zip->n_members++)
        status = read_member(&zip->members[zip->n_members], &c, data, (size_t)d.offset, err);
    if (status == MILL_OK && c.at != c.size)
        status =
            mill_fail(err, MILL_E_INPUT, "zip: byte %zu: bytes behind the last directory entry",
                      (size_t)d.offset + c.at);
    if (status == MILL_OK)
        status = check_members(zip, err);
    if (status < 0)
        mill_zip_close(zip);
    return status;
}

void mill_zip_close(struct mill_zip *zip) {
    free(zip->members);
    *zip = (struct mill_zip){0};
}

const struct mill_zip_member *mill_zip_find(const struct mill_zip *zip, const char *name,
                                            size_t name_length) {
    struct mill_zip_member key = {.name = name, .name_length = name_length};
    return bsearch(&key, zip->members, zip->n_members, sizeof key, compare_names);
}
