# The source over the programs' first cluster; see check_source.c.
add_executable(check_source check_source.c source_lab.c source_quiesce.c source_writer.c)
target_link_libraries(check_source PRIVATE
    farshore_snapshot farshore_base ${RBD_LIBRARY} ${RADOS_LIBRARY})
target_include_directories(check_source PRIVATE ${PROJECT_SOURCE_DIR})
target_link_options(check_source PRIVATE LINKER:--wrap=rados_aio_read_op_operate) # it is counted
add_dependencies(check_source farshore-take)

set(source_checks)
if(FARSHORE_SANITIZE)
    set(source_checks fsx clone unchanged)
endif()
set(source_environment "FARSHORE_TEST_CONF=${programs_dir}/east/ceph.conf;FARSHORE_TEST_USER=farshore;FARSHORE_TEST_POOL=rbd;FARSHORE_TEST_DATA_POOL=rbd-data;FARSHORE_TEST_HELPER=$<TARGET_FILE:farshore-take>")
if(FARSHORE_SANITIZE STREQUAL "address,undefined" OR NOT FARSHORE_SANITIZE)
    add_test(NAME cluster.check_source COMMAND check_source ${source_checks})
    set_tests_properties(cluster.check_source PROPERTIES
        LABELS cluster TIMEOUT 900 RESOURCE_LOCK programs FIXTURES_REQUIRED programs COST 100
        ENVIRONMENT "${source_environment}")
    # Everything through librbd.
    add_test(NAME cluster.check_source-librbd COMMAND check_source fsx)
    set_tests_properties(cluster.check_source-librbd PROPERTIES
        LABELS cluster TIMEOUT 300 RESOURCE_LOCK programs FIXTURES_REQUIRED programs COST 100
        ENVIRONMENT "${source_environment};FARSHORE_TEST_NO_OBJECT_IO=1")
endif()
