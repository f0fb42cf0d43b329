/* host_device.h - the device services of a backend whose device is this process's memory: copies
 * are memmove, uploads the region itself, and work is done when its call returns. No state; any
 * thread. */
#ifndef MILL_KERNELS_HOST_DEVICE_H
#define MILL_KERNELS_HOST_DEVICE_H

#include "kernels/backend.h"

void *mill_host_device_alloc(struct mill_backend *backend, size_t bytes);
void mill_host_device_free(struct mill_backend *backend, void *memory);
const void *mill_host_device_upload(struct mill_backend *backend, const void *host, size_t bytes);
void mill_host_device_release(struct mill_backend *backend, const void *device);
mill_status mill_host_device_memory(struct mill_backend *backend, size_t *free_bytes,
                                    size_t *total_bytes);
mill_status mill_host_device_copy(struct mill_backend *backend, void *to, const void *from,
                                  size_t bytes);
mill_status mill_host_device_synchronize(struct mill_backend *backend);
mill_status mill_host_device_event_new(struct mill_backend *backend, struct mill_event **out);
void mill_host_device_event_free(struct mill_backend *backend, struct mill_event *event);
mill_status mill_host_device_event_pass(struct mill_backend *backend, struct mill_event *event);

/* Initialisers of a struct mill_backend_ops. */
#define MILL_HOST_DEVICE_SERVICES                                                                  \
    .alloc = mill_host_device_alloc, .free = mill_host_device_free,                                \
    .upload = mill_host_device_upload, .release = mill_host_device_release,                        \
    .memory = mill_host_device_memory, .host_alloc = mill_host_device_alloc,                       \
    .host_free = mill_host_device_free, .copy_in = mill_host_device_copy,                          \
    .copy_out = mill_host_device_copy, .copy_within = mill_host_device_copy,                       \
    .synchronize = mill_host_device_synchronize, .event_new = mill_host_device_event_new,          \
    .event_free = mill_host_device_event_free, .event_record = mill_host_device_event_pass,        \
    .event_wait = mill_host_device_event_pass

#endif
