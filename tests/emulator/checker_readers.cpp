/* checker_readers.cpp - see checker_readers.h. */
#include "tests/emulator/checker_readers.h"

#include <algorithm>
#include <map>
#include <vector>

namespace emulator {

/* Of `readers`: a stamp with no flags; the number of a set of its block; or that several blocks of
 * the launch read it, its own the last one. */
enum : uint64_t { SET = 1, SEVERAL_BLOCKS = 2, KIND = 3 };

struct warp_readers {
    uint32_t warp, lanes, time;
    bool operator<(const warp_readers &other) const {
        return warp != other.warp     ? warp < other.warp
               : lanes != other.lanes ? lanes < other.lanes
                                      : time < other.time;
    }
};
using reader_set = std::vector<warp_readers>;

static struct {
    std::vector<reader_set> sets;
    std::map<reader_set, uint32_t> numbers;
    struct {
        uint64_t before, now, after;
    } recent[8192]; /* answers of readers_add: they depend on nothing else */
} state;

void readers_begin_cluster() {
    state.sets.clear();
    state.numbers.clear();
}

static readers make_set(const reader_set &set, uint32_t serial) {
    auto found = state.numbers.emplace(set, (uint32_t)state.sets.size());
    if (found.second)
        state.sets.push_back(set);
    return {(uint64_t)serial << 34 | (uint64_t)found.first->second << 2 | SET};
}

static const reader_set &set_of(readers r) {
    return state.sets[r.bits >> 2 & 0xffffffff];
}

/* A lane of them that is not ordered before the thread; -1: none. */
static int unordered_lane(const warp_readers &readers, const thread &t) {
    return clock_unordered_lane(t, readers.warp, readers.lanes, readers.time);
}

/* The smallest aligned group of 2, 4, .. 32 lanes around them: few sets, and exact for threads that
 * meet in such groups. */
static uint32_t round_lanes(uint32_t lanes) {
    uint32_t first = (uint32_t)__builtin_ctz(lanes), last = 31 - (uint32_t)__builtin_clz(lanes);
    uint32_t n = 1;
    while (first / n != last / n)
        n *= 2;
    return (n == LANES ? ~0u : (1u << n) - 1) << first / n * n;
}

/* Is the thread one of them already, and none of another warp to be left out? */
static bool is_in_set(const reader_set &set, const thread &t, stamp now) {
    bool found = false;
    for (const warp_readers &w : set) {
        if (w.warp == t.warp->index)
            found = w.lanes >> t.lane & 1 && w.time == now.time();
        else if (unordered_lane(w, t) < 0)
            return false;
    }
    return found;
}

static readers add_to_set(reader_set set, const thread &t, stamp now) {
    auto ordered = [&](const warp_readers &w) {
        return w.warp != t.warp->index && unordered_lane(w, t) < 0;
    };
    set.erase(std::remove_if(set.begin(), set.end(), ordered), set.end());
    uint32_t lane = 1u << t.lane;
    auto own = std::find_if(set.begin(), set.end(),
                            [&](const warp_readers &w) { return w.warp == t.warp->index; });
    if (own != set.end() && unordered_lane(*own, t) < 0) {
        *own = {own->warp, lane, now.time()};
    } else if (own != set.end()) {
        own->lanes = round_lanes(own->lanes | lane);
        own->time = std::max(own->time, now.time());
    } else {
        set.push_back({t.warp->index, lane, now.time()});
        std::sort(set.begin(), set.end());
    }
    return make_set(set, now.serial());
}

static readers add(readers before, const thread &t, stamp now) {
    stamp single = {before.bits & ~KIND};
    uint64_t kind = before.bits & KIND;
    if (!blocks_in_launch(single))
        return {now.bits};
    bool other_block = single.serial() != now.serial();
    if (kind == SEVERAL_BLOCKS || (other_block && (kind == SET || !stamp_ordered(t, single))))
        return {stamp::make(now.serial(), 0, 0, 0).bits | SEVERAL_BLOCKS};
    if (kind == SET)
        return is_in_set(set_of(before), t, now) ? before : add_to_set(set_of(before), t, now);
    if (single.thread() == t.index || stamp_ordered(t, single))
        return {now.bits};
    return add_to_set({{single.thread() / LANES, 1u << single.thread() % LANES, single.time()}}, t,
                      now);
}

readers readers_add(readers before, const thread &t, stamp now) {
    uint64_t hash = (before.bits * 0x9e3779b97f4a7c15 ^ now.bits * 0xc2b2ae3d27d4eb4f) >> 51;
    auto &known = state.recent[hash];
    if (known.before != before.bits || known.now != now.bits)
        known = {before.bits, now.bits, add(before, t, now).bits};
    return {known.after};
}

stamp readers_unordered(readers r, const thread &t) {
    stamp single = {r.bits & ~KIND};
    uint64_t kind = r.bits & KIND;
    if (!blocks_in_launch(single))
        return {0};
    if (kind == SEVERAL_BLOCKS || (kind == SET && single.serial() != blocks_serial()))
        return blocks_all_acquired() ? stamp{0} : single;
    if (kind == 0)
        return stamp_ordered(t, single) ? stamp{0} : single;
    for (const warp_readers &w : set_of(r)) {
        int lane = unordered_lane(w, t);
        if (lane >= 0)
            return stamp::make(single.serial(), w.warp * LANES + (unsigned)lane, w.time, 0);
    }
    return {0};
}

} // namespace emulator
