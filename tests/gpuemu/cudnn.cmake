# A libcudnn that plans like the real one and computes on the host, and its test. KARYON_CUDNN=$<TARGET_FILE:cudnn_shim>
# in the environment of an emulated test sends the convolutions through it.
if(NOT KARYON_CUDNN_INCLUDE OR NOT KARYON_CUDNN_LIBRARY)
  return()
endif()
add_library(cudnn_shim MODULE ${CMAKE_CURRENT_LIST_DIR}/cudnn/cudnn_shim.cpp)
target_compile_features(cudnn_shim PRIVATE cxx_std_20)
target_include_directories(cudnn_shim SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS} ${KARYON_CUDNN_INCLUDE})
target_compile_definitions(cudnn_shim PRIVATE KARYON_REAL_CUDNN="${KARYON_CUDNN_LIBRARY}"
  KARYON_EMU_DEVICE_FILE="${PROJECT_SOURCE_DIR}/tests/cuda/devices/a100.json")
target_link_libraries(cudnn_shim PRIVATE CUDA::cudart karyon_warnings ${CMAKE_DL_LIBS})
target_link_options(cudnn_shim PRIVATE -Wl,--enable-new-dtags)
set_target_properties(cudnn_shim PROPERTIES CXX_VISIBILITY_PRESET hidden)

add_executable(cudnn_shim_test ${CMAKE_CURRENT_LIST_DIR}/cudnn/cudnn_shim_test.cpp)
target_link_libraries(cudnn_shim_test PRIVATE cudnn_plans karyon_test_main karyon_warnings)
set_target_properties(cudnn_shim_test PROPERTIES ENABLE_EXPORTS ON)  # the shim calls back into it
add_dependencies(cudnn_shim_test cudnn_shim)
add_test(NAME cudnn/shim COMMAND cudnn_shim_test)
set_tests_properties(cudnn/shim PROPERTIES ENVIRONMENT KARYON_CUDNN=$<TARGET_FILE:cudnn_shim> TIMEOUT 900)
