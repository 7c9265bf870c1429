# Installs Karyon and uses it as a stranger would, each time from an empty folder:
#   installed from BUILD           its headers are the public ones, complete and free of private libraries;
#                                  find_package, build, run
#                                  the CUDA part is opened from the prefix, and from nowhere else
#   with -DONNX=ON                 the same for the component karyon::onnx
#                                  a C11 program and pkg-config: build, run
#   add_subdirectory, shared       build, run; that, installed; find_package, build, run
cmake_minimum_required(VERSION 3.24)
set(work ${BUILD}/tests/install)
file(REMOVE_RECURSE ${work})

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "${command}\nended with ${code}:\n${output}")
  endif()
endfunction()

# stranger(NAME [cmake arguments]): the project beside this file, configured, built and run in work/NAME.
function(stranger name)
  message(STATUS "${name}")
  run(${CMAKE_COMMAND} -S ${ROOT}/tests/install -B ${work}/${name} -G ${GENERATOR} -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0
    -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} ${ARGN})
  run(${CMAKE_COMMAND} --build ${work}/${name} --target stranger --parallel)
  run(${work}/${name}/stranger)
  if(ONNX)
    run(${CMAKE_COMMAND} --build ${work}/${name} --target onnx_stranger --parallel)
    run(${work}/${name}/onnx_stranger)
  endif()
endfunction()

function(install from name)
  run(${CMAKE_COMMAND} --install ${from} --prefix ${work}/${name})
endfunction()

