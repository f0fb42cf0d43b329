# What the cuda backend is made of; tests/emulator compiles the same files. .cu: kernels and their
# launchers. .c: host code that launches nothing.
set(MILL_CUDA_SOURCES
    attn_decode.cu
    attn_paged.cu
    attn_plan.c
    conv.cu
    conv_depthwise.cu
    conv_ffma.cu
    conv_mma.cu
    conv_prepare.cu
    conv_single.cu
    conv_wide.cu
    conv_wide_plan.cu
    copy_rows.cu
    cuda_errors.c
    cuda_memory.c
    cuda_open.c
    cuda_stream.c
    cuda_table.c
    embed.cu
    linear.c
    linear_bf16.cu
    linear_f32.cu
    linear_i8.cu
    linear_plan.c
    linear_prepare.cu
    mix.cu
    norm.cu
    probe.cu
    residual_unit.cu
    residual_unit_mma.cu
    rope_append.cu
    sample.cu
    weights.c)
list(TRANSFORM MILL_CUDA_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
