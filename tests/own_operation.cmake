# The operations of docs/how-to/own-operation.md are built, and its program checks them.
set(folder ${CMAKE_CURRENT_BINARY_DIR}/own_operation)
document_code(${PROJECT_SOURCE_DIR}/docs/how-to/own-operation.md "\n\\*\\*`([a-z_]+\\.(h|cpp))`\\*\\*\n" ${folder} sources)
add_executable(own_operation ${folder}/own_operation.cpp)
target_link_libraries(own_operation PRIVATE karyon::karyon karyon_warnings)
add_test(NAME own_operation COMMAND own_operation)
