# The operation that CONTRIBUTING.md adds is compiled and passes its test, in a folder with the repository's layout.
document_code(${PROJECT_SOURCE_DIR}/CONTRIBUTING.md "\n\\*\\*[0-9]\\. `([a-z_/]+\\.(h|cpp))`"
  ${CMAKE_CURRENT_BINARY_DIR}/contributing/karyon sources)
add_executable(contributing_test ${sources})
target_include_directories(contributing_test PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/contributing)
target_link_libraries(contributing_test PRIVATE karyon_test_main karyon_warnings)
discover_tests(contributing_test contributing)
