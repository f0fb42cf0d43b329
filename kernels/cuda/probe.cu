/* probe.cu - whether the library has code for the card: a kernel that does nothing, launched when
 * the card is opened, so that a build for other cards is told then and not at the first request. */
#include "kernels/cuda/device.h"

#include "kernels/cuda/cuda_backend.h"

__global__ void probe() {
}

mill_status mill_cuda_probe(struct mill_backend *backend) {
    CU_LAUNCH(probe, 1, 1, 0, backend->stream);
    return mill_cuda_launched(backend, "probe");
}
