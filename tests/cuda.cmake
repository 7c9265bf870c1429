# The tests again on the CUDA device, from the same executables. gpu/* runs on a real one, and is skipped with the
# reason if there is none. emu/* runs on the emulator of gpuemu/. It executes the PTX of the same library and must
# report nothing. A file of tests is one test here, so that the library is opened once for all of it.
if(NOT KARYON_CUDA_FOUND)
  # The results name the tests that are left out.
  add_test(NAME emu COMMAND ${CMAKE_COMMAND} -E echo "left out: CUDA kernels, ${KARYON_CUDA_MISSING}")
  set_tests_properties(emu PROPERTIES SKIP_REGULAR_EXPRESSION "left out")
  return()
endif()

add_executable(cuda_test cuda/backend_test.cpp cuda/bf16_test.cpp cuda/conv_bf16_test.cpp
  cuda/products_test.cpp cuda/step_test.cpp cuda/traffic_test.cpp cuda/training_test.cpp)
target_link_libraries(cuda_test PRIVATE karyon_test_main karyon_warnings ${CMAKE_DL_LIBS})
target_compile_definitions(cuda_test PRIVATE KARYON_SOURCE="${PROJECT_SOURCE_DIR}")

# Functions that core does not show, from the backend's sources.
add_executable(cuda_memory_test cuda/allocator_test.cpp ${PROJECT_SOURCE_DIR}/cuda/allocator.cpp
  ${PROJECT_SOURCE_DIR}/cuda/context.cpp)
target_include_directories(cuda_memory_test SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
target_link_libraries(cuda_memory_test PRIVATE karyon_test_main CUDA::cudart karyon_warnings)
target_link_options(cuda_memory_test PRIVATE -Wl,--enable-new-dtags)

set(device_environment KARYON_TEST_DEVICE=cuda KARYON_CUDA_PLUGIN=$<TARGET_FILE:karyon_cuda>)
# device_test(NAME ENVIRONMENT COMMAND...): emu/NAME and gpu/NAME; ENVIRONMENT is for the emulated one.
function(device_test name environment)
  if(TARGET gpuemu)
    add_test(NAME emu/${name} COMMAND ${ARGN})
    set_tests_properties(emu/${name} PROPERTIES TIMEOUT 900 LABELS emu
      ENVIRONMENT "${device_environment};LD_LIBRARY_PATH=${KARYON_GPUEMU_DIR};${environment}"
      FAIL_REGULAR_EXPRESSION "gpuemu: report")
  endif()
  gpu_test(${name} "" ${ARGN})
endfunction()
function(gpu_test name environment)
  add_test(NAME gpu/${name} COMMAND ${ARGN})
  set_tests_properties(gpu/${name} PROPERTIES ENVIRONMENT "${device_environment};${environment}" TIMEOUT 900 LABELS gpu
    SKIP_RETURN_CODE 77 RUN_SERIAL ON)
endfunction()
# device_tests(FOLDER [FILE...]): a test for each file of tests/FOLDER, or for those.
function(device_tests folder)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.cpp)
  set(environment KARYON_CUDA_CONV=gemm)
  if(NOT folder STREQUAL cuda)  # also tests the cache; elsewhere it would hide accesses out of bounds
    list(APPEND environment KARYON_CUDA_CACHE=off)
  endif()
  foreach(source ${sources})
    cmake_path(GET source STEM stem)
    string(REGEX REPLACE "_test$" "" name ${stem})
    if(ARGN STREQUAL "" OR name IN_LIST ARGN)
      device_test(${folder}/${name} "${environment}" ${folder}_test "-#" "[#${stem}]~[tf32]~[cpu]" --warn NoTests)
    endif()
  endforeach()
endfunction()
device_tests(core dtype)
device_tests(cuda backend bf16 conv_bf16 step training)
device_test(cuda/allocator GPUEMU_MEMORY=64 cuda_memory_test)
device_test(cuda/tf32 "KARYON_CUDA_CONV=gemm;KARYON_TF32=1" cuda_test "[tf32]" --warn NoTests)
set_property(TEST gpu/cuda/tf32 APPEND PROPERTY ENVIRONMENT KARYON_CUDA_CONV=gemm KARYON_TF32=1)
# Cases with the tag [cpu] are about the kernels of the CPU.
device_tests(ops activation attention conv conv1d conv3d dropout dtypes einsum elementwise embedding function gather
  grid_sample index layout loss loss_class loss_pair loss_region matmul norm pad pixel_shuffle pool pool3d
  reduce resize rms_norm rnn rounding scan shape similarity sort statistics unfold)
