# Tests beside the cmocka programs: layers, short fuzz, end to end.

# The floors, and that the check can fail.
add_test(NAME frame.layers COMMAND sh ${CMAKE_SOURCE_DIR}/tests/layers/check.sh ${CMAKE_SOURCE_DIR})
add_test(NAME frame.layers_selftest COMMAND sh ${CMAKE_SOURCE_DIR}/tests/layers/selftest.sh)

# Fuzz targets tests/fuzz/fuzz_<name>.c, seeds in tests/fuzz/corpus/<name>/ (or, as `// links: room`
# in the first line, `// corpus: path...` in the second, relative to the root). Here with a driver
# that repeats the same mutations every time; with HONE_FUZZ (make fuzz) under libFuzzer.
file(GLOB fuzz_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
foreach(source ${fuzz_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE "fuzz_" "" short ${name})
  file(STRINGS ${source} lines LIMIT_COUNT 2)
  set(rooms ${HONE_LIBRARIES})
  set(corpus ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${short})
  foreach(line ${lines})
    if(line MATCHES "^// links: (.*)$")
      string(REPLACE " " ";" rooms "${CMAKE_MATCH_1}")
      list(TRANSFORM rooms PREPEND hone_)
    elseif(line MATCHES "^// corpus: (.*)$")
      string(REPLACE " " ";" corpus "${CMAKE_MATCH_1}")
      list(TRANSFORM corpus PREPEND ${CMAKE_SOURCE_DIR}/)
    endif()
  endforeach()
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE ${rooms})
  target_compile_definitions(${name} PRIVATE HONE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  if(HONE_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    file(WRITE ${CMAKE_BINARY_DIR}/fuzz/${short}.corpus "${corpus}\n")
  else()
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/standalone_main.c)
    add_test(NAME fuzz.${short} COMMAND ${name} -runs=10000 ${corpus})
    set_tests_properties(fuzz.${short} PROPERTIES TIMEOUT ${HONE_TEST_SECONDS})
  endif()
endforeach()

# End to end: the program as a user calls it. Exit code 77 = skipped, with a line that says why.
if(TARGET hone)
  file(GLOB scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/e2e/test_*.sh)
  foreach(script ${scripts})
    get_filename_component(name ${script} NAME_WE)
    string(REPLACE "test_" "" short ${name})
    add_test(NAME e2e.${short} COMMAND sh ${script})
    set_tests_properties(e2e.${short} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${HONE_TEST_SECONDS} ENVIRONMENT
      "HONE=$<TARGET_FILE:hone>;HUB_SERVER=$<TARGET_FILE:hub_server>;HONE_SOURCE_DIR=${CMAKE_SOURCE_DIR}")
  endforeach()
endif()

# The command line is no room (nothing links it); its parts are compiled into their tests.
if(TARGET test_cli_parse)
  target_sources(test_cli_parse PRIVATE ${CMAKE_SOURCE_DIR}/src/cli/parse.c)
endif()
target_sources(fuzz_texts PRIVATE ${CMAKE_SOURCE_DIR}/src/cli/parse.c ${CMAKE_SOURCE_DIR}/src/cli/read_text.c
  ${CMAKE_SOURCE_DIR}/src/cli/texts.c)

# Speed of every kernel on every set, against limits measured in the same run; built when asked for.
add_executable(bench_kernel EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/bench/bench_kernel.c)
target_link_libraries(bench_kernel PRIVATE hone_kernel)
add_executable(bench_encode EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/bench/bench_encode.c)
target_link_libraries(bench_encode PRIVATE hone_file ${CMAKE_DL_LIBS})

# The hub of the tests (tests/support/hub_server.h): inside test_hub, and as a program for the e2e tests.
add_executable(hub_server ${CMAKE_SOURCE_DIR}/tests/support/hub_server_main.c
  ${CMAKE_SOURCE_DIR}/tests/support/hub_server.c)
target_link_libraries(hub_server PRIVATE PkgConfig::CRYPTO Threads::Threads)
if(TARGET test_hub)
  target_sources(test_hub PRIVATE ${CMAKE_SOURCE_DIR}/tests/support/hub_server.c)
endif()

# Speed of the tokenizers (bench/text); built when asked for.
add_executable(bench_text EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/bench/bench_text.c)
target_link_libraries(bench_text PRIVATE hone_text)

# Chat templates beside jinja2 itself; skips by name where python3 has no jinja2.
add_executable(jinja_lines ${CMAKE_SOURCE_DIR}/tests/golden/jinja_lines.c)
target_link_libraries(jinja_lines PRIVATE hone_text)
find_program(HONE_PYTHON python3)
if(HONE_PYTHON)
  add_test(NAME golden.jinja_diff COMMAND ${HONE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/golden/jinja_diff.py
    $<TARGET_FILE:jinja_lines> --fuzz 150 --folder ${CMAKE_SOURCE_DIR}/tests/golden/data/chat)
  set_tests_properties(golden.jinja_diff PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${HONE_TEST_SECONDS})
endif()

# Adapters of hone train beside PEFT itself; skips by name where python3 has no peft.
if(HONE_PYTHON AND TARGET hone)
  add_test(NAME golden.peft COMMAND ${HONE_PYTHON} ${CMAKE_SOURCE_DIR}/tests/golden/peft_check.py $<TARGET_FILE:hone>
    ${CMAKE_SOURCE_DIR})
  set_tests_properties(golden.peft PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${HONE_TEST_SECONDS})
endif()

# Programs that run AMX's instructions wherever there is AVX-512: on the hardware, or emulated
# (tests/support/amx_emulator.h).
foreach(name test_amx_emulator test_kernel_product test_kernel_attention test_kernel_techniques test_kernel_backward test_identity test_models)
  if(TARGET ${name})
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support/amx_emulator.c)
    target_link_options(${name} PRIVATE -Wl,--wrap=hone_isa_detect)
  endif()
endforeach()
