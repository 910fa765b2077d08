# The crash matrix: a pair of clusters of its own, in builds with fault points. Label crash has the
# commit's steps and some of the others, label long all of them.
if(FARSHORE_FAULTS AND NOT FARSHORE_SANITIZE)
    set(crash_dir ${CMAKE_BINARY_DIR}/lab-crash)
    add_test(NAME crash.up
        COMMAND sh -c "${lab} down --dir ${crash_dir} && ${lab} up --dir ${crash_dir} east west")
    add_test(NAME crash.down COMMAND ${lab} down --dir ${crash_dir})
    set_tests_properties(crash.up PROPERTIES FIXTURES_SETUP crash)
    set_tests_properties(crash.down PROPERTIES FIXTURES_CLEANUP crash)
    set_tests_properties(crash.up crash.down PROPERTIES LABELS crash TIMEOUT 90 RUN_SERIAL ON)

    function(crash_test name label steps timeout source)
        add_test(NAME ${name}
            COMMAND ${pytest} ${source}
            WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
        set_tests_properties(${name} PROPERTIES
            LABELS ${label} TIMEOUT ${timeout} RUN_SERIAL ON FIXTURES_REQUIRED crash
            ENVIRONMENT "FARSHORE_BUILD=${CMAKE_BINARY_DIR};FARSHORE_LAB_DIR=${crash_dir};FARSHORE_CRASH_STEPS=${steps}")
    endfunction()
    crash_test(crash.matrix crash "" 400 test_crash_matrix.py)
    crash_test(crash.matrix.all long all 1800 test_crash_matrix.py)
    crash_test(crash.operations crash "" 300 test_crash_operations.py)
    crash_test(crash.operations.all long all 900 test_crash_operations.py)
endif()
