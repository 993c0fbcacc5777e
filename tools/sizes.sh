#!/bin/sh
# sizes.sh: functions to 70 lines (kernels to 150), files to 800. Exceptions stand in tools/sizes.allowed
# ("path name lines"; name is a function or -), and only shrink: one that is larger than it need be fails too.
# --update rewrites that file, but never lets a number grow or a row appear; those are added by hand.
set -eu
cd "$(dirname "$0")/.."
update=${1:-}
status=0
list=$(mktemp)
trap 'rm -f "$list" "$list.new"' EXIT
git ls-files 'src/*.c' 'src/*.h' 'tests/*.c' 'tests/*.h' 'bench/*.c' >"$list"
awk -v list="$list" -v update="$update" -v out="$list.new" '
!/^#/ && NF == 3 { allowed[$1 " " $2] = $3 }
function judge(file, name, lines, limit,    key) {
    key = file " " name
    if (lines <= limit) return
    seen[key] = 1
    if (!(key in allowed)) { print file ": " (name == "-" ? "the file" : name "()") " has " lines " lines, limit " limit; bad++ }
    else if (lines > allowed[key]) { print key ": " lines " lines, allowed " allowed[key]; bad++ }
    else if (lines < allowed[key]) { shrunk[key] = lines; if (!update) { print key ": down to " lines " from " allowed[key] ": run tools/sizes.sh --update"; bad++ } }
}
function check(file,    line, n, start, name, limit) {
    limit = file ~ /^src\/kernel\/cpu\// ? 150 : 70
    while ((getline line < file) > 0) {
        n++
        if (line ~ /^[A-Za-z_].*\(/) { head = line; start = n; sub(/\(.*/, "", head); sub(/.*[ *]/, "", head); name = head }
        if (line == "{") { if (!start) start = n; inside = 1 }
        if (line == "}" && inside) { judge(file, name, n - start + 1, limit); functions++; inside = 0; start = 0 }
    }
    close(file)
    judge(file, "-", n, 800)
}
END {
    while ((getline file < list) > 0) { files++; check(file) }
    for (key in allowed) if (!(key in seen)) { if (!update) { print key ": no longer over its limit: run tools/sizes.sh --update"; bad++ } }
    if (update) {
        printf "" >out
        for (key in allowed) if (key in seen) print key, (key in shrunk ? shrunk[key] : allowed[key]) >out
    }
    if (!files || !functions) { print "nothing was checked"; bad++ }
    if (bad) exit 1
    print files " files, " functions " functions: within the limits"
}' tools/sizes.allowed || status=$?
if [ -n "$update" ]; then
    {
        echo "# path function-or-- lines: what is over the limits of tools/sizes.sh; may only shrink."
        sort "$list.new"
    } >tools/sizes.allowed
fi
exit $status
