/* warp.cpp - operations of a warp. Every one is a meeting: a lane leaves the address of its
 * argument, on its own stack, and waits; the last lane to come does the work for all. So nothing is
 * read after somebody has run on. */
#include "tests/emulator/observer.h"

namespace emulator {

/* ------------------------------------------------------------------ meetings */

static meeting *find_meeting(warp *w, uint32_t mask) {
    meeting *unused = nullptr;
    for (meeting &m : w->meetings) {
        if (m.arrived && m.mask == mask)
            return &m;
        if (!m.arrived && !unused)
            unused = &m;
    }
    unused->mask = mask;
    return unused;
}

static void check_mask(const warp *w, uint32_t mask, const char *what, site at) {
    if (!(mask >> self->lane & 1))
        fail(cudaErrorLaunchFailure, at, "%s: lane %u is not in its mask %08x", what, self->lane,
             mask);
    if (mask & w->finished)
        fail(cudaErrorLaunchFailure, at, "%s: lanes %08x of the mask have returned from the kernel",
             what, mask & w->finished);
}

void meet(uint32_t mask, meeting_function function, void *argument, const char *what, site at) {
    warp *w = self->warp;
    mask &= w->existing;
    check_mask(w, mask, what, at);
    meeting *m = find_meeting(w, mask);
    if (m->arrived == 0) {
        m->function = function;
        m->what = what;
        m->at = at;
        w->n_meetings++;
    } else if (m->function != function || m->at.file != at.file || m->at.line != at.line) {
        fail(cudaErrorLaunchFailure, at, "%s meets lanes that wait in %s, %s:%d", what, m->what,
             m->at.file, m->at.line);
    }
    m->arguments[self->lane] = argument;
    m->arrived |= 1u << self->lane;
    if (m->arrived != mask) {
        wait_for_change(&m->n_held, what, at);
        return;
    }
    function(m->arguments, mask);
    m->arrived = 0;
    w->n_meetings--;
    m->n_held++;
}

void warp_lane_finished() {
    warp *w = self->warp;
    w->finished |= 1u << self->lane;
    if (w->n_meetings == 0)
        return;
    for (const meeting &m : w->meetings)
        if (m.arrived && m.mask >> self->lane & 1)
            fail(cudaErrorLaunchFailure, m.at,
                 "returns from the kernel while lanes %08x wait for it in %s", m.arrived, m.what);
}

/* ------------------------------------------------------------------ shuffles */

struct shuffle_argument {
    uint64_t value, result;
    int source;
    const char *what;
    site at;
};

static void do_shuffle(void *const arguments[32], uint32_t mask) {
    for (int lane = 0; lane < LANES; lane++) {
        if (!(mask >> lane & 1))
            continue;
        auto *to = static_cast<shuffle_argument *>(arguments[lane]);
        if (!(mask >> to->source & 1))
            fail(cudaErrorLaunchFailure, to->at,
                 "%s: lane %d reads lane %d, which is not in the mask %08x", to->what, lane,
                 to->source, mask);
        to->result = static_cast<shuffle_argument *>(arguments[to->source])->value;
    }
}

uint64_t shuffle(uint32_t mask, uint64_t value, int source, const char *what, site at) {
    shuffle_argument argument = {value, 0, source, what, at};
    meet(mask, do_shuffle, &argument, what, at);
    return argument.result;
}

/* Lanes are in groups of `width`; where the source would lie outside, a lane keeps its own. */
int shuffle_source_indexed(int lane, int width) {
    return ((int)self->lane & ~(width - 1)) | (lane & (width - 1));
}
int shuffle_source_down(unsigned delta, int width) {
    int lane = (int)self->lane, last = lane | (width - 1);
    return lane + (int)delta <= last ? lane + (int)delta : lane;
}
int shuffle_source_xor(int lane_mask, int width) {
    int lane = (int)self->lane, source = lane ^ lane_mask;
    return source <= (lane | (width - 1)) ? source : lane;
}

/* ------------------------------------------------------------------ votes */

struct vote_argument {
    uint64_t value;
    uint32_t result;
};

template <class Each> static void for_lanes(void *const arguments[32], uint32_t mask, Each each) {
    for (int lane = 0; lane < LANES; lane++)
        if (mask >> lane & 1)
            each(lane, static_cast<vote_argument *>(arguments[lane]));
}

static void do_ballot(void *const arguments[32], uint32_t mask) {
    uint32_t votes = 0;
    for_lanes(arguments, mask,
              [&](int lane, vote_argument *a) { votes |= (uint32_t)(a->value != 0) << lane; });
    for_lanes(arguments, mask, [&](int, vote_argument *a) { a->result = votes; });
}

uint32_t ballot(uint32_t mask, int predicate, const char *what, site at) {
    vote_argument argument = {(uint64_t)(predicate != 0), 0};
    meet(mask, do_ballot, &argument, what, at);
    return argument.result;
}

static void do_sync(void *const[32], uint32_t mask) {
    if (checker)
        checker->warp_synced(mask);
}

void sync_warp(uint32_t mask, site at) {
    meet(mask, do_sync, nullptr, "__syncwarp", at);
}

/* ------------------------------------------------------------------ atomics */

void atomic_begin(const void *address, size_t bytes, site at) {
    yield();
    if (!checker)
        return;
    checker->accessed(*self, address, bytes, access::atomic, at);
    checker->atomic_done(address);
}

void fence_block() {
    if (checker)
        checker->fenced(fence_scope::block);
}

void fence_device() {
    if (checker)
        checker->fenced(fence_scope::device);
}

} // namespace emulator
