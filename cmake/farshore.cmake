# What every target of the project is compiled with.
add_library(farshore_flags INTERFACE)
target_compile_options(farshore_flags INTERFACE
    -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wformat=2
    -fno-strict-aliasing -fstack-protector-strong)
target_compile_definitions(farshore_flags INTERFACE _GNU_SOURCE FARSHORE_VERSION="${PROJECT_VERSION}")
target_include_directories(farshore_flags INTERFACE ${PROJECT_SOURCE_DIR}/include)
if(FARSHORE_WERROR)
    target_compile_options(farshore_flags INTERFACE -Werror)
endif()
if(FARSHORE_FAULTS)
    target_compile_definitions(farshore_flags INTERFACE FARSHORE_FAULTS)
endif()
if(FARSHORE_SANITIZE)
    target_compile_options(farshore_flags INTERFACE
        -fsanitize=${FARSHORE_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(farshore_flags INTERFACE -fsanitize=${FARSHORE_SANITIZE})
endif()
if(FARSHORE_FUZZ)
    # The libraries tell libFuzzer which branches were taken.
    target_compile_options(farshore_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# A static library of the sources of one directory, those named main_*.c left out.
function(farshore_library name)
    file(GLOB sources CONFIGURE_DEPENDS *.c)
    list(FILTER sources EXCLUDE REGEX "/main_[^/]*\\.c$")
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC farshore_flags)
    # Private headers of a directory are included as "snapshot/cluster.h", and only from inside.
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
endfunction()
