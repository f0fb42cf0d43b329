/* byte_progress.h - how whoever moves many bytes tells how far it is. A plain value; zeroed, nobody
 * is told. */
#ifndef MILL_BASE_BYTE_PROGRESS_H
#define MILL_BASE_BYTE_PROGRESS_H

#include <stddef.h>

struct mill_byte_progress {
    /* Called on the thread that does the work. */
    void (*update)(void *context, size_t done_bytes, size_t all_bytes);
    void *context;
};

static inline void mill_byte_progress_update(const struct mill_byte_progress *progress,
                                             size_t done_bytes, size_t all_bytes) {
    if (progress->update)
        progress->update(progress->context, done_bytes, all_bytes);
}

#endif
