# The sink over a real cluster; see check_sink.c. The calls that change something are wrapped, so
# that a child can die before each of them.
add_executable(check_sink check_sink.c sink_model.c sink_outsider.c)
target_link_libraries(check_sink PRIVATE
    farshore_snapshot farshore_base PkgConfig::JANSSON ${RBD_LIBRARY} ${RADOS_LIBRARY} cmocka)
target_include_directories(check_sink PRIVATE ${PROJECT_SOURCE_DIR})
foreach(call
        fs_state_store fs_state_note_current rbd_create4 rbd_snap_create rbd_snap_remove_by_id
        rbd_snap_rollback rbd_metadata_set rbd_metadata_remove rbd_resize rbd_lock_acquire
        rbd_lock_break rados_break_lock rados_exec rados_aio_write_op_operate
        rbd_flush rbd_close)
    target_link_options(check_sink PRIVATE LINKER:--wrap=${call})
endforeach()

set(sink_environment "FARSHORE_TEST_CONF=${programs_dir}/west/ceph.conf;FARSHORE_TEST_USER=farshore;FARSHORE_TEST_POOL=rbd")
if(FARSHORE_SANITIZE STREQUAL "address,undefined" OR NOT FARSHORE_SANITIZE)
    add_test(NAME cluster.sink COMMAND check_sink)
    set_tests_properties(cluster.sink PROPERTIES
        LABELS cluster TIMEOUT 600 RESOURCE_LOCK programs FIXTURES_REQUIRED programs COST 100
        ENVIRONMENT "${sink_environment}")
    # Everything through librbd.
    add_test(NAME cluster.sink-librbd COMMAND check_sink test_points_are_exact_and_retained)
    set_tests_properties(cluster.sink-librbd PROPERTIES
        LABELS cluster TIMEOUT 120 RESOURCE_LOCK programs FIXTURES_REQUIRED programs COST 100
        ENVIRONMENT "${sink_environment};FARSHORE_TEST_NO_OBJECT_IO=1")
endif()
