# What is compiled for whom: cmake -P test_architectures.cmake
include(${CMAKE_CURRENT_LIST_DIR}/../../kernels/cuda/architectures.cmake)
if(ASKED) # the second call, which must fail
  mill_cuda_architectures(found ${ASKED})
  return()
endif()

function(expect asked wanted)
  mill_cuda_architectures(found ${asked})
  if(NOT found STREQUAL wanted)
    message(FATAL_ERROR "${asked}: ${found} in place of ${wanted}")
  endif()
endfunction()
expect("90" "90a")
expect("75;90-real;120" "75;90a-real;120")
expect("90a;90" "90a")
expect("100-virtual;87" "100-virtual;87")

foreach(asked native all all-major sm_90 "75;native")
  execute_process(COMMAND ${CMAKE_COMMAND} "-DASKED=${asked}" -P ${CMAKE_CURRENT_LIST_FILE} RESULT_VARIABLE status
                  ERROR_VARIABLE said)
  if(status EQUAL 0 OR NOT said MATCHES "compute_cap")
    message(FATAL_ERROR "${asked}: taken, or refused without a remedy: ${said}")
  endif()
endforeach()
