# Flags that turn a fault into the end of the process, for the compiler and for the runtime of programs. Kernels have none of
# them: their loops are what programs spend their time in, and they read no input from outside.
#   EBRU_HARDENING        of the C compiler that builds ebru; what it does not know is left out
#   EBRU_HARDENING_ARCH   of the cross compiler of that architecture (gcc)
#   EBRU_HARDENING_LINK   of the linker: nothing of the tables that calls go through stays writable
# Shadow stacks (CET) are asked for where the linker has them; landing pads are compiled in, but only a C library that has
# them, too, makes the linker say so.
include(CheckCCompilerFlag)
include(CheckLinkerFlag)

set(stack -fstack-protector-strong -fstack-clash-protection)
# checked variants of libc's functions need an optimiser, and sanitizers have their own
set(fortify -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
set(EBRU_HARDENING_x86_64 ${stack} ${fortify} -fcf-protection=full)
set(EBRU_HARDENING_aarch64 ${stack} ${fortify} -mbranch-protection=standard)

set(EBRU_HARDENING)
if(NOT EBRU_SANITIZE)
  foreach(flag ${EBRU_HARDENING_${EBRU_HOST_ARCH}})
    string(MAKE_C_IDENTIFIER "EBRU_HAS${flag}" known)
    check_c_compiler_flag(${flag} ${known})
    if(${known} AND (NOT flag IN_LIST fortify OR CMAKE_BUILD_TYPE MATCHES "^(Release|RelWithDebInfo|MinSizeRel)$"))
      list(APPEND EBRU_HARDENING ${flag})
    endif()
  endforeach()
endif()

set(EBRU_HARDENING_LINK -Wl,-z,relro,-z,now,-z,noexecstack)
check_linker_flag(C -Wl,-z,shstk EBRU_LINKER_HAS_SHSTK)
if(EBRU_LINKER_HAS_SHSTK AND EBRU_HOST_ARCH STREQUAL "x86_64")
  list(APPEND EBRU_HARDENING_LINK -Wl,-z,shstk)
endif()
