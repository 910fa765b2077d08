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
if(FARSHORE_SANITIZE)
    target_compile_options(farshore_flags INTERFACE
        -fsanitize=${FARSHORE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
    target_link_options(farshore_flags INTERFACE -fsanitize=${FARSHORE_SANITIZE})
endif()

# farshore_library(NAME sources...): a static library of one directory.
function(farshore_library name)
    add_library(${name} STATIC ${ARGN})
    target_link_libraries(${name} PUBLIC farshore_flags)
endfunction()

# farshore_unit_test(NAME [LIBS...]): tests/unit/NAME.c as a cmocka program with label unit.
function(farshore_unit_test name)
    add_executable(${name} ${name}.c)
    target_link_libraries(${name} PRIVATE ${ARGN} cmocka)
    add_test(NAME unit.${name} COMMAND ${name})
    set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 60)
endfunction()
