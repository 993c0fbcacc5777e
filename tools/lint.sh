#!/bin/sh
# lint.sh BUILD: clang-format, clang-tidy (with BUILD's compile_commands.json), cppcheck, sizes. Runs all
# of them and fails if one does. A tool that is not installed is a failure, not a pass.
set -u
build=${1:?the build folder}
cd "$(dirname "$0")/.."
failed=
files=$(git ls-files 'src/*.c' 'src/*.h' 'tests/*.c' 'tests/*.h' 'bench/*.c' 'include/*.h')
missing=
for tool in clang-format clang-tidy cppcheck; do
    command -v $tool >/dev/null 2>&1 || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "lint: missing:$missing (apt-get install clang-format clang-tidy cppcheck)" >&2
    exit 1
fi

part() { # part NAME COMMAND...
    name=$1
    shift
    if "$@"; then echo "lint: $name: fine"; else
        echo "lint: $name: FAILED"
        failed="$failed $name"
    fi
}

run_format() { echo "$files" | xargs clang-format --dry-run -Werror; }
tidy() { xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$build" "$@" 2>/dev/null; }
run_tidy() {
    # Only what the build compiles with flags of its own; headers come with it.
    git ls-files 'src/*.c' 'bench/bench_*.c' 'tests/support/*.c' 'tests/fuzz/*.c' | tidy || return 1
    # cmocka's asserts look to the analyzer as if they went on after a failure.
    git ls-files 'tests/unit/*.c' 'tests/golden/*.c' 'tests/property/*.c' |
        tidy --checks=-clang-analyzer-core.*,-clang-analyzer-security.insecureAPI.strcpy
}
run_cppcheck() {
    # shellcheck disable=SC2046 # a list of words
    # pointerOutOfBounds: it takes the branch for several panels where a set has one.
    cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
        --suppress=missingIncludeSystem --suppress=preprocessorErrorDirective --suppress=unknownMacro \
        --suppress=pointerOutOfBounds:src/kernel/cpu/generic/many.h -D_GNU_SOURCE -D__x86_64__ \
        -I src -I include -I tests -j "$(nproc)" $(git ls-files 'src/*.c' 'tests/*.c' 'bench/*.c')
}
part clang-format run_format
part sizes tools/sizes.sh
part cppcheck run_cppcheck
part clang-tidy run_tidy
[ -z "$failed" ] || { echo "lint:$failed"; exit 1; }
