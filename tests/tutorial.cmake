# The programs of docs/tutorial are built and run. `predict` reads what `train` wrote and ends with 0 only if it
# classifies well.
set(folder ${CMAKE_CURRENT_BINARY_DIR}/tutorial)
file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/tutorial/*.md)
foreach(page ${pages})
  document_code(${page} "\n\\*\\*`([a-z_]+\\.(h|cpp))`\\*\\*\n" ${folder} sources)
endforeach()

foreach(program train predict)
  add_executable(tutorial_${program} ${folder}/${program}.cpp)
  target_link_libraries(tutorial_${program} PRIVATE karyon::karyon karyon_warnings)
  add_test(NAME tutorial_${program} COMMAND tutorial_${program} WORKING_DIRECTORY ${folder})
endforeach()
set_tests_properties(tutorial_train PROPERTIES FIXTURES_SETUP tutorial_weights TIMEOUT 300)
set_tests_properties(tutorial_predict PROPERTIES FIXTURES_REQUIRED tutorial_weights)

# The program of the training kit.
document_code(${PROJECT_SOURCE_DIR}/docs/how-to/training-kit.md "\n\\*\\*`([a-z_]+\\.cpp)`\\*\\*\n" ${folder} kit)
add_executable(tutorial_kit ${kit})
target_link_libraries(tutorial_kit PRIVATE karyon::karyon karyon_warnings)
add_test(NAME tutorial_kit COMMAND tutorial_kit WORKING_DIRECTORY ${folder})
set_tests_properties(tutorial_kit PROPERTIES TIMEOUT 300)
