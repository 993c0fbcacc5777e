#!/bin/sh
# check.sh [ROOT]: every #include "room/..." under ROOT/src against ROOT/layers.txt. A file includes
# only strictly lower floors or its own room; a room that layers.txt does not name is an error.
set -eu
root=${1:-$(dirname "$0")/../..}
cd "$root"
find src -type f \( -name '*.c' -o -name '*.h' -o -name '*.def' \) | sort >"${TMPDIR:-/tmp}/hone-layers.$$"
trap 'rm -f "${TMPDIR:-/tmp}/hone-layers.$$"' EXIT
# The list of files is the awk program's first input, layers.txt its second.
awk -v list="${TMPDIR:-/tmp}/hone-layers.$$" '
/^[0-9]/ { for (i = 2; i <= NF; i++) floor[$i] = $1 + 0 }
function complain(text) { print text; bad++ }
function check(file,    room, line, target, n) {
    split(file, part, "/")
    room = part[2]
    if (!(room in floor)) { complain(file ": room \"" room "\" is not in layers.txt"); return }
    while ((getline line < file) > 0) {
        n++
        if (line !~ /^[ \t]*#[ \t]*include[ \t]*"/) continue
        includes++
        sub(/^[^"]*"/, "", line); sub(/".*/, "", line)
        if (line ~ /\.\./) { complain(file ":" n ": includes \"" line "\": paths start at src/"); continue }
        if (line == "hone.h") continue
        if (line !~ /\//) { complain(file ":" n ": includes \"" line "\": write \"" room "/" line "\""); continue }
        target = line; sub(/\/.*/, "", target)
        if (target == room) continue
        if (!(target in floor)) complain(file ":" n ": includes \"" line "\": no such room in layers.txt")
        else if (floor[target] >= floor[room])
            complain(file ":" n ": includes \"" line "\": floor " floor[target] " from floor " floor[room])
    }
    close(file)
}
END {
    while ((getline file < list) > 0) { files++; check(file) }
    if (!files || !includes) complain("nothing was checked: no files or no includes under src/")
    if (bad) { print bad " forbidden"; exit 1 }
    print files " files, " includes " includes: all go down"
}' layers.txt
