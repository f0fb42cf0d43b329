/* checker_shadow.cpp - cells lie in pages that the operating system makes, of zeros, when they are
 * first touched: zero is "never written". */
#include "tests/emulator/checker_shadow.h"

#include "tests/emulator/shared.h"

#include <string.h>
#include <sys/mman.h>

namespace emulator {

static cell shared_cells[shared_arenas_bytes];

static cell *cells_of(allocation *a) {
    if (!a->shadow) {
        void *map = mmap(nullptr, a->bytes * sizeof(cell), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        a->shadow = map == MAP_FAILED ? nullptr : map;
    }
    return static_cast<cell *>(a->shadow);
}

/* Allocations by page, as most accesses are near the one before. Forgotten with any allocation. */
static struct {
    uintptr_t page;
    allocation *found;
} recent[256];

static allocation *find_allocation(const void *at) {
    uintptr_t page = (uintptr_t)at / 4096;
    auto &slot = recent[page % 256];
    if (slot.page != page || !slot.found || slot.found->freed)
        slot = {page, memory_find(at)};
    return slot.found;
}

cell *shadow_find(const void *at, size_t bytes) {
    size_t offset = shared_offset(at);
    if (offset < shared_arenas_bytes)
        return shared_has(at, bytes) ? shared_cells + offset : nullptr;
    allocation *a = find_allocation(at);
    if (!a || a->freed || (const char *)at < a->data ||
        (const char *)at + bytes > a->data + a->bytes)
        return nullptr;
    cell *cells = cells_of(a);
    return cells ? cells + ((const char *)at - a->data) : nullptr;
}

void shadow_begin_shared(const void *at, size_t bytes) {
    memset(static_cast<void *>(shared_cells + shared_offset(at)), 0, bytes * sizeof(cell));
}

void shadow_forget(const allocation &a) {
    if (a.shadow)
        munmap(a.shadow, a.bytes * sizeof(cell));
    memset(recent, 0, sizeof recent);
}

} // namespace emulator
