#!/bin/sh
# The layers check must fail on a planted violation of each kind, and name file and line.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
printf '# rooms\n0 base\n1 hw dtype\n2 tensor\n' >"$root/layers.txt"
mkdir -p "$root/src/base" "$root/src/hw/deep" "$root/src/dtype" "$root/src/tensor"
echo '#include "base/a.h"' >"$root/src/hw/deep/fine.c"
echo '#include "hw/deep/fine.h"' >"$root/src/tensor/fine.c"
sh "$here/check.sh" "$root" >/dev/null || { echo "a correct tree is refused"; exit 1; }

planted() { # planted FILE INCLUDE WHAT
    mkdir -p "$(dirname "$root/src/$1")"
    printf '#include <stdio.h>\n#include "%s"\n' "$2" >"$root/src/$1"
    if out=$(sh "$here/check.sh" "$root"); then
        echo "not noticed: $3"
        exit 1
    fi
    case $out in
    *"src/$1:2:"* | *"src/$1: room"*) ;;
    *) echo "$3: the message names no file and line: $out"; exit 1 ;;
    esac
    rm "$root/src/$1"
}
planted base/up.c tensor/t.h "a lower floor includes a higher one"
planted dtype/side.c hw/isa.h "siblings include each other"
planted tensor/lost.c nowhere/x.h "an unknown room"
planted tensor/dots.c ../base/a.h "a path with .."
planted tensor/bare.c fine.h "a name without its room"
planted attic/x.c base/a.h "a file in an unknown room"
echo "six planted violations found"
