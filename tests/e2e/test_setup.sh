# ./setup where something is missing and cannot be installed: no root, no network, no apt-get. The
# tools that it asks are stood in for, so that nothing is installed here.
. "$(dirname "$0")/lib.sh"
mkdir "$WORK/bin"
fake() { # fake NAME BODY
    printf '#!/bin/sh\n%s\n' "$2" >"$WORK/bin/$1"
    chmod +x "$WORK/bin/$1"
}
setup() { PATH="$WORK/bin:$PATH" sh "$HONE_SOURCE_DIR/setup"; }

fake pkg-config 'case "$2" in jansson) exit 1 ;; esac; exit 0'
fake sudo 'exit 1'
fake id 'echo 1000'
fake apt-get 'echo "$@" >>"$0.log"; exit 100'
expect 1 setup
says "still missing: libjansson-dev"
says "apt-get install -y --no-install-recommends libjansson-dev"
[ ! -e "$WORK/bin/apt-get.log" ] || fail "without root apt-get was called"

fake id 'echo 0'
expect 1 setup
says "no network"
says "dpkg -i"
grep -q update "$WORK/bin/apt-get.log" || fail "apt-get update was not tried"

# sudo without a password is used.
rm -f "$WORK/bin/apt-get.log"
fake id 'echo 1000'
fake sudo '[ "$1" = -n ] && shift; [ "$1" = true ] && exit 0; exec "$@"'
expect 1 setup
grep -q libjansson-dev "$WORK/bin/apt-get.log" || fail "sudo was not used"

# Says yes, does nothing.
fake apt-get 'exit 0'
expect 1 setup
says "still not there"

# Nothing is missing: silent.
fake pkg-config 'exit 0'
expect 0 setup
silent
finish
