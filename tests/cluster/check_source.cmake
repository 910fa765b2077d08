# The source over a real cluster, beside the tests of the whole daemon.
add_executable(check_source check_source.c source_lab.c)
target_link_libraries(check_source PRIVATE
    farshore_snapshot farshore_base ${RBD_LIBRARY} ${RADOS_LIBRARY})
target_include_directories(check_source PRIVATE ${PROJECT_SOURCE_DIR})
