/* fiber.cpp - switching by 15 instructions on x86-64, by ucontext elsewhere (some 50 times slower,
 * as it asks the kernel to change the signal mask). AddressSanitizer is told of every switch. */
#include "tests/emulator/fiber.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef EMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {

#ifdef EMULATOR_ASAN /* its red zones make frames several times larger */
const size_t fiber_stack_bytes = 256 << 10;
#else
const size_t fiber_stack_bytes = 64 << 10;
#endif
static const size_t guard_bytes = 4096;

char *fiber_stack(unsigned index) {
    static char *const stacks = [] {
        size_t stride = guard_bytes + fiber_stack_bytes;
        void *map = mmap(nullptr, MAX_FIBERS * stride, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED)
            abort(); /* 68 MiB of address space */
        for (size_t i = 0; i < MAX_FIBERS; i++)
            mprotect(static_cast<char *>(map) + i * stride, guard_bytes, PROT_NONE);
        return static_cast<char *>(map);
    }();
    return stacks + index * (guard_bytes + fiber_stack_bytes) + guard_bytes;
}

/* ------------------------------------------------------------------ what the sanitizer is told */

#ifdef EMULATOR_ASAN
static fiber *leaving; /* the fiber that the running one was entered from */

static void before_switch(fiber *from, fiber *to, bool for_good) {
    leaving = from;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &from->fake_stack, to->stack,
                                   to->stack_bytes);
}
static void after_switch(fiber *self) {
    const void *stack;
    size_t bytes;
    __sanitizer_finish_switch_fiber(self->fake_stack, &stack, &bytes);
    if (!leaving->stack) { /* a host thread's own stack */
        leaving->stack = static_cast<char *>(const_cast<void *>(stack));
        leaving->stack_bytes = bytes;
    }
}
void fiber_forget_frames(fiber *f) {
    __asan_unpoison_memory_region(f->stack, f->stack_bytes);
}
#else
static void before_switch(fiber *, fiber *, bool) {
}
static void after_switch(fiber *) {
}
void fiber_forget_frames(fiber *) {
}
#endif

void fiber_arrived(fiber *self) {
    after_switch(self);
}

/* ------------------------------------------------------------------ the switch */

#ifdef __x86_64__

/* void emulator_switch(void **save, void *load): what a callee must keep goes to the old stack. */
extern "C" void emulator_switch(void **save, void *load);
asm(R"(
    .text
    .p2align 4
    .globl emulator_switch
    .hidden emulator_switch
    .type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulator_switch, . - emulator_switch
)");

void fiber_prepare(fiber *f, unsigned index, void (*entry)()) {
    f->stack = fiber_stack(index);
    f->stack_bytes = fiber_stack_bytes;
    f->fake_stack = nullptr;
    /* Staggered, so that all fibers' frames do not share a few sets of the cache. */
    uintptr_t *top = reinterpret_cast<uintptr_t *>(f->stack + fiber_stack_bytes - index % 32 * 128);
    *--top = 0; /* no caller; entry() finds the stack aligned as behind a call */
    *--top = reinterpret_cast<uintptr_t>(entry);
    for (int i = 0; i < 6; i++)
        *--top = 0;
    f->stack_pointer = top;
}

static void jump(fiber *from, fiber *to) {
    emulator_switch(&from->stack_pointer, to->stack_pointer);
}

#else

void fiber_prepare(fiber *f, unsigned index, void (*entry)()) {
    f->stack = fiber_stack(index);
    f->stack_bytes = fiber_stack_bytes;
    f->fake_stack = nullptr;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = f->stack_bytes;
    f->context.uc_link = nullptr;
    makecontext(&f->context, entry, 0);
}

static void jump(fiber *from, fiber *to) {
    swapcontext(&from->context, &to->context);
}

#endif

void fiber_switch(fiber *from, fiber *to) {
    before_switch(from, to, false);
    jump(from, to);
    after_switch(from);
}

void fiber_leave(fiber *from, fiber *to) {
    before_switch(from, to, true);
    jump(from, to);
    __builtin_unreachable();
}

} // namespace emulator
