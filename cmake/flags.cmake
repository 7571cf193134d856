# Flags of every target of ours; generated code gets none of the warnings.
add_library(farheap_flags INTERFACE)
target_compile_definitions(farheap_flags INTERFACE _GNU_SOURCE FARHEAP_VERSION="${PROJECT_VERSION}")
target_compile_options(farheap_flags INTERFACE -Wall -Wextra -Wconversion -Wshadow -Wundef -Wvla
    -Wstrict-prototypes -Wmissing-prototypes -Wunreachable-code -Werror
    -fno-strict-aliasing -fstack-protector-strong $<$<CONFIG:Release>:-O2>)
target_include_directories(farheap_flags INTERFACE ${PROJECT_SOURCE_DIR})

set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
if(FARHEAP_SANITIZE)
    add_compile_options(-fsanitize=${FARHEAP_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${FARHEAP_SANITIZE})
    target_compile_definitions(farheap_flags INTERFACE FH_DEEP_CHECKS=1)
else()
    target_compile_definitions(farheap_flags INTERFACE $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
endif()
if(FARHEAP_COVERAGE)
    add_compile_options(--coverage -O0)
    add_link_options(--coverage)
endif()
add_link_options(-Wl,-z,relro,-z,now)

# farheapd, and what measures its parts, are optimized as one program, which saves a tenth of the instructions of
# a small request: targets with the property FARHEAP_WHOLE. The objects carry both forms, so that all others link
# the same archives as ever, and as fast, if their linker is told so.
add_library(farheap_whole INTERFACE)
if(CMAKE_C_COMPILER_ID STREQUAL GNU AND CMAKE_BUILD_TYPE STREQUAL Release AND NOT FARHEAP_SANITIZE
        AND NOT FARHEAP_COVERAGE)
    target_compile_options(farheap_whole INTERFACE -flto=auto -ffat-lto-objects)
    add_link_options("$<IF:$<BOOL:$<TARGET_PROPERTY:FARHEAP_WHOLE>>,-flto=auto;-O2,-fno-lto>")
endif()
