# Pictures as input: the PNG decoder is in the programs that take pictures and in no other.
. "$(dirname "$0")/lib.sh"

"$EBRU" compile -q "$MODELS/class-unet-32.json" --weights=random:1 --emit=ir -o without.ir || exit 1
sed '0,/^meta/s//meta "pipeline.image_input" = 1\nmeta/' without.ir >with.ir
check "the IR says it takes pictures" grep -q image_input with.ir
for p in without with; do check "compiles $p pictures" "$EBRU" compile -q $p.ir -o $p; done
# names and messages of libpng's and zlib's readers, which a program holds stripped or not
for text in "Not enough image data" "invalid distance too far back" png_read_row inflateInit; do
    check "a program with pictures has '$text'" grep -q "$text" with
    check "one without has not" sh -c '! grep -q "$1" without' sh "$text"
done
with=$(wc -c <with)
without=$(wc -c <without)
if [ "$with" -gt $((without + 50000)) ]; then
    pass "sizes: $without bytes without, $with with"
else
    fail "sizes: $without bytes without, $with with"
fi
for p in without with; do check "a program $p pictures paints" ./$p -q --class 1 --steps 1 -o $p.png; done
check "the same picture" cmp with.png without.png
done_testing
