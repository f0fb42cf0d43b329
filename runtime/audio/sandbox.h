/* sandbox.h - a process locks itself in before it touches hostile bytes. */
#ifndef MILL_AUDIO_SANDBOX_H
#define MILL_AUDIO_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

/* From here on and for good this process, and nothing it could start, may only: read and seek
 * descriptor 0, write to 1 and 2, get and give back private memory (never executable) up to
 * `memory_bytes` of address space in all, and end. Opening a file to read it fails; any other
 * system call ends it with SIGSYS, more than `processor_seconds` of computing with SIGKILL or
 * SIGXCPU, a parent thread that ends with SIGKILL. Call it with one thread. NULL when it holds,
 * else what failed: then do nothing. */
const char *mill_sandbox_enter(size_t memory_bytes, uint32_t processor_seconds);

#endif
