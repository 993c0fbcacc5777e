# Run at every build: writes the commit that is built into OUT, if it changed. Without git: unknown.
cmake_policy(VERSION 3.22)
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR NOT commit)
  set(commit "unknown")
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define HONE_COMMIT \"@commit@\"\n#define HONE_VERSION \"@VERSION@\"\n" @ONLY)
