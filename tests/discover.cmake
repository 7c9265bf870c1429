# Makes every TEST_CASE of an executable a test of its own, "PREFIX/NAME", so that ctest can name it, time it and run
# several at once. Catch's own catch_discover_tests does the same, but cuts names at a semicolon.
if(NOT CMAKE_SCRIPT_MODE_FILE)
  function(discover_tests executable prefix)
    set(file ${CMAKE_CURRENT_BINARY_DIR}/${executable}.cmake)
    if(NOT EXISTS ${file})
      file(WRITE ${file} "add_test(${executable} ${executable}-is-not-built)\n")
    endif()
    add_custom_command(TARGET ${executable} POST_BUILD BYPRODUCTS ${file} VERBATIM
      COMMAND ${CMAKE_COMMAND} -DEXECUTABLE=$<TARGET_FILE:${executable}> -DPREFIX=${prefix} -DFILE=${file}
              -P ${CMAKE_CURRENT_FUNCTION_LIST_FILE})
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${file})
  endfunction()
  return()
endif()

execute_process(COMMAND ${EXECUTABLE} --list-test-names-only OUTPUT_VARIABLE names ERROR_VARIABLE error)
if(names STREQUAL "" OR NOT error STREQUAL "")  # its exit code is the number of tests
  message(FATAL_ERROR "${EXECUTABLE} does not list its tests: ${error}")
endif()
set(script)
while(names MATCHES "^([^\n]+)\n")
  set(name "${CMAKE_MATCH_1}")
  string(LENGTH "${CMAKE_MATCH_0}" length)
  string(SUBSTRING "${names}" ${length} -1 names)
  string(REGEX REPLACE "([],\\[])" "\\\\\\1" pattern "${name}")  # special characters of Catch's patterns
  string(APPEND script
    "add_test([==[${PREFIX}/${name}]==] [==[${EXECUTABLE}]==] [==[${pattern}]==] --warn NoTests)\n"
    "set_tests_properties([==[${PREFIX}/${name}]==] PROPERTIES TIMEOUT 900)\n")
endwhile()
file(WRITE ${FILE} "${script}")
