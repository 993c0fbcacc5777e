#!/bin/sh
# man.sh HONE FOLDER: hone.1 and a page per command, from the program's own table.
set -eu
hone=$1 folder=$2
mkdir -p "$folder"
"$hone" --man >"$folder/hone.1"
"$hone" help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | while read -r command; do
    "$hone" --man "$command" >"$folder/hone-$command.1"
done
echo "man: $(ls "$folder" | wc -l) pages in $folder"
