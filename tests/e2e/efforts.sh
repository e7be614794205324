# Every effort of the code generator gives the same bits, so that programs of -O0 stand for those of -O3.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/base_picture.sh"

check "compile -O0" "$EBRU" compile -q -O0 "$MODELS/shapes-128" -o quick
check "paint -O0" paint quick quick.png
check "bits -O0" cmp base.png quick.png
check "paint a class -O3" "$EBRU_PROGRAMS/shapes-32" -q --class 3 --steps 2 -o class.png
for effort in 0 1 2; do
    check "compile a class -O$effort" "$EBRU" compile -q -O$effort "$MODELS/shapes-32" -o class
    check "paint it" ./class -q --class 3 --steps 2 -o "class$effort.png"
    check "bits -O$effort" cmp class.png "class$effort.png"
done
done_testing
