/* fiber.h - flows of control with stacks of their own, switched by hand: one is a thread of a CUDA
 * block, another the host thread that runs the block. */
#ifndef MILL_TESTS_EMULATOR_FIBER_H
#define MILL_TESTS_EMULATOR_FIBER_H

#include <stddef.h>

#ifndef __x86_64__
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define EMULATOR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATOR_ASAN 1
#endif
#endif

namespace emulator {

struct fiber {
#ifdef __x86_64__
    void *stack_pointer; /* of a fiber that does not run */
#else
    ucontext_t context;
#endif
    char *stack; /* lowest byte; set by fiber_prepare, or at the first switch away from a caller */
    size_t stack_bytes;
    void *fake_stack; /* AddressSanitizer's */
};

/* Stack number `index`, the same memory at every call; a guard page lies below each. */
char *fiber_stack(unsigned index);
extern const size_t fiber_stack_bytes;
enum { MAX_FIBERS = 1024 };

/* The next switch to it calls entry() on an empty stack; entry starts with fiber_arrived and ends
 * with fiber_leave. */
void fiber_prepare(fiber *, unsigned stack_index, void (*entry)());
void fiber_switch(fiber *from, fiber *to);
[[noreturn]] void fiber_leave(fiber *from, fiber *to);
void fiber_arrived(fiber *);
/* Nothing on its stack is in use any more, though its functions have not returned. Slow. */
void fiber_forget_frames(fiber *);

} // namespace emulator

#endif
