/* checker.cpp - judges every access of a kernel to memory that threads share: is it in bounds and
 * aligned, was it written, is it ordered with what others did.
 *
 * What ends an access (bounds, alignment) ends the launch; a race or an unwritten byte is told once
 * for its place, and the kernel runs on. */
#include "tests/emulator/checker.h"

#include "tests/emulator/checker_blocks.h"
#include "tests/emulator/checker_clocks.h"
#include "tests/emulator/checker_places.h"
#include "tests/emulator/checker_readers.h"
#include "tests/emulator/observer.h"
#include "tests/emulator/shared.h"

#include <set>
#include <stdio.h>

namespace emulator {

enum class defect { race_read, race_write, in_flight, not_written, not_fenced, early };

static std::set<std::pair<uint32_t, defect>> told; /* in this launch, by place */
const size_t most_told = 20;

/* ------------------------------------------------------------------ texts */

static const char *kind_of_memory(const void *at) {
    return shared_offset(at) < shared_arenas_bytes ? "shared" : "global";
}

static std::string describe_thread(stamp s) {
    const dim3 &block = self->place.block_size;
    unsigned rank = s.thread() / resident.block_threads, own = s.thread() % resident.block_threads;
    unsigned x = own % block.x, y = own / block.x % block.y, z = own / (block.x * block.y);
    char text[96];
    if (s.serial() == blocks_serial() && s.thread() >= resident.n_threads)
        return "a bulk copy";
    if (!blocks_in_launch(s))
        return "a launch in front";
    if (s.serial() != blocks_serial())
        snprintf(text, sizeof text, "a thread of another block");
    else if (rank != self->block->rank)
        snprintf(text, sizeof text, "thread (%u, %u, %u) of the cluster's block %u", x, y, z, rank);
    else
        snprintf(text, sizeof text, "thread (%u, %u, %u)", x, y, z);
    return text;
}

/* A race or a byte that was not written; `other` did what it collides with. */
static void tell(uint32_t place, defect what, const thread &by, const void *at, const char *verb,
                 const char *other_verb, stamp other, uint32_t other_place) {
    if (told.size() >= most_told || !told.emplace(place, what).second)
        return;
    std::string here = place_describe(place), there;
    if (other_verb)
        there = (what == defect::early ? " although " : "") + describe_thread(other) + other_verb +
                " at " + place_describe(other_place);
    const char *because = what == defect::not_written  ? "that nobody wrote"
                          : what == defect::in_flight  ? "while a copy is in flight that "
                          : what == defect::not_fenced ? "without fence_async after "
                          : what == defect::early      ? "before grid_wait"
                                                       : "without a barrier after ";
    char who[64] = "";
    if (&by != self)
        snprintf(who, sizeof who, "lane %u ", by.lane);
    complain(cudaErrorLaunchFailure, nowhere, "%s%s %s memory %s%s, at %s", who, verb,
             kind_of_memory(at), because, there.c_str(), here.c_str());
}

/* ------------------------------------------------------------------ one byte */

static bool collides(const thread &t, stamp earlier, access kind) {
    if (kind == access::atomic && earlier.atomic())
        return false;
    return !stamp_ordered(t, earlier);
}

static void judge(const cell &c, const thread &t, const void *at, access kind, uint32_t place) {
    const char *verb = kind == access::read    ? "reads"
                       : kind == access::write ? "writes"
                                               : "changes atomically";
    const bool writes_early = kind != access::read && resident.launch->is_early && !t.has_waited &&
                              shared_offset(at) >= shared_arenas_bytes;
    if (writes_early)
        tell(place, defect::early, t, at, verb, nullptr, c.written, 0);
    else if (blocks_unfinished(t, c.written))
        tell(place, defect::early, t, at, verb, " wrote it", c.written, c.write_place);
    else if (c.written.in_flight())
        tell(place, defect::in_flight, t, at, verb, " began", c.written, c.write_place);
    else if (c.written.nobody() && kind != access::write)
        tell(place, defect::not_written, t, at, verb, nullptr, c.written, 0);
    else if (!c.written.nobody() && collides(t, c.written, kind))
        tell(place, kind == access::read ? defect::race_read : defect::race_write, t, at, verb,
             " wrote it", c.written, c.write_place);
    if (kind == access::read)
        return;
    stamp reader = readers_unordered(c.readers, t);
    if (!reader.nobody())
        tell(place, defect::race_write, t, at, verb, " read it", reader, c.read_place);
}

static void record(cell *c, const thread &t, access kind, stamp now, uint32_t place) {
    if (kind == access::read) {
        c->readers = readers_add(c->readers, t, now);
        c->read_place = place;
    } else if (kind == access::atomic &&
               (c->written.bits & ~stamp::FLAGS) == (now.bits & ~stamp::FLAGS)) {
        return; /* of what the thread has just written it says no more, and is more easily excused
                 */
    } else {
        c->written = now;
        c->readers = {0};
        c->write_place = place;
    }
}

/* The bytes of an access have mostly the same history, which is judged once. */
static void visit(cell *cells, const thread &t, const char *at, size_t bytes, access kind,
                  stamp now, uint32_t place) {
    cell before = {}, after = {};
    for (size_t i = 0; i < bytes; i++) {
        cell *c = &cells[i];
        if (i > 0 && c->written.bits == before.written.bits &&
            c->readers.bits == before.readers.bits) {
            *c = after;
            continue;
        }
        before = *c;
        judge(*c, t, at + i, kind, place);
        record(c, t, kind, now, place);
        after = *c;
    }
}

static stamp stamp_now(const thread &t, uint64_t flags) {
    uint32_t time = clock_of(t);
    if (time > most_time)
        fail(cudaErrorLaunchFailure, nowhere, "the checker cannot count so many barriers");
    clocks_accessed(t);
    return stamp::make(blocks_serial(), t.index, time, flags);
}

/* ------------------------------------------------------------------ where an address lies */

static bool in_stack(const thread &t, const void *at) {
    return (uintptr_t)at - (uintptr_t)t.fiber.stack < t.fiber.stack_bytes;
}

/* Constants; what threadIdx and its like read. The arena lies there too. */
static bool in_program_data(const void *at) {
    return place_in_image(at) && shared_offset(at) >= shared_arenas_bytes;
}

[[noreturn]] static void fail_address(const void *at, size_t bytes, access kind, uint32_t place) {
    char where[128];
    const char *verb = kind == access::read ? "reads" : "writes";
    std::string *line = new std::string(place_describe(place)); /* freed by nobody: no return */
    if (shared_offset(at) < shared_arenas_bytes)
        shared_describe(at, where, sizeof where);
    else if (memory_find(at))
        memory_describe(at, where, sizeof where);
    else if (in_program_data(at))
        snprintf(where, sizeof where, "in the program's own data");
    else if ((uintptr_t)at - (uintptr_t)fiber_stack(0) <
             MAX_FIBERS * (uintptr_t)(fiber_stack(1) - fiber_stack(0)))
        snprintf(where, sizeof where, "in another thread's local memory");
    else
        snprintf(where, sizeof where, "which is host memory");
    char text[400];
    snprintf(text, sizeof text, "%s %zu bytes %s, at %s", verb, bytes, where, line->c_str());
    delete line;
    fail(cudaErrorIllegalAddress, nowhere, "%s", text);
}

void checker_check(const thread &t, const void *at, size_t bytes, access kind, uint32_t place) {
    if (in_stack(t, at) || (kind == access::read && in_program_data(at)))
        return;
    cell *cells = shadow_find(at, bytes);
    if (!cells)
        fail_address(at, bytes, kind, place);
    visit(cells, t, static_cast<const char *>(at), bytes, kind,
          stamp_now(t, kind == access::atomic ? stamp::ATOMIC : 0), place);
}

void checker_judge(const cell &c, const void *at, access kind, uint32_t place) {
    judge(c, *self, at, kind, place);
}

void checker_copy(const pending_copy &c, uint64_t flags) {
    cell *cells = shadow_find(c.to, c.bytes);
    if (cells)
        visit(cells, *self, c.to, c.bytes, access::write, stamp_now(*self, flags),
              place_of_site(c.at));
}

void checker_fenced(const void *at, size_t bytes, access kind, uint32_t place) {
    const cell *cells = shadow_find(at, bytes);
    stamp before = {0};
    for (size_t i = 0; cells && i < bytes; i++) {
        stamp s = cells[i].written;
        if (s.bits == before.bits)
            continue;
        before = s;
        if (s.serial() == blocks_serial() && s.thread() < resident.n_threads && !s.in_flight() &&
            !clock_published(*self, s.thread(), s.time(), fence_scope::async))
            tell(place, defect::not_fenced, *self, at, kind == access::read ? "reads" : "writes",
                 " wrote it", s, cells[i].write_place);
    }
}

void checker_begin_launch() {
    told.clear();
}

void checker_access(const void *at, size_t bytes, bool write, const void *return_address) {
    if (!self || in_stack(*self, at))
        return;
    uint32_t place = place_of_return_address(return_address);
    if ((uintptr_t)at % bytes != 0) {
        char line[256];
        snprintf(line, sizeof line, "%s", place_describe(place).c_str());
        fail(cudaErrorMisalignedAddress, nowhere, "%s %zu bytes that are not aligned to it, at %s",
             write ? "writes" : "reads", bytes, line);
    }
    checker_check(*self, at, bytes, write ? access::write : access::read, place);
}

void checker_range(const void *at, size_t bytes, bool write, const void *return_address) {
    if (self && bytes > 0)
        checker_check(*self, at, bytes, write ? access::write : access::read,
                      place_of_return_address(return_address));
}

} // namespace emulator
