# Connection, records, lease, stamps and discovery against the programs' first cluster.
add_executable(check_site check_site.c)
target_link_libraries(check_site PRIVATE
    farshore_snapshot farshore_base PkgConfig::JANSSON cmocka ${RBD_LIBRARY} ${RADOS_LIBRARY})
target_include_directories(check_site PRIVATE ${PROJECT_SOURCE_DIR})
if(FARSHORE_SANITIZE STREQUAL "address,undefined" OR NOT FARSHORE_SANITIZE)
    add_test(NAME cluster.check_site COMMAND check_site)
    set_tests_properties(cluster.check_site PROPERTIES
        LABELS cluster TIMEOUT 180 RESOURCE_LOCK programs FIXTURES_REQUIRED programs COST 100
        ENVIRONMENT "FARSHORE_TEST_CONF=${programs_dir}/east/ceph.conf;FARSHORE_TEST_USER=farshore;FARSHORE_TEST_POOL=rbd2")
endif()
