/* fault.h - a signal in a kernel (an address that is not mapped, a misaligned vector) becomes a
 * failed launch. */
#ifndef MILL_TESTS_EMULATOR_FAULT_H
#define MILL_TESTS_EMULATOR_FAULT_H

namespace emulator {

/* Around a launch, on the thread that runs it. */
void fault_handler_install();
void fault_handler_remove();

} // namespace emulator

#endif
