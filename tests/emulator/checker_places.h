/* checker_places.h - places in the source as 32-bit numbers: of an instruction in the kernels'
 * code, or a site that a model was called from. */
#ifndef MILL_TESTS_EMULATOR_CHECKER_PLACES_H
#define MILL_TESTS_EMULATOR_CHECKER_PLACES_H

#include <cuda_runtime.h>

#include <string>

namespace emulator {

uint32_t place_of_return_address(const void *);
uint32_t place_of_site(site);
/* "file:line, inlined at file:line, ...", the wrappers of the emulator left out. */
std::string place_describe(uint32_t place);
/* Does the address lie in the program or library that the kernels are part of? */
bool place_in_image(const void *at);

} // namespace emulator

#endif
