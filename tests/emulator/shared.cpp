/* shared.cpp - the arenas, see shared.h. Places are the same for all blocks of a launch. */
#include "tests/emulator/shared.h"

#include "tests/emulator/observer.h"
#include "tests/emulator/poison.h"

#include <stdio.h>

namespace emulator {

const size_t red_zone_bytes = 64;
const size_t dynamic_at = 1024; /* keeps it aligned to what wgmma's descriptors ask for */

struct piece {
    const shared_site *site; /* NULL: the dynamic part */
    size_t at, bytes;
    bool in_use[MAX_BLOCKS];
};

static struct {
    alignas(1024) unsigned char bytes[shared_arenas_bytes]; /* block after block */
    piece pieces[64];
    unsigned n_pieces;
    size_t end;          /* of the last piece's red zone */
    size_t static_bytes; /* of all but the dynamic part */
    size_t most_bytes;   /* of both */
} arena;

static unsigned char *arena_of(unsigned rank) {
    return arena.bytes + rank * shared_arena_bytes;
}

static void poison_piece(piece *p, unsigned rank) {
    unsigned char *at = arena_of(rank) + p->at;
    poison(at - red_zone_bytes, p->bytes + 2 * red_zone_bytes);
    p->in_use[rank] = true;
    if (checker)
        checker->shared_begins(at, p->bytes);
}

static piece *add_piece(const shared_site *site, size_t at, size_t bytes) {
    piece *p = &arena.pieces[arena.n_pieces++];
    *p = {site, at, bytes, {}};
    arena.end = at + bytes + red_zone_bytes;
    return p;
}

void shared_begin_launch(size_t dynamic_bytes, size_t most_bytes) {
    arena.n_pieces = 0;
    arena.static_bytes = 0;
    arena.most_bytes = most_bytes;
    add_piece(nullptr, dynamic_at, dynamic_bytes);
}

void shared_begin_cluster() {
    for (unsigned rank = 0; rank < resident.n_blocks; rank++) {
        for (unsigned i = 0; i < arena.n_pieces; i++)
            arena.pieces[i].in_use[rank] = false;
        poison_piece(&arena.pieces[0], rank);
    }
}

void *shared_dynamic() {
    return shared_at(dynamic_at);
}

static piece *new_piece(const shared_site *site) {
    arena.static_bytes += site->bytes;
    if (arena.static_bytes > shared_default_bytes ||
        arena.static_bytes + arena.pieces[0].bytes > arena.most_bytes ||
        arena.n_pieces == sizeof arena.pieces / sizeof *arena.pieces)
        fail(cudaErrorLaunchOutOfResources, site->at,
             "%s: %zu bytes of CU_SHARED, %zu dynamic: a kernel has %zu, together at most %zu",
             site->name, arena.static_bytes, arena.pieces[0].bytes, shared_default_bytes,
             arena.most_bytes);
    size_t at = arena.end + red_zone_bytes + site->alignment - 1;
    return add_piece(site, at / site->alignment * site->alignment, site->bytes);
}

void *shared_get(const shared_site *site) {
    piece *found = nullptr;
    for (unsigned i = 1; i < arena.n_pieces && !found; i++)
        if (arena.pieces[i].site == site)
            found = &arena.pieces[i];
    if (!found)
        found = new_piece(site);
    unsigned rank = self->block->rank;
    if (!found->in_use[rank])
        poison_piece(found, rank);
    return arena_of(rank) + found->at;
}

static const char *name_of(const piece *p) {
    return p->site ? p->site->name : "dynamic";
}

static void check_red_zone(const piece *p, const unsigned char *zone, const char *side) {
    if (is_poison(zone, red_zone_bytes))
        return;
    site at = p->site ? p->site->at : nowhere;
    complain(cudaErrorIllegalAddress, at, "the shared memory %s '%s', %zu bytes, was written", side,
             name_of(p), p->bytes);
}

void shared_end_block(const block &b) {
    for (unsigned i = 0; i < arena.n_pieces; i++) {
        const piece *p = &arena.pieces[i];
        const unsigned char *at = arena_of(b.rank) + p->at;
        if (!p->in_use[b.rank])
            continue;
        check_red_zone(p, at - red_zone_bytes, "in front of");
        check_red_zone(p, at + p->bytes, "behind");
    }
}

size_t shared_offset(const void *at) {
    return (uintptr_t)at - (uintptr_t)arena.bytes;
}

void *shared_at(size_t offset) {
    return arena_of(self->block->rank) + offset;
}

const block &shared_owner(const void *at) {
    return resident.blocks[shared_offset(at) / shared_arena_bytes];
}

void *shared_of(const void *at, unsigned rank) {
    return arena_of(rank) + shared_offset(at) % shared_arena_bytes;
}

bool shared_has(const void *at, size_t bytes) {
    size_t place = shared_offset(at), rank = place / shared_arena_bytes;
    size_t offset = place % shared_arena_bytes;
    for (unsigned i = 0; i < arena.n_pieces && rank < resident.n_blocks; i++) {
        const piece *p = &arena.pieces[i];
        if (p->in_use[rank] && offset >= p->at && offset < p->at + p->bytes)
            return bytes <= p->at + p->bytes - offset;
    }
    return false;
}

void shared_describe(const void *at, char *text, size_t capacity) {
    size_t offset = shared_offset(at) % shared_arena_bytes;
    const piece *nearest = &arena.pieces[0];
    for (unsigned i = 1; i < arena.n_pieces; i++)
        if (arena.pieces[i].at - red_zone_bytes <= offset)
            nearest = &arena.pieces[i];
    if (offset < nearest->at)
        snprintf(text, capacity, "%zu bytes before '%s', %zu bytes of shared memory",
                 nearest->at - offset, name_of(nearest), nearest->bytes);
    else if (offset >= nearest->at + nearest->bytes)
        snprintf(text, capacity, "%zu bytes past the end of '%s', %zu bytes of shared memory",
                 offset - nearest->at - nearest->bytes, name_of(nearest), nearest->bytes);
    else
        snprintf(text, capacity, "across the end of '%s', %zu bytes of shared memory",
                 name_of(nearest), nearest->bytes);
}

} // namespace emulator
