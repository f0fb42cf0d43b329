/* checker_blocks.cpp - see checker_blocks.h. */
#include "tests/emulator/checker_blocks.h"

#include <map>
#include <set>

namespace emulator {

using by_block = std::map<uint32_t, clock_vector>; /* by serial */

/* What atomics on an address have published. */
struct variable {
    uint32_t serial;               /* of the cluster that these are about: */
    clock_vector seen[MAX_BLOCKS]; /* by threads of the same block, */
    clock_vector seen_by_all;      /* by those of others */
    by_block blocks;               /* of this launch */
};

static struct {
    uint32_t serial, first_of_launch;
    uint32_t first_unfinished; /* of launches that may still run, this one included */
    std::map<const void *, variable> variables;
    std::set<const variable *> taken; /* by the resident block's atomics, no fence behind them */
    by_block acquired;                /* by the resident block */
} state;

void blocks_begin_launch(const launch &l) {
    state.first_of_launch = state.serial + 1;
    if (!l.is_chained)
        l.chain->first_block = state.first_of_launch;
    state.first_unfinished = l.chain->first_block;
    state.variables.clear();
}

void blocks_begin_cluster() {
    state.serial++;
    state.taken.clear();
    state.acquired.clear();
}

uint32_t blocks_serial() {
    return state.serial;
}

bool blocks_in_launch(stamp s) {
    return s.serial() >= state.first_of_launch;
}

bool blocks_unfinished(const thread &later, stamp s) {
    return !later.has_waited && !blocks_in_launch(s) && s.serial() >= state.first_unfinished;
}

bool blocks_all_acquired() {
    return state.acquired.size() == state.serial - state.first_of_launch;
}

bool stamp_ordered(const thread &later, stamp s) {
    if (!blocks_in_launch(s))
        return true;
    if (s.serial() == state.serial)
        return clock_ordered(later, s.thread(), s.time());
    auto block = state.acquired.find(s.serial());
    return block != state.acquired.end() && s.time() < block->second[s.thread() / LANES];
}

static void join(by_block *into, const by_block &from) {
    for (const auto &block : from)
        if (block.first != state.serial)
            clock_join(&(*into)[block.first], block.second);
}

void blocks_atomic(const void *at) {
    variable &v = state.variables[at];
    clock_vector &seen = v.seen[self->block->rank];
    if (v.serial == state.serial) {
        clocks_acquire({seen, {}});
        clocks_acquire({v.seen_by_all, {}});
    } else {
        v = {state.serial, {}, {}, std::move(v.blocks)};
    }
    state.taken.insert(&v);
    clock_join(&seen, clocks_published(fence_scope::block));
    clock_join(&v.seen_by_all, clocks_published(fence_scope::device));
    clock_join(&v.blocks[state.serial], clocks_published(fence_scope::device));
    join(&v.blocks, state.acquired);
}

void blocks_fence(fence_scope scope) {
    clocks_fence(scope);
    if (scope != fence_scope::device)
        return;
    for (const variable *v : state.taken)
        join(&state.acquired, v->blocks);
    state.taken.clear();
}

} // namespace emulator
