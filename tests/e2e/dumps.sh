# Every dump is accepted and prints back identically (of the large model one of four).
. "$(dirname "$0")/lib.sh"

for model in shapes-32 shapes-128; do
    mkdir -p "dumps-$model"
    check "dump $model" "$EBRU" compile -q "$MODELS/$model" --dump-dir="dumps-$model" --emit=ir -o /dev/null
    number=0
    for f in "dumps-$model"/*.ir; do
        number=$((number + 1))
        [ $model = shapes-32 ] || long || [ $((number % 4)) = 1 ] || continue
        check "opt $f" sh -c "'$EBRU' opt '$f' -o back.ir && cmp '$f' back.ir"
    done
done
done_testing
