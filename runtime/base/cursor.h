/* cursor.h - reading untrusted bytes: every access goes through a bounds check that cannot
 * overflow.
 *
 * A cursor walks over borrowed bytes. A read past the end returns false, moves nothing, and the
 * caller says what was being read at which `at`. Integers are little-endian, as all formats here
 * are. Header only: these are one compare and a load. */
#ifndef MILL_BASE_CURSOR_H
#define MILL_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct mill_cursor {
    const uint8_t *data; /* borrowed */
    size_t size;         /* bytes */
    size_t at;           /* next byte to read, <= size */
};

static inline bool mill_cursor_has(const struct mill_cursor *c, size_t n) {
    return n <= c->size - c->at;
}

/* The next n bytes, borrowed; NULL when fewer are left. */
static inline const uint8_t *mill_cursor_take(struct mill_cursor *c, size_t n) {
    if (!mill_cursor_has(c, n))
        return NULL;
    const uint8_t *p = c->data + c->at;
    c->at += n;
    return p;
}

#define MILL_CURSOR_READ(name, type)                                                               \
    static inline bool mill_cursor_##name(struct mill_cursor *c, type *out) {                      \
        const uint8_t *p = mill_cursor_take(c, sizeof *out);                                       \
        if (p)                                                                                     \
            memcpy(out, p, sizeof *out);                                                           \
        return p != NULL;                                                                          \
    }
MILL_CURSOR_READ(u8, uint8_t)
MILL_CURSOR_READ(u16, uint16_t)
MILL_CURSOR_READ(u32, uint32_t)
MILL_CURSOR_READ(u64, uint64_t)
#undef MILL_CURSOR_READ

/* The next line without its line feed, borrowed, not zero-terminated; NULL at the end. */
static inline const uint8_t *mill_cursor_line(struct mill_cursor *c, size_t *length) {
    if (c->at == c->size)
        return NULL;
    const uint8_t *start = c->data + c->at;
    const uint8_t *end = memchr(start, '\n', c->size - c->at);
    *length = end ? (size_t)(end - start) : c->size - c->at;
    c->at += *length + (end != NULL);
    return start;
}

#endif
