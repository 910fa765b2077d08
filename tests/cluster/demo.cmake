# What tests/demo --once does once everything is built. It brings up clusters of its own.
if(NOT FARSHORE_SANITIZE)
    add_test(NAME cluster.demo
        COMMAND /usr/bin/python3 -B ${PROJECT_SOURCE_DIR}/tests/lab/demo.py --once)
    set_tests_properties(cluster.demo PROPERTIES LABELS cluster TIMEOUT 300 RESOURCE_LOCK programs
        ENVIRONMENT "FARSHORE_BUILD=${CMAKE_BINARY_DIR}")
endif()
