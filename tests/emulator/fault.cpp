/* fault.cpp - the handler, on a stack of its own, only notes the address and makes the kernel's
 * thread go on in `landing`, at the top of the thread's emptied stack; that one reports. Without
 * x86-64 there is no handler. */
#include "tests/emulator/fault.h"

#include "tests/emulator/block.h"
#include "tests/emulator/memory.h"

#include <signal.h>

#ifdef __x86_64__

namespace emulator {

static struct {
    struct sigaction previous_segv, previous_bus, previous_fpe;
    stack_t previous_stack;
    int signal;
    uintptr_t address;
} state;

static void landing() {
    char where[128];
    fiber_forget_frames(&self->fiber);
    if (state.signal == SIGFPE)
        fail(cudaErrorLaunchFailure, nowhere, "divides by zero");
    if (state.address == 0) /* a general protection fault names none */
        fail(cudaErrorMisalignedAddress, nowhere, "a misaligned or impossible address");
    char *stack = self->fiber.stack;
    if (state.address - (uintptr_t)(stack - 4096) < 4096)
        fail(cudaErrorLaunchFailure, nowhere, "its stack of %zu bytes is full", fiber_stack_bytes);
    memory_describe(reinterpret_cast<const void *>(state.address), where, sizeof where);
    fail(cudaErrorIllegalAddress, nowhere, "illegal address %#zx, %s", state.address, where);
}

static void on_signal(int signal, siginfo_t *info, void *context) {
    ucontext_t *machine = static_cast<ucontext_t *>(context);
    if (!self) { /* not a kernel's */
        fault_handler_remove();
        return;
    }
    state.signal = signal;
    state.address = (uintptr_t)info->si_addr;
    uintptr_t top = (uintptr_t)self->fiber.stack + self->fiber.stack_bytes;
    machine->uc_mcontext.gregs[REG_RSP] = (greg_t)(top - 8); /* as behind a call */
    machine->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)landing;
}

void fault_handler_install() {
    alignas(16) static char handler_stack[32 << 10];
    stack_t stack = {};
    stack.ss_sp = handler_stack;
    stack.ss_size = sizeof handler_stack;
    sigaltstack(&stack, &state.previous_stack);
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &state.previous_segv);
    sigaction(SIGBUS, &action, &state.previous_bus);
    sigaction(SIGFPE, &action, &state.previous_fpe);
}

void fault_handler_remove() {
    sigaction(SIGSEGV, &state.previous_segv, nullptr);
    sigaction(SIGBUS, &state.previous_bus, nullptr);
    sigaction(SIGFPE, &state.previous_fpe, nullptr);
    sigaltstack(&state.previous_stack, nullptr);
}

} // namespace emulator

#else

namespace emulator {
void fault_handler_install() {
}
void fault_handler_remove() {
}
} // namespace emulator

#endif
