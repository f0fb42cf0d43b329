/* body.h - a request's body on its way in: small ones in memory, larger ones in an unlinked file of
 * mode 0600, so that a connection holds little memory however much it sends; in the end one run of
 * bytes either way. One owner. */
#ifndef MILL_SERVER_BODY_H
#define MILL_SERVER_BODY_H

#include "runtime/base/buffer.h"

struct mill_body {
    const char *data; /* all of it, after finish */
    size_t size;
    struct mill_buffer memory;
    int fd;             /* the file; -1 = none */
    size_t maximum;     /* bytes */
    const char *folder; /* borrowed: where the file is made */
};

void mill_body_init(struct mill_body *body, size_t maximum, const char *folder);
void mill_body_deinit(struct mill_body *body);

/* MILL_E_INPUT when it becomes larger than `maximum`, MILL_E_FULL when the disk is full. */
mill_status mill_body_append(struct mill_body *body, const void *data, size_t size,
                             struct mill_error *err);
/* Nothing comes any more: `data` may be read, until deinit. */
mill_status mill_body_finish(struct mill_body *body, struct mill_error *err);

#endif