device_tests(layers attention layers rnn)
device_tests(optim optimizer update)
device_tests(models unet_golden vit)
if(TARGET nuclei_test)
  device_tests(nuclei device)
endif()

# The convolutions on a real device in both ways, whichever is the first choice there.
foreach(test ops/conv cuda/bf16 cuda/conv_bf16 cuda/training models/unet_golden)
  cmake_path(GET test PARENT_PATH folder)
  cmake_path(GET test FILENAME name)
  set(command ${folder}_test "-#" "[#${name}_test]~[tf32]~[cpu]" --warn NoTests)
  gpu_test(gemm/${name} KARYON_CUDA_CONV=gemm ${command})
  gpu_test(cudnn/${name} "KARYON_CUDA_CONV=cudnn;KARYON_TEST_NEEDS=cudnn" ${command})
endforeach()
# A device without bf16 and asynchronous copies has code of its own. It runs all but the tests of bf16.
if(TARGET gpuemu AND 75 IN_LIST KARYON_CUDA_PTX)
  foreach(test ops/conv ops/matmul ops/norm models/unet_golden)
    cmake_path(GET test PARENT_PATH folder)
    cmake_path(GET test FILENAME name)
    add_test(NAME emu/t4/${name} COMMAND ${folder}_test "-#" "[#${name}_test]~[tf32]~[cpu]" --warn NoTests)
    set_tests_properties(emu/t4/${name} PROPERTIES TIMEOUT 900 LABELS emu FAIL_REGULAR_EXPRESSION "gpuemu: report"
      ENVIRONMENT "${device_environment};LD_LIBRARY_PATH=${KARYON_GPUEMU_DIR};KARYON_CUDA_CONV=gemm;GPUEMU_DEVICE=t4")
  endforeach()
endif()

# The costs of every kernel: registers and memory as the assembler reports them, traffic as the emulator counts it.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  set(gates Python3::Interpreter ${PROJECT_SOURCE_DIR}/scripts/cuda_gates --library $<TARGET_FILE:karyon_cuda>
    --ptxas ${CUDAToolkit_BIN_DIR}/ptxas)
  set(traffic ${CMAKE_CURRENT_BINARY_DIR}/traffic.csv)
  set(products ${CMAKE_CURRENT_BINARY_DIR}/products.csv)
  if(TARGET gpuemu)
    add_test(NAME emu/traffic_begin COMMAND ${CMAKE_COMMAND} -E rm -f ${traffic} ${products})
    set_tests_properties(emu/traffic_begin PROPERTIES FIXTURES_SETUP traffic_begin)
    add_test(NAME emu/traffic COMMAND cuda_test "[traffic]" --warn NoTests)
    set_tests_properties(emu/traffic PROPERTIES TIMEOUT 900 LABELS emu FIXTURES_SETUP traffic FIXTURES_REQUIRED traffic_begin
      ENVIRONMENT "${device_environment};LD_LIBRARY_PATH=${KARYON_GPUEMU_DIR};KARYON_CUDA_CONV=gemm;GPUEMU_COUNTERS=${traffic}"
      FAIL_REGULAR_EXPRESSION "gpuemu: report")
    foreach(tf32 0 1)
      add_test(NAME emu/traffic_products_tf32_${tf32} COMMAND cuda_test "[products]" --warn NoTests)
      set_tests_properties(emu/traffic_products_tf32_${tf32} PROPERTIES TIMEOUT 900 LABELS emu FIXTURES_SETUP traffic
        FIXTURES_REQUIRED traffic_begin FAIL_REGULAR_EXPRESSION "gpuemu: report"
        ENVIRONMENT "${device_environment};LD_LIBRARY_PATH=${KARYON_GPUEMU_DIR};KARYON_CUDA_CONV=gemm;GPUEMU_COUNTERS=${products};KARYON_TF32=${tf32}")
    endforeach()
    add_test(NAME cuda_gates COMMAND ${gates} --counters ${traffic} --products ${products})
    set_tests_properties(cuda_gates PROPERTIES FIXTURES_REQUIRED traffic)
  else()
    add_test(NAME cuda_gates COMMAND ${gates})
  endif()
endif()
