# Building twice gives the same program; the arena that is printed is the arena that is allocated.
. "$(dirname "$0")/lib.sh"

check "compile a class again" "$EBRU" compile -q "$MODELS/shapes-32" -o again
check "same program" cmp "$EBRU_PROGRAMS/shapes-32" again
check "compile -O0" "$EBRU" compile -q -O0 "$MODELS/shapes-128" -o quick
"$EBRU" compile -O0 "$MODELS/shapes-128" -o again 2>compile.txt
check "same program -O0" cmp quick again
said=$(sed -n 's/.*arena \([0-9]*\) bytes.*/\1/p' compile.txt)
./again -v --progress=none -p x --steps 1 -o arena.png 2>run.txt
used=$(sed -n 's/^arena \([0-9]*\) bytes.*/\1/p' run.txt)
if [ -n "$said" ] && [ "$said" = "$used" ]; then pass "arena $said bytes"; else fail "arena: compiled '$said', allocated '$used'"; fi
done_testing
