# What `cmake --install` (and `make install`) puts where: the program, the library with its headers,
# manual pages and completion, which the program writes itself.
include(GNUInstallDirs)

set(objects "")
foreach(room ${below})
  list(APPEND objects $<TARGET_OBJECTS:${room}>)
endforeach()
add_library(libhone STATIC ${objects})
set_target_properties(libhone PROPERTIES OUTPUT_NAME hone LINKER_LANGUAGE C)
set(HONE_REQUIRES "jansson libpcre2-8 libutf8proc libxxhash libsodium sqlite3")
foreach(optional CURL:libcurl CRYPTO:libcrypto)
  string(REPLACE ":" ";" optional ${optional})
  list(GET optional 0 target)
  list(GET optional 1 module)
  if(TARGET PkgConfig::${target})
    string(APPEND HONE_REQUIRES " ${module}")
  endif()
endforeach()
configure_file(cmake/hone.pc.in hone.pc @ONLY)

install(TARGETS hone DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS libhone DESTINATION lib)
install(FILES ${CMAKE_BINARY_DIR}/hone.pc DESTINATION lib/pkgconfig)
install(FILES include/hone.h DESTINATION include/hone)
foreach(room base hw dtype tensor kernel file cache model engine eval text)
  install(DIRECTORY src/${room} DESTINATION include/hone FILES_MATCHING PATTERN "*.h" PATTERN "*.def"
    PATTERN "cpu" EXCLUDE)
endforeach()
install(DIRECTORY docs/ DESTINATION share/doc/hone)
install(CODE "
  set(hone \"${CMAKE_BINARY_DIR}/hone\")
  set(to \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share\")
  file(MAKE_DIRECTORY \"\${to}/bash-completion/completions\")
  execute_process(COMMAND sh \"${CMAKE_SOURCE_DIR}/tools/man.sh\" \"\${hone}\" \"\${to}/man/man1\"
    COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND \"\${hone}\" --completion bash COMMAND_ERROR_IS_FATAL ANY
    OUTPUT_FILE \"\${to}/bash-completion/completions/hone\")")
