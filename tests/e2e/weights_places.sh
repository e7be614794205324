# Where the weights are kept changes no bit; a program cut short says so.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/base_picture.sh"

for place in embed append external; do
    check "compile --weights=$place" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" --weights=$place -o "w-$place"
    check "paint $place" paint "w-$place" "w-$place.png"
    check "bits $place" cmp base.png "w-$place.png"
done
head -c 5000000 w-append >cut && chmod +x cut # all of the code, a part of the weights
if paint cut cut.png >cut.txt 2>&1; then
    fail "a truncated program runs"
elif grep -q "is truncated" cut.txt; then
    pass "truncated program: $(cat cut.txt)"
else
    fail "a truncated program: $(cat cut.txt)"
fi
done_testing
