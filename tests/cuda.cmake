# The tests again on the CUDA device, from the same executables: gpu/* on a real one, skipped with the reason where
# there is none, and emu/* on the emulator of gpuemu/, which runs the PTX of the same library and must report nothing.
# A file of tests is one test here, so that the library is opened once for all of it.
if(NOT KARYON_CUDA_FOUND)
  # What is left out stands among the results.
  add_test(NAME emu COMMAND ${CMAKE_COMMAND} -E echo "left out: CUDA kernels, ${KARYON_CUDA_MISSING}")
  set_tests_properties(emu PROPERTIES SKIP_REGULAR_EXPRESSION "left out")
  return()
endif()

file(GLOB sources CONFIGURE_DEPENDS cuda/*.cpp)
add_executable(cuda_test ${sources})
target_link_libraries(cuda_test PRIVATE karyon_test_main karyon_warnings)
target_compile_definitions(cuda_test PRIVATE KARYON_SOURCE="${PROJECT_SOURCE_DIR}")

set(emulated
  KARYON_TEST_DEVICE=cuda KARYON_CUDA_PLUGIN=$<TARGET_FILE:karyon_cuda> LD_LIBRARY_PATH=${PROJECT_BINARY_DIR}/gpuemu)
set(real KARYON_TEST_DEVICE=cuda KARYON_CUDA_PLUGIN=$<TARGET_FILE:karyon_cuda>)
function(device_tests folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp)
  foreach(source ${sources})
    cmake_path(GET source STEM stem)
    if(NOT stem IN_LIST ARGN AND NOT ARGN STREQUAL "")
      continue()
    endif()
    string(REGEX REPLACE "_test$" "" name ${stem})
    add_test(NAME emu/${folder}/${name} COMMAND ${folder}_test "-#" "[#${stem}]" --warn NoTests)
    set_tests_properties(emu/${folder}/${name} PROPERTIES ENVIRONMENT "${emulated}" TIMEOUT 900 LABELS emu
      FAIL_REGULAR_EXPRESSION "EMULATOR;emulator:")
    add_test(NAME gpu/${folder}/${name} COMMAND ${folder}_test "-#" "[#${stem}]" --warn NoTests)
    set_tests_properties(gpu/${folder}/${name} PROPERTIES ENVIRONMENT "${real}" TIMEOUT 900 LABELS gpu
      SKIP_RETURN_CODE 77 RUN_SERIAL ON)
  endforeach()
endfunction()
device_tests(cuda)
device_tests(ops)
device_tests(optim optimizer_test)
device_tests(models unet_golden_test)

# What every kernel costs, by the assembler's own word.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME cuda_gates COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/scripts/cuda_gates
    --library $<TARGET_FILE:karyon_cuda> --ptxas ${CUDAToolkit_BIN_DIR}/ptxas)
endif()
