# What the sink writes past librbd; see check_direct.c. Writes are wrapped to be counted.
add_executable(check_direct check_direct.c sink_model.c sink_outsider.c)
target_link_libraries(check_direct PRIVATE
    farshore_snapshot farshore_base PkgConfig::JANSSON ${RBD_LIBRARY} ${RADOS_LIBRARY} cmocka)
target_include_directories(check_direct PRIVATE ${PROJECT_SOURCE_DIR})
target_link_options(check_direct PRIVATE LINKER:--wrap=rados_aio_write_op_operate
    LINKER:--wrap=rbd_aio_write)

if(FARSHORE_SANITIZE STREQUAL "address,undefined" OR NOT FARSHORE_SANITIZE)
    add_test(NAME cluster.direct COMMAND check_direct)
    set_tests_properties(cluster.direct PROPERTIES
        LABELS cluster TIMEOUT 200 RESOURCE_LOCK programs FIXTURES_REQUIRED programs COST 100
        ENVIRONMENT "FARSHORE_TEST_CONF=${programs_dir}/west/ceph.conf;FARSHORE_TEST_USER=farshore;FARSHORE_TEST_POOL=rbd")
endif()
