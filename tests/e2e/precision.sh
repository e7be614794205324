# --precision=: every network of the goldens in its class (rms error over rms: bf16x3 1e-4, bf16 2e-2, int8 5e-2) in the evaluator, some of them compiled; pictures
# in bf16 beside those of PyTorch in f32; the same bits for any thread count; what a program says of itself.
. "$(dirname "$0")/lib.sh"

FORCED=-flower_int8=time:1000 # int8 also where another way is faster

verify() { # verify GOLDEN OPTIONS
    golden=$1
    shift
    "$EBRU" verify "$GOLDENS/$golden" --io="$GOLDENS/$golden/io.safetensors" "$@"
}
# at levels that have units for the precision, or f32 would be the fastest way
for g in "$GOLDENS"/*/io.safetensors; do
    name=$(basename "$(dirname "$g")")
    check "$name evaluated in bf16x3" verify "$name" --evaluator --precision=bf16x3 -mcpu=x86-64-v4-amx
    check "$name evaluated in bf16" verify "$name" --evaluator --precision=bf16 -mcpu=x86-64-v4-bf16
    check "$name evaluated in int8" verify "$name" --evaluator --precision=int8 $FORCED
done
for name in unet-sd1 vae-kl text-gelu; do
    # specialised kernels for one of the two, by turns
    low=-O3 three=$QUICK
    [ $name = vae-kl ] && low=$QUICK three=-O3
    check "$name compiled in bf16x3" verify "$name" --precision=bf16x3 $three
    check "$name compiled in bf16" verify "$name" --precision=bf16 $low
    check "$name compiled in int8" verify "$name" --precision=int8 $FORCED $QUICK
done
check "unet2d-class compiled in bf16" verify unet2d-class --precision=bf16 $QUICK
for level in x86-64-v2 x86-64-v3; do
    if has_level $level; then
        check "vae-kl in int8 on $level" verify vae-kl --precision=int8 $FORCED -mcpu=$level $QUICK
        check "vae-kl in bf16 on $level" verify vae-kl --precision=bf16 -mcpu=$level $QUICK
    else
        echo "skip: vae-kl in bf16 and int8 on $level (not on this CPU)"
    fi
done
# the classes are classes: bf16 is not in that of f32
verify unet-sd1 --evaluator --precision=bf16 -mcpu=x86-64-v4-bf16 --tolerance=1e-4 >/dev/null && fail "bf16 passed for f32" || pass "bf16 is told from f32"

expected() { # expected FILE NAME FIELD: a field of the row NAME
    awk -F'\t' -v name="$2" -v field="$3" '$1 == name { print $field }' "$1"
}
list=$MODELS/shapes-128/expected/prompts.tsv
first=$(grep -v '^#' "$list" | head -n 1 | cut -f 1)
paint() { # paint PROGRAM OUT OPTIONS
    program=$1
    out=$2
    shift 2
    "./$program" -q -p "$(expected "$list" "$first" 2)" -n "$(expected "$list" "$first" 3)" --steps "$(expected "$list" "$first" 4)" \
        --cfg-scale "$(expected "$list" "$first" 5)" -s "$(expected "$list" "$first" 6)" -o "$out" "$@"
}
check "compile shapes-128 in bf16" "$EBRU" compile -q $QUICK "$MODELS/shapes-128" --precision=bf16 -o low
check "paint in bf16" paint low low.png
check "the picture in bf16" "$EBRU_PNGDIFF" low.png "$MODELS/shapes-128/expected/$first.png" 30
cmp -s low.png "$MODELS/shapes-128/expected/$first.png" && fail "bf16 gave the bits of f32" || pass "bf16 gave bits of its own"
for t in 1 2 3 7; do
    check "paint in bf16 -t $t" paint low "t$t.png" -t $t
    check "bits in bf16 -t $t" cmp low.png "t$t.png"
done
check "text in the picture" grep -q "Precision: bf16, " low.png
check "build info" sh -c './low --build-info | grep -x "precision: bf16"'
check "inspect" sh -c "'$EBRU' inspect low | grep -x 'precision: bf16'"
check "bench" sh -c './low --bench=json --runs=1 --function=text_encoder | grep "\"precision\":\"bf16\""'

# text says what precision it was lowered to, and goes on from there
check "stop in bf16" "$EBRU" compile -q "$MODELS/shapes-32" --precision=bf16 --stop-after=lower_precision -o low.ir
check "go on" "$EBRU" compile -q $QUICK low.ir -o from
check "go on in bf16" sh -c './from --build-info | grep -x "precision: bf16"'
check "compile shapes-32 in bf16" "$EBRU" compile -q "$MODELS/shapes-32" --precision=bf16 -O3 -o s32
list32=$MODELS/shapes-32/expected/classes.tsv
first=$(grep -v '^#' "$list32" | head -n 1 | cut -f 1)
for program in s32 from; do
    check "paint with $program" "./$program" -q --class "$(expected "$list32" "$first" 2)" --steps "$(expected "$list32" "$first" 3)" \
        -s "$(expected "$list32" "$first" 4)" -o $program.png
done
check "the class in bf16" "$EBRU_PNGDIFF" s32.png "$MODELS/shapes-32/expected/$first.png" 30
check "the same from text" cmp s32.png from.png
# bits PRECISION NAME [OPTION]: NAME.png and its like are the same by any number of threads
bits() {
    check "compile shapes-32 in $1" "$EBRU" compile -q $QUICK "$MODELS/shapes-32" --precision="$1" $3 -o "$2"
    for t in 1 2 3 7; do
        check "paint in $1 -t $t" "./$2" -q --class "$(expected "$list32" "$first" 2)" --steps "$(expected "$list32" "$first" 3)" \
            -s "$(expected "$list32" "$first" 4)" -o "$2$t.png" -t $t
        check "bits in $1 -t $t" cmp "${2}1.png" "$2$t.png"
    done
}
bits bf16x3 three
bits int8 bytes $FORCED
check "the class in int8" "$EBRU_PNGDIFF" bytes1.png "$MODELS/shapes-32/expected/$first.png" 38
check "build info of int8" sh -c './bytes --build-info | grep -x "precision: int8"'
check "weights of int8" sh -c 'test $(stat -c %s bytes) -lt $(stat -c %s s32)'
check "the class in bf16x3" "$EBRU_PNGDIFF" three1.png "$MODELS/shapes-32/expected/$first.png" 45

# a quantization file: a filter of the middle stays in f32
cat >classes.json <<'END'
{"format": "ebru-quantization-1", "model": "shapes-32", "weights": "0123456789abcdef", "ops": [
 {"component": "unet", "weight": "mid.res1.conv1.weight", "precision": "f32"}]}
END
check "compile shapes-32 with a quantization file" "$EBRU" compile -q $QUICK "$MODELS/shapes-32" --precision=int8 $FORCED \
    --quantization=classes.json -o classed
check "paint with it" ./classed -q --class "$(expected "$list32" "$first" 2)" --steps "$(expected "$list32" "$first" 3)" \
    -s "$(expected "$list32" "$first" 4)" -o classed.png
check "the class with it" "$EBRU_PNGDIFF" classed.png "$MODELS/shapes-32/expected/$first.png" 38
cmp -s classed.png bytes1.png && fail "the quantization file changed nothing" || pass "the quantization file changed the bits"
check "text says so" grep -q "Precision: int8, Quantization: [0-9a-f]*, " classed.png
check "a trace" ./classed -q --class 1 --steps 1 --profile classed.json -o traced.png
"$EBRU" report "$MODELS/shapes-32" classed.json --quantization=classes.json $FORCED --json >report.json 2>/dev/null
check "the report says so" grep -q '"form": "[^"]*", "precision": "f32", "filter": "unet/mid.res1.conv1.weight"' report.json
check "build info says so" sh -c './classed --build-info | grep -x "quantization: [0-9a-f]*"'
done_testing
