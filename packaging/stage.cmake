# What Debian wants of the staged files and no other system: compressed manuals and changelog, the
# copyright, and the example in its place as the configuration.
set(root ${CPACK_TEMPORARY_DIRECTORY})
set(source ${CMAKE_CURRENT_LIST_DIR})
set(doc ${root}/usr/share/doc/farshore)

file(MAKE_DIRECTORY ${root}/etc/farshore)
file(RENAME ${doc}/farshored.yaml ${root}/etc/farshore/farshored.yaml)
file(COPY ${source}/debian/copyright DESTINATION ${doc})
file(COPY ${source}/debian/changelog DESTINATION ${doc})
file(RENAME ${doc}/changelog ${doc}/changelog.Debian)
file(GLOB pages ${root}/usr/share/man/man*/*.[1-9])
execute_process(COMMAND gzip -9n ${pages} ${doc}/changelog.Debian COMMAND_ERROR_IS_FATAL ANY)
