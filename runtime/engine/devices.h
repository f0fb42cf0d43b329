/* devices.h - what a list of devices means: "auto", "cuda", "0,1,cpu:4". No state; any thread. */
#ifndef MILL_ENGINE_DEVICES_H
#define MILL_ENGINE_DEVICES_H

#include "kernels/backend.h"

struct mill_engine_device {
    char name[32];     /* of the backend */
    int32_t number;    /* which of the backend's devices */
    int32_t n_threads; /* 0 = as the backend likes */
    bool may_be_left;  /* of "auto": done without where it cannot be used */
    bool is_gpu;
};

/* Names with commas between:
 *
 *     auto         every GPU there is; where there is none, cpu
 *     cuda         every GPU there is, at least one
 *     cuda:1, 1    that GPU
 *     cpu, cpu:4   the processor, that many threads
 *     reference    exact and slow
 *
 * `note` says what is wrong with the GPUs that "auto" goes without, and is empty where there are
 * none, or nothing is wrong. MILL_E_INPUT for what is no list, or more than `capacity` devices; the
 * backend's reason where one is wanted that is not there. */
mill_status mill_devices_parse(struct mill_engine_device *devices, int32_t capacity, int32_t *n,
                               const char *text, struct mill_error *note, struct mill_error *err);

#endif
