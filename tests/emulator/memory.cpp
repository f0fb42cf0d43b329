/* memory.cpp - an allocation has pages of its own between two pages that cannot be touched, and
 * ends as near to the second as its alignment lets it. A freed one stays mapped, but locked, until
 * many younger ones were freed, so that a late use is seen. */
#include "tests/emulator/memory.h"

#include "tests/emulator/observer.h"
#include "tests/emulator/poison.h"
#include "tests/emulator/report.h"

#include <algorithm>
#include <deque>
#include <map>
#include <stdio.h>
#include <sys/mman.h>

namespace emulator {

const size_t page_bytes = 4096, alignment = 256;
const size_t most_freed = 512; /* that are kept */

static struct {
    std::map<uintptr_t, allocation> by_map; /* by the address of the map */
    std::deque<uintptr_t> freed;            /* maps, oldest first */
    bool open;                              /* between memory_open and memory_close */
} state;

static size_t round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

/* Of the first pages: more of them would take longer than most kernels. */
static void allow(const allocation &a, int protection) {
    const size_t most = 4 * page_bytes;
    mprotect(a.map + page_bytes, std::min(a.map_bytes - 2 * page_bytes, most), protection);
}

static void allow_all(int protection) {
    for (const auto &entry : state.by_map)
        if (!entry.second.freed && entry.second.kind == memory_kind::device)
            allow(entry.second, protection);
}

void memory_open() {
    allow_all(PROT_READ | PROT_WRITE);
    state.open = true;
}

void memory_close() {
    allow_all(PROT_NONE);
    state.open = false;
}

/* All of a small one. Of a large one the ends: the pages between cost too much to touch. */
static void poison_allocation(char *begin, size_t bytes) {
    const size_t most = 2 << 20;
    if (bytes <= 2 * most)
        return poison(begin, bytes);
    poison(begin, most);
    poison(begin + bytes - most, most);
}

void *memory_allocate(size_t bytes, memory_kind kind, int device, size_t device_bytes) {
    size_t used = memory_bytes_in_use(device);
    if (kind == memory_kind::device && (used > device_bytes || bytes > device_bytes - used))
        return nullptr;
    size_t room = round_up(std::max<size_t>(bytes, 1), alignment);
    size_t inner = round_up(room, page_bytes);
    void *map = mmap(nullptr, inner + 2 * page_bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return nullptr;
    char *begin = static_cast<char *>(map) + page_bytes;
    mprotect(begin, inner, PROT_READ | PROT_WRITE);
    poison_allocation(begin, inner);
    char *data = begin + inner - room;
    allocation &a = state.by_map[(uintptr_t)map];
    a = {static_cast<char *>(map),
         inner + 2 * page_bytes,
         data,
         bytes,
         kind,
         device,
         false,
         nullptr};
    if (kind == memory_kind::device && !state.open)
        allow(a, PROT_NONE);
    return data;
}

allocation *memory_find(const void *at) {
    auto next = state.by_map.upper_bound((uintptr_t)at);
    if (next == state.by_map.begin())
        return nullptr;
    allocation *a = &std::prev(next)->second;
    return (uintptr_t)at < (uintptr_t)a->map + a->map_bytes ? a : nullptr;
}

static bool check_red_zones(const allocation &a) {
    char *first = std::max(a.map + page_bytes, a.data - alignment);
    char *end = a.map + a.map_bytes - page_bytes;
    char *behind = a.data + a.bytes;
    bool front = is_poison(reinterpret_cast<unsigned char *>(first), (size_t)(a.data - first));
    bool back = is_poison(reinterpret_cast<unsigned char *>(behind), (size_t)(end - behind));
    if (!front || !back)
        report("the memory %s an allocation of %zu bytes was written",
               front ? "behind" : "in front of", a.bytes);
    if (!front) /* told once */
        poison(first, (size_t)(a.data - first));
    if (!back)
        poison(behind, (size_t)(end - behind));
    return front && back;
}

bool memory_check_red_zones() {
    bool good = true;
    for (const auto &entry : state.by_map)
        if (!entry.second.freed)
            good &= check_red_zones(entry.second);
    return good;
}

static void forget_oldest() {
    auto oldest = state.by_map.find(state.freed.front());
    munmap(oldest->second.map, oldest->second.map_bytes);
    state.by_map.erase(oldest);
    state.freed.pop_front();
}

bool memory_free(void *data, memory_kind kind) {
    allocation *a = memory_find(data);
    if (!a || a->data != data || a->freed || a->kind != kind)
        return false;
    allow(*a, PROT_READ | PROT_WRITE);
    check_red_zones(*a);
    a->freed = true;
    if (checker)
        checker->forgotten(*a);
    a->shadow = nullptr;
    madvise(a->map, a->map_bytes, MADV_DONTNEED);
    mprotect(a->map, a->map_bytes, PROT_NONE);
    state.freed.push_back((uintptr_t)a->map);
    if (state.freed.size() > most_freed)
        forget_oldest();
    return true;
}

bool memory_has(const void *at, size_t bytes) {
    const allocation *a = memory_find(at);
    const char *first = static_cast<const char *>(at);
    return a && !a->freed && first >= a->data && first <= a->data + a->bytes &&
           bytes <= (size_t)(a->data + a->bytes - first);
}

void memory_describe(const void *at, char *text, size_t capacity) {
    const allocation *a = memory_find(at);
    const char *address = static_cast<const char *>(at);
    if (!a)
        snprintf(text, capacity, "which is no device memory");
    else if (a->freed)
        snprintf(text, capacity, "in a freed allocation of %zu bytes", a->bytes);
    else if (address < a->data)
        snprintf(text, capacity, "%zu bytes before an allocation of %zu",
                 (size_t)(a->data - address), a->bytes);
    else if (address >= a->data + a->bytes)
        snprintf(text, capacity, "%zu bytes past the end of an allocation of %zu",
                 (size_t)(address - a->data) - a->bytes, a->bytes);
    else
        snprintf(text, capacity, "byte %zu of an allocation of %zu", (size_t)(address - a->data),
                 a->bytes);
}

size_t memory_bytes_in_use(int device) {
    size_t bytes = 0;
    for (const auto &entry : state.by_map) {
        const allocation &a = entry.second;
        if (!a.freed && a.kind == memory_kind::device && (device < 0 || a.device == device))
            bytes += a.bytes;
    }
    return bytes;
}

} // namespace emulator
