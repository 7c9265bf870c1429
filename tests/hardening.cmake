# The built program is protected: it lies at a random address, its tables are read-only from the start, and it
# checks its stack and the sizes of its buffers.
execute_process(COMMAND ${READELF} --wide --file-header --program-headers --dynamic --dyn-syms ${PROGRAM}
  OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
foreach(mark "Type: +DYN" "GNU_RELRO" "(BIND_NOW|FLAGS_1.* NOW)" "__stack_chk_fail" "__[a-z]+_chk@")
  if(NOT text MATCHES "${mark}")
    message(SEND_ERROR "${PROGRAM}: readelf does not show '${mark}'")
  endif()
endforeach()
if(text MATCHES "GNU_STACK[^\n]*E")
  message(SEND_ERROR "${PROGRAM}: the stack is executable")
endif()
