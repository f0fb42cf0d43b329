/* host_device.c - see host_device.h. */
#include "kernels/host_device.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct mill_event {
    char nothing; /* is ever waited for */
};

void *mill_host_device_alloc(struct mill_backend *backend, size_t bytes) {
    (void)backend;
    return mill_alloc_aligned(bytes);
}

void mill_host_device_free(struct mill_backend *backend, void *memory) {
    (void)backend;
    free(memory);
}

const void *mill_host_device_upload(struct mill_backend *backend, const void *host, size_t bytes) {
    (void)backend;
    (void)bytes;
    return host;
}

void mill_host_device_release(struct mill_backend *backend, const void *device) {
    (void)backend;
    (void)device; /* upload made nothing */
}

mill_status mill_host_device_memory(struct mill_backend *backend, size_t *free_bytes,
                                    size_t *total_bytes) {
    (void)backend;
    *free_bytes = *total_bytes = 0;
    return MILL_OK;
}

mill_status mill_host_device_copy(struct mill_backend *backend, void *to, const void *from,
                                  size_t bytes) {
    (void)backend;
    if (bytes == 0)
        return MILL_OK;
    if (!to || !from)
        return MILL_E_INPUT;
    memmove(to, from, bytes);
    return MILL_OK;
}

mill_status mill_host_device_synchronize(struct mill_backend *backend) {
    (void)backend;
    return MILL_OK;
}

mill_status mill_host_device_event_new(struct mill_backend *backend, struct mill_event **out) {
    (void)backend;
    *out = mill_alloc_array(1, sizeof **out);
    return *out ? MILL_OK : MILL_E_MEMORY;
}

void mill_host_device_event_free(struct mill_backend *backend, struct mill_event *event) {
    (void)backend;
    free(event);
}

mill_status mill_host_device_event_pass(struct mill_backend *backend, struct mill_event *event) {
    (void)backend;
    (void)event;
    return MILL_OK;
}
