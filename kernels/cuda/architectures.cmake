# mill_cuda_architectures(OUT NAME...): the architectures to compile for, of those that somebody asked for, as in 75;90a.
# sm_90 by its number has no products of warp groups: nvcc gives them to sm_90a alone, while a card says 9.0, and so do
# "native" and "all". A library made so would stop in its first product on such a card.
function(mill_cuda_architectures out)
  foreach(name ${ARGN})
    if(NOT name MATCHES "^[0-9]+[af]?(-real|-virtual)?$")
      message(FATAL_ERROR "MILL_CUDA_ARCHITECTURES: '${name}' is no architecture: say numbers, as in 75;90a "
                          "(nvidia-smi --query-gpu=compute_cap --format=csv,noheader; 9.0 is 90a)")
    endif()
    string(REGEX REPLACE "^90(-|$)" "90a\\1" name ${name})
    list(APPEND all ${name})
  endforeach()
  list(REMOVE_DUPLICATES all)
  set(${out} ${all} PARENT_SCOPE)
endfunction()
