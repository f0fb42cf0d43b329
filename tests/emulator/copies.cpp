/* copies.cpp - cp.async: a copy is put off until its thread waits for its group, so that a wait
 * that is missing, or too short, always leaves the poison or the old data. */
#include "tests/emulator/observer.h"
#include "tests/emulator/shared.h"

#include <ptx_models.h>

#include <algorithm>

namespace emulator {

void copy_issue(void *shared, const void *global, uint32_t bytes, bool valid, site at) {
    if ((uintptr_t)shared % bytes != 0 || (valid && (uintptr_t)global % bytes != 0))
        fail(cudaErrorMisalignedAddress, at, "cp.async of %u bytes: an address is misaligned",
             bytes);
    if (!shared_has(shared, bytes))
        fail(cudaErrorIllegalAddress, at,
             "cp.async of %u bytes: the destination is not in shared memory", bytes);
    if (valid && !memory_has(global, bytes)) {
        char where[128];
        memory_describe(global, where, sizeof where);
        fail(cudaErrorIllegalAddress, at, "cp.async of %u bytes from %s", bytes, where);
    }
    self->copies.push_back({static_cast<char *>(shared), static_cast<const char *>(global), bytes,
                            valid, self->copy_group, at});
    if (checker)
        checker->copy_issued(self->copies.back());
}

void copy_commit() {
    self->copy_group++;
}

static void perform(const pending_copy &c) {
    if (checker)
        checker->copy_performed(c);
    if (c.valid)
        memcpy(c.to, c.from, c.bytes);
    else
        memset(c.to, 0, c.bytes);
}

void copy_wait(uint32_t n_newest) {
    std::vector<pending_copy> &copies = self->copies;
    size_t n = 0;
    while (n < copies.size() && copies[n].group + n_newest < self->copy_group)
        perform(copies[n++]);
    copies.erase(copies.begin(), copies.begin() + (ptrdiff_t)n);
}

} // namespace emulator
