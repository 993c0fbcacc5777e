#!/bin/sh
# fuzz.sh SECONDS: every target under libFuzzer with the address and undefined-behaviour sanitizers. New
# inputs gather in build/fuzz/found/<target>; a crash is left in build/fuzz and its path is printed.
set -eu
seconds=${1:-60}
cd "$(dirname "$0")/.."
root=$(pwd)
command -v clang >/dev/null 2>&1 || { echo "fuzz: clang is missing: apt-get install clang libclang-rt-14-dev" >&2; exit 1; }
cmake --preset fuzz >/dev/null
targets=$(ls tests/fuzz/fuzz_*.c | sed 's|.*/||; s|\.c$||')
# shellcheck disable=SC2086 # a list of words
cmake --build --preset fuzz --target $targets
failed=
for target in $targets; do
    name=${target#fuzz_}
    mkdir -p "build/fuzz/found/$name"
    echo "fuzz: $target, $seconds s"
    # libFuzzer takes folders only: lone seeds are copied to where it keeps what it finds.
    folders=
    for path in $(tr ';' ' ' <"build/fuzz/fuzz/$name.corpus"); do
        if [ -d "$path" ]; then folders="$folders $path"; else cp "$path" "build/fuzz/found/$name/"; fi
    done
    # shellcheck disable=SC2086 # a list of folders
    (cd build/fuzz && find . -maxdepth 2 -name "$target" -type f -perm -u+x | head -n 1 >"$name.program" &&
        "$(cat "$name.program")" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 \
            -artifact_prefix="$root/build/fuzz/$name-" "found/$name" $folders >"$name.log" 2>&1) || {
        failed="$failed $name"
        tail -n 30 "build/fuzz/$name.log"
    }
    grep -E 'stat::(number_of_executed|new_units)' "build/fuzz/$name.log" || true
done
[ -z "$failed" ] || { echo "fuzz: crashed:$failed"; exit 1; }
echo "fuzz: nothing found"
