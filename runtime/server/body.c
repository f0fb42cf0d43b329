/* body.c - see body.h. */
#include "runtime/server/body.h"

#include "runtime/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEMORY_BYTES = 1 << 16 };

void mill_body_init(struct mill_body *body, size_t maximum, const char *folder) {
    *body = (struct mill_body){.fd = -1, .maximum = maximum, .folder = folder};
    mill_buffer_init(&body->memory, MEMORY_BYTES);
}

void mill_body_deinit(struct mill_body *body) {
    if (body->fd >= 0) {
        if (body->data)
            munmap((void *)(uintptr_t)body->data, body->size);
        close(body->fd);
    }
    mill_buffer_deinit(&body->memory);
    mill_body_init(body, 0, NULL);
}

static mill_status write_all(int fd, const char *data, size_t size, struct mill_error *err) {
    int cause = mill_write_all(fd, data, size);
    return cause ? mill_fail(err, mill_write_failure(cause), "keeping a request's body: %s",
                             strerror(cause))
                 : MILL_OK;
}

/* From now on into a file that has no name. */
static mill_status spill(struct mill_body *body, struct mill_error *err) {
    char *path = mill_path_join(body->folder, "body-XXXXXX");
    if (!path)
        return mill_fail(err, MILL_E_MEMORY, "no memory");
    body->fd = mkostemp(path, O_CLOEXEC);
    mill_status status = MILL_OK;
    if (body->fd >= 0)
        unlink(path);
    else
        status = mill_fail(err, mill_write_failure(errno), "'%s': %s", path, strerror(errno));
    free(path);
    MILL_TRY(status);
    return write_all(body->fd, body->memory.data, body->memory.size, err);
}

mill_status mill_body_append(struct mill_body *body, const void *data, size_t size,
                             struct mill_error *err) {
    if (size > body->maximum - body->size)
        return mill_fail(err, MILL_E_INPUT, "the body is larger than %zu bytes", body->maximum);
    if (body->fd < 0 && size <= MEMORY_BYTES - body->size)
        MILL_TRY(mill_buffer_append(&body->memory, data, size, err));
    else if (body->fd < 0)
        MILL_TRY(spill(body, err));
    if (body->fd >= 0)
        MILL_TRY(write_all(body->fd, data, size, err));
    body->size += size;
    return MILL_OK;
}

mill_status mill_body_finish(struct mill_body *body, struct mill_error *err) {
    if (body->fd < 0) {
        body->data = body->size > 0 ? body->memory.data : "";
        return MILL_OK;
    }
    mill_buffer_deinit(&body->memory);
    void *data = mmap(NULL, body->size, PROT_READ, MAP_PRIVATE, body->fd, 0);
    if (data == MAP_FAILED)
        return mill_fail(err, MILL_E_MEMORY, "a request's body cannot be mapped");
    body->data = data;
    return MILL_OK;
}
