/* emulator.h - how tests talk to the emulator behind the CUDA API: what devices there are, in which
 * order threads run, which call fails, and what a kernel did wrong. C and C++; any thread.
 *
 * A kernel that does something wrong ends; its launch makes the next synchronising call fail, the
 * text of the report goes to standard error (unless `quiet`) and stays for emulator_report. */
#ifndef MILL_TESTS_EMULATOR_H
#define MILL_TESTS_EMULATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMULATOR_API __attribute__((visibility("default")))

/* The order in which threads of a block, and blocks of a grid, get to run. A correct kernel gives
 * the same result in all. */
enum emulator_order { EMULATOR_FORWARD, EMULATOR_REVERSE, EMULATOR_RANDOM };

struct emulator_settings {
    int n_devices;
    size_t device_bytes; /* memory of each */
    int capability;      /* 10 * major + minor */
    int n_multiprocessors;
    enum emulator_order order;
    uint64_t seed; /* of the random order */
    bool quiet;    /* reports are kept, not printed */
};

/* One device of 8 GiB, capability 9.0, 8 multiprocessors, forward order. */
EMULATOR_API struct emulator_settings emulator_defaults(void);
/* Holds for what comes after it; sizes are looked at by the next allocation. */
EMULATOR_API void emulator_configure(const struct emulator_settings *);

enum emulator_call {
    EMULATOR_ALLOCATION,
    EMULATOR_COPY, /* copies and fills, where they are enqueued */
    EMULATOR_LAUNCH,
    EMULATOR_SYNCHRONIZE,
    EMULATOR_EVENT,     /* creating, recording and waiting for one */
    EMULATOR_GRAPH,     /* capture, instantiation, launch */
    EMULATOR_ATTRIBUTE, /* of a kernel, asked or set */
    EMULATOR_N_CALLS
};

/* The n-th call of this kind from now on (1 = the next) returns this cudaError_t and does nothing;
 * `sticky`: so does every call after it, of any kind, until emulator_reset. error 0: none again. */
EMULATOR_API void emulator_fault(enum emulator_call, uint64_t n, int error, bool sticky);
/* Calls of this kind so far. */
EMULATOR_API uint64_t emulator_n_calls(enum emulator_call);

/* The reports since emulator_reset, a line each, cut to `capacity`; returns their number. */
EMULATOR_API int emulator_report(char *text, size_t capacity);
/* No reports, no faults, no errors pending; counts from 0. Memory, streams and settings stay. */
EMULATOR_API void emulator_reset(void);
/* Bytes of device memory in use, over all devices. */
EMULATOR_API size_t emulator_bytes_in_use(void);

#ifdef __cplusplus
}
#endif

#endif
