# What the cuda backend is made of; tests/emulator compiles the same files. .cu: kernels and their
# launchers. .c: host code that launches nothing.
set(MILL_CUDA_SOURCES
    cuda_errors.c
    cuda_memory.c
    cuda_missing.c
    cuda_open.c
    cuda_stream.c
    cuda_table.c
    probe.cu
    weights.c)
list(TRANSFORM MILL_CUDA_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
