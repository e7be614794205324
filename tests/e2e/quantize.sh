# ebru quantize: a file by what rounding really does, read back by the compiler; what cannot be reached; nothing half.
. "$(dirname "$0")/lib.sh"
MODEL=$MODELS/shapes-32
LEVEL=native
TMPDIR=$EBRU_WORK/temporary
mkdir "$TMPDIR"
export TMPDIR
quantize() { # quantize FILE OPTION...
    file=$1
    shift
    "$EBRU" quantize "$MODEL" -O0 -mcpu=$LEVEL -o "$file" "$@" >out.txt 2>err.txt
}
cat >holds.py <<'PY'
# holds.py FILE: the file's form, and that what was measured holds the budget
import json, sys
q = json.load(open(sys.argv[1]))
assert q["format"] == "ebru-quantization-1" and q["model"] == "shapes-32", q
assert 44 < q["budget_dB"] <= 55 and q["result_dB"] >= q["budget_dB"], q["result_dB"]
ops = q["ops"]
assert len({o["weight"] for o in ops}) == len(ops) > 60, len(ops)
assert all(o["why"] for o in ops)
lower = [o for o in ops if "result_dB" in o]
assert len(lower) > 55 and all(o["component"] == "unet" for o in ops)
for o in lower:
    own, result = o["signal_to_noise_dB"], o["result_dB"]
    assert 45 < own["bf16"] < 75 and result["bf16"] > 50, o
    if "int8" in own: assert 35 < own["int8"] < own["bf16"] and result["int8"] < result["bf16"], o
print(sum(o["precision"] == "int8" for o in ops), "int8,", sum(o["precision"] == "bf16" for o in ops), "bf16")
PY
check "measured" quantize q.json --samples=2
check "the file says so" python3 holds.py q.json
check "what int8 everywhere gives, and what was chosen" grep -qE '^unet: [0-9.]+ dB with int8 wherever it is fastest, [0-9.]+ dB as chosen \(expected [0-9.]+\)$' out.txt
check "a row a filter, the worst first" sh -c 'test $(grep -cE "^(int8|bf16|f32) .* unet/" out.txt) -gt 60 && grep -A1 "^class" out.txt | grep -q " unet/"'
check "how long it takes is told first" grep -qE '^unet: 2 samples, about [0-9]+ (s|min)$' err.txt
cp q.json first.json
# programs by the file are nearer to f32 than int8 wherever it is fastest
program() { # program NAME OPTION...: pictures NAME.0.png to NAME.3.png
    name=$1
    shift
    "$EBRU" compile -q "$MODEL" -O0 -mcpu=$LEVEL "$@" -o "program.$name" || return 1
    for c in 0 1 2 3; do "./program.$name" -q --class $c -s $c --steps 8 -o "$name.$c.png" || return 1; done
}
nearness() { # nearness NAME: mean PSNR of its pictures against f32, in hundredths
    for c in 0 1 2 3; do "$EBRU_PNGDIFF" f32.$c.png "$1.$c.png"; done | sed 's/^inf/99/' | awk '{ sum += $1 } END { printf "%d\n", sum * 25 }'
}
program f32 && program int8 --precision=int8
check "compiled by the file" program by --precision=int8 --quantization=q.json
check "its pictures are nearer: $(nearness by) hundredths of a dB, int8 $(nearness int8)" test "$(nearness by)" -gt "$(nearness int8)"
printf 'a cat\n' >prompts
check "the same once more, without a word" quantize q.json --samples=2 -q --prompts=prompts
check "equal" cmp first.json q.json
check "but for prompts of a model that has none" sh -c 'test $(wc -l <err.txt) = 1 && grep -q "warning: --prompts does nothing" err.txt'
quantize none.json --samples=1 --budget=120
check "what cannot be reached is told" sh -c "test $? = 1 && grep -q 'budget of 120 dB is out of reach for unet: with every filter in f32' err.txt && test ! -e none.json"
MODEL=$GOLDENS/vae-tiny
check "networks without a pipeline" quantize vae.json --samples=1
check "have made-up inputs" grep -q "inputs of its networks were made up" err.txt
MODEL=$MODELS/shapes-32
"$EBRU" quantize "$MODEL" -O0 --samples=100 -o q.json >out.txt 2>err.txt &
sleep 2
kill -TERM $!
wait $!
check "when it is stopped nothing stays half" sh -c 'test -z "$(ls -A "$TMPDIR")" && test -z "$(ls -A | grep ebru-tmp)" && python3 -c "import json; json.load(open(\"q.json\"))"'
done_testing
