# The CPU levels as base/cpu/levels.def has them, for the build. It sets
#   EBRU_LEVELS_ARCH         suffixes of an architecture's levels: kernels with bf16 arithmetic are
#                            compiled for all of them,
#   EBRU_F32_LEVELS_ARCH     and kernels without for these
#   EBRU_LEVEL_NAME_SUFFIX   a level's name as -mcpu= takes it
#   EBRU_LEVEL_FLAGS_SUFFIX  clang's options for it
set(levels_def ${CMAKE_CURRENT_LIST_DIR}/levels.def)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${levels_def})
file(READ ${levels_def} text)
# a row is a few lines, and begins one
string(REGEX REPLACE "[ ]*\\\\\n[ ]*" "\n" text "${text}")
string(REPLACE ";" "," text "${text}")
# kind, ID, suffix, name
set(head "(OWN|SHARES)\\(a, ([A-Z0-9_]+), ([a-z0-9_]+), \"([^\"]*)\"")
set(middle ",[^\"]*\"[^\"]*\",[ \n]*\"[^\"]*\",[ \n]*") # LLVM's CPU and features
foreach(arch ${EBRU_ARCHITECTURES})
  set(EBRU_LEVELS_${arch})
  set(EBRU_F32_LEVELS_${arch})
  string(REGEX MATCH "#define EBRU_LEVELS_${arch}\\([^#]*" rows "${text}")
  string(REGEX MATCHALL "\n${head}${middle}\"[^\"]*\"" rows "${rows}")
  foreach(row ${rows})
    string(REGEX MATCH "${head}${middle}\"([^\"]*)\"" found "${row}")
    set(suffix ${CMAKE_MATCH_3})
    list(APPEND EBRU_LEVELS_${arch} ${suffix})
    if(CMAKE_MATCH_1 STREQUAL OWN)
      list(APPEND EBRU_F32_LEVELS_${arch} ${suffix})
    endif()
    set(EBRU_LEVEL_NAME_${suffix} ${CMAKE_MATCH_4})
    separate_arguments(EBRU_LEVEL_FLAGS_${suffix} UNIX_COMMAND "${CMAKE_MATCH_5}")
  endforeach()
  if(NOT EBRU_LEVELS_${arch})
    message(FATAL_ERROR "${levels_def} has no levels of ${arch} that levels.cmake can read")
  endif()
endforeach()