# Every header of core, layers and models is public, except those of the kernels, of what convolutions, pools,
# reductions and casts share, of the bytes of files, of messages, of plugins and of storage. CMake generates
# karyon.h, which is beside the folders.
function(check_headers prefix)
  file(GLOB_RECURSE expected RELATIVE ${ROOT} ${ROOT}/core/*.h ${ROOT}/layers/*.h ${ROOT}/models/*.h)
  list(FILTER expected EXCLUDE REGEX "^core/(cpu/|format/|kernels/|messages/|cuda_plugin|plugin|lazy|ops/convolution|ops/dtypes|ops/pooling|ops/reduction|storage|weight_cache)")
  list(REMOVE_ITEM expected layers/channels.h models/capi/call.h)
  list(FILTER expected EXCLUDE REGEX "^models/onnx/")
  if(ONNX)
    list(APPEND expected models/onnx/onnx.h)
  endif()
  list(APPEND expected karyon.h)
  list(TRANSFORM expected PREPEND "karyon/")
  file(GLOB_RECURSE installed RELATIVE ${prefix}/include ${prefix}/include/*)
  set(missing ${expected})
  list(REMOVE_ITEM missing ${installed})
  set(extra ${installed})
  list(REMOVE_ITEM extra ${expected})
  if(missing OR extra)
    message(FATAL_ERROR "installed headers: missing ${missing}; not public: ${extra}")
  endif()
  foreach(header ${installed})
    file(STRINGS ${prefix}/include/${header} includes REGEX "^ *# *include")
    foreach(line ${includes})
      if(line MATCHES "<(karyon/.+\\.h)>" AND CMAKE_MATCH_1 IN_LIST installed)
        continue()
      elseif(NOT line MATCHES "<([a-z_]+|std(def|int)\\.h)>")  # the standard library's have no folder
        message(FATAL_ERROR "${header}: ${line}: neither Karyon's own public header nor the standard library's")
      endif()
    endforeach()
  endforeach()
  list(LENGTH installed count)
  message(STATUS "${count} public headers")
endfunction()

# An installed copy can be moved: none of its files names the folder that it was built from.
function(check_paths prefix)
  file(GLOB_RECURSE files ${prefix}/*.cmake ${prefix}/*.h ${prefix}/*.pc)
  foreach(file ${files})
    file(READ ${file} text)
    # As a path of its own: a project in /karyon is not what <karyon/core/tensor.h> names.
    string(REGEX REPLACE "([][+.*?()^$])" "\\\\\\1" root "${ROOT}")
    if(text MATCHES "(^|[^A-Za-z0-9_.}]|-[IL])${root}")
      message(FATAL_ERROR "${file} names ${ROOT}")
    endif()
  endforeach()
endfunction()

# shared_library(FILE [SOURCE])
function(shared_library file source)
  file(WRITE ${work}/library.cpp "${source}")
  run(${COMPILER} -shared -fPIC -o ${file} ${work}/library.cpp)
endfunction()

# check_cuda(PREFIX NAME): a CUDA part in the prefix is found by work/NAME/stranger. Files of that name
# beside the program, which are something else, and in the current folder are no reason to miss it or to run
# other code.
function(check_cuda prefix name)
  file(GLOB package ${prefix}/lib*/cmake/karyon ${prefix}/lib/*/cmake/karyon)
  cmake_path(SET libraries NORMALIZE ${package}/../..)
  file(REMOVE ${libraries}/libkaryon_cuda.so)
  shared_library(${libraries}/libkaryon_cuda.so [[
    #include <cstring>
    extern "C" void* karyon_cuda_open(const char*, const void*, char* why, std::size_t) { std::strcpy(why, "ours says no"); return nullptr; }
    extern "C" void* karyon_cuda_kernel(const char*) { return nullptr; }
  ]])
  shared_library(${work}/${name}/libkaryon_cuda.so "int another;")
  file(MAKE_DIRECTORY ${work}/data/stranger)
  shared_library(${work}/data/libkaryon_cuda.so [[
    #include <cstdlib>
    static const int now = (std::abort(), 0);
  ]])
  foreach(path "" ":" ".")
    execute_process(COMMAND ${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${path} ${work}/${name}/stranger devices
      WORKING_DIRECTORY ${work}/data RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT code EQUAL 0 OR NOT output MATCHES "^ours says no\n$")
      message(FATAL_ERROR "the CUDA part in ${libraries} is not opened with LD_LIBRARY_PATH='${path}': ${output}")
    endif()
  endforeach()
endfunction()

# c_program(PREFIX NAME): tests/capi/capi_test.c by a C compiler with the flags that pkg-config gives.
function(c_program prefix name)
  find_program(PKG_CONFIG NAMES pkg-config pkgconf)
  find_program(C_COMPILER NAMES cc gcc clang)
  if(NOT PKG_CONFIG OR NOT C_COMPILER)
    message(STATUS "${name}: left out: needs pkg-config and a C compiler")
    return()
  endif()
  message(STATUS "${name}")
  file(GLOB package ${prefix}/lib*/pkgconfig ${prefix}/lib/*/pkgconfig)
  file(MAKE_DIRECTORY ${work}/${name})
  cmake_path(GET package PARENT_PATH libraries)
  run(${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${package} sh -c "\"$1\" -std=c11 -Wall -Wextra -Wpedantic -Werror \
    -o \"$2\" \"$3\" $(\"$4\" --cflags --libs karyon) -lm" sh ${C_COMPILER} ${work}/${name}/program
    ${ROOT}/tests/capi/capi_test.c ${PKG_CONFIG})
  run(${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${libraries} ${work}/${name}/program ${work}/${name})
endfunction()

install(${BUILD} prefix)
check_headers(${work}/prefix)
check_paths(${work}/prefix)
stranger(installed -DCMAKE_PREFIX_PATH=${work}/prefix)
check_cuda(${work}/prefix installed)
c_program(${work}/prefix c)

stranger(subdirectory -DKARYON_SOURCE=${ROOT} -DBUILD_SHARED_LIBS=ON)
install(${work}/subdirectory prefix-shared)
check_headers(${work}/prefix-shared)
stranger(installed-shared -DCMAKE_PREFIX_PATH=${work}/prefix-shared)
check_cuda(${work}/prefix-shared installed-shared)
c_program(${work}/prefix-shared c-shared)
file(GLOB names RELATIVE ${work}/prefix-shared ${work}/prefix-shared/lib*/libkaryon.so.*)
if(NOT names MATCHES "libkaryon\\.so\\.[0-9]+\\.[0-9]+(;|$)")
  message(FATAL_ERROR "the shared library has no name with the version of its interface: ${names}")
endif()
