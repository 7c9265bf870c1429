# What is tested of cuDNN without a device: plans of the real library. Included where there are its headers.
add_library(cudnn_plans OBJECT ${PROJECT_SOURCE_DIR}/cuda/cudnn.cpp ${PROJECT_SOURCE_DIR}/cuda/conv_plan.cpp
  ${CMAKE_CURRENT_LIST_DIR}/devices.cpp)
target_include_directories(cudnn_plans SYSTEM PUBLIC ${CUDAToolkit_INCLUDE_DIRS} ${KARYON_CUDNN_INCLUDE})
target_compile_definitions(cudnn_plans PRIVATE KARYON_TEST_DEVICES="${CMAKE_CURRENT_LIST_DIR}/devices")
target_link_libraries(cudnn_plans PUBLIC karyon::karyon ${CMAKE_DL_LIBS} PRIVATE karyon_warnings)

add_executable(cudnn_plan_test ${CMAKE_CURRENT_LIST_DIR}/cudnn_plan_test.cpp)
target_link_libraries(cudnn_plan_test PRIVATE cudnn_plans karyon_test_main karyon_warnings)
add_executable(cudnn_plan_table ${CMAKE_CURRENT_LIST_DIR}/cudnn_plan_table.cpp)
target_link_libraries(cudnn_plan_table PRIVATE cudnn_plans karyon_warnings)

if(KARYON_CUDNN_LIBRARY)
  add_test(NAME cudnn/plans COMMAND cudnn_plan_test)
  set_tests_properties(cudnn/plans PROPERTIES ENVIRONMENT KARYON_CUDNN=${KARYON_CUDNN_LIBRARY} TIMEOUT 900)
endif()
foreach(library missing.so libm.so.6)  # not there; there, but another library
  add_test(NAME cudnn/without_${library} COMMAND cudnn_plan_test [.missing])
  set_tests_properties(cudnn/without_${library} PROPERTIES ENVIRONMENT KARYON_CUDNN=${library})
endforeach()
