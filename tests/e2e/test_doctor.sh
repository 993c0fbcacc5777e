# hone doctor: facts as text and JSON; HONE_ISA is noticed.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
expect 0 "$HONE" doctor
prints "instruction sets"
prints "memory"
expect 0 "$HONE" doctor --json
is_json "$WORK/out"
prints '"facts"'
expect 0 env HONE_ISA=scalar "$HONE" doctor
prints "unset HONE_ISA"
finish
