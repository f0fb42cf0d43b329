/* report.h - what was found wrong: one text for all, kept until emulator_reset. Under the lock of
 * cudart.h. */
#ifndef MILL_TESTS_EMULATOR_REPORT_H
#define MILL_TESTS_EMULATOR_REPORT_H

#include <cuda_runtime.h>

#include <stdarg.h>

namespace emulator {

/* A misuse of the API, or what the others below write. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* With the kernel, block and thread that run, and `at` where it is known. */
void report_in_kernel(site at, const char *format, va_list) __attribute__((format(printf, 2, 0)));
/* Who waits where. */
void report_deadlock();

void report_set_quiet(bool);
void report_reset();
int report_read(char *text, size_t capacity);

} // namespace emulator

#endif
