/* report.cpp - collects the texts; no function here leaves an object behind when its caller gives
 * up the launch. */
#include "tests/emulator/report.h"

#include "tests/emulator/block.h"
#include "tests/emulator/hopper.h"

#include <algorithm>
#include <stdio.h>
#include <string>

namespace emulator {

static struct {
    std::string text;
    int n;
    bool quiet;
} reports;

const size_t most_text_bytes = 1 << 20;

static void add(const std::string &line) {
    reports.n++;
    if (reports.text.size() < most_text_bytes)
        reports.text += line + "\n";
    if (!reports.quiet)
        fprintf(stderr, "emulator: %s\n", line.c_str());
}

__attribute__((format(printf, 1, 0))) static std::string format_text(const char *format,
                                                                     va_list arguments) {
    char text[512];
    vsnprintf(text, sizeof text, format, arguments);
    return text;
}

static std::string format_index(const char *name, uint3 i) {
    char text[64];
    snprintf(text, sizeof text, "%s (%u, %u, %u)", name, i.x, i.y, i.z);
    return text;
}

static std::string in_kernel() {
    std::string text = std::string("kernel ") + resident.launch->kernel;
    if (self)
        text += format_index(", block", self->place.block) +
                format_index(", thread", self->place.thread);
    return text + ": ";
}

static std::string format_site(site at) {
    return at.file ? std::string(at.file) + ":" + std::to_string(at.line) : "an unknown place";
}

void report(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    add(format_text(format, arguments));
    va_end(arguments);
}

void report_in_kernel(site at, const char *format, va_list arguments) {
    std::string place = at.file ? " at " + format_site(at) : "";
    add(in_kernel() + format_text(format, arguments) + place);
}

/* The waiting threads of its block that wait in the same place as thread `first` and behind it. */
static std::string describe_group(unsigned first, bool *told) {
    const thread &like = resident.threads[first];
    unsigned n = 0, last = first;
    for (unsigned i = first; i < resident.n_threads; i++) {
        const thread &t = resident.threads[i];
        if (t.finished || told[i] || t.waits_in != like.waits_in ||
            t.waits_at.line != like.waits_at.line || t.waits_at.file != like.waits_at.file ||
            t.block != like.block)
            continue;
        told[i] = true;
        last = i;
        n++;
    }
    std::string of = resident.n_blocks > 1 ? format_index(" of block", like.place.block) : "";
    unsigned before = like.block->rank * resident.block_threads;
    return std::to_string(n) + " threads (" + std::to_string(first - before) + " to " +
           std::to_string(last - before) + ")" + of + " wait in " + like.waits_in + " at " +
           format_site(like.waits_at) + mbarrier_describe(resident.waiting[first].counter);
}

void report_deadlock() {
    bool told[MAX_THREADS] = {};
    std::string text = in_kernel() + "deadlock:";
    const char *separator = " ";
    for (unsigned i = 0; i < resident.n_threads; i++) {
        if (resident.threads[i].finished || told[i])
            continue;
        text += separator + describe_group(i, told);
        separator = ", ";
    }
    add(text);
}

void report_set_quiet(bool quiet) {
    reports.quiet = quiet;
}

void report_reset() {
    reports.text.clear();
    reports.n = 0;
}

int report_read(char *text, size_t capacity) {
    if (capacity > 0) {
        size_t n = std::min(reports.text.size(), capacity - 1);
        reports.text.copy(text, n);
        text[n] = 0;
    }
    return reports.n;
}

} // namespace emulator
