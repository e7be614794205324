# ebru tune: records of a small network within seconds; they are used, kept, not measured again; pictures are the same.
. "$(dirname "$0")/lib.sh"
MODEL=$MODELS/shapes-32
LEVEL=x86-64-v2
[ "$(uname -m)" = x86_64 ] || LEVEL=armv8-a
tune() { # tune FILE OPTION...: writes what it prints to out.txt
    file=$1
    shift
    "$EBRU" tune -q "$MODEL" --component=unet --weights=random:1 -mcpu=$LEVEL -o "$file" "$@" >out.txt 2>err.txt
}
paint() { # paint RECORDS: the picture of a program compiled with them
    "$EBRU" compile -q "$MODEL" -O0 --weights=random:1 -mcpu=$LEVEL "--tuning=$1" -o "net.$2" && "./net.$2" -q --class 1 --steps 2 -t2 -o "$2.png"
}
check "tuned within a budget" tune all.jsonl --budget=2
check "the table ends with the gain of all" sh -c 'tail -n 3 out.txt | grep -q "^all kernels with tiles"'
check "rows say how many nodes, where, which form" sh -c '! grep -q " -> F(" out.txt || grep -qE "^conv2d f32\[[0-9,]*\] -> f32\[[0-9,]*\] +[0-9]+  (e\.g\. )?unet\.step %[0-9]+ [a-z].* direct -> F\([24],3\)" out.txt'
check "what the changes come to" sh -c 'tail -n 1 out.txt | grep -qE "^[0-9]+ nodes change their form and [0-9]+ their tiles: (the same|other) bits, weights (as they were|[0-9.]+ -> [0-9.]+ MiB), [0-9.]+ -> [0-9.]+ ms by kernels$"'
check "a record a kernel" sh -c 'python3 -c "import json; r = [json.loads(l) for l in open(\"all.jsonl\")]; assert len(r) == len({(x[\"op\"], x[\"key\"]) for x in r}) > 30"'
check "the three ways of a convolution" sh -c 'grep -q "\"op\":\"conv2d\"" all.jsonl && grep -q "M=2\"" all.jsonl && grep -q "M=4\"" all.jsonl'
cp all.jsonl first.jsonl
tune all.jsonl --budget=1
cat >again.py <<'PY'
import json
key = lambda r: (r["op"], r["key"])
done = {key(r) for r in map(json.loads, open("first.jsonl")) if r["tried"]}
after = [key(json.loads(l)) for l in open("all.jsonl")]
assert all(after.count(k) == 1 for k in done) and len(after) < 2 * len(set(after))
PY
check "what was searched is not measured again" python3 again.py
# by these records every direct sum takes another form: the table says so, and what to type
sed 's/"op":"conv2d",\(.*\)"ns":\[[0-9,]*\]/"op":"conv2d",\1"ns":[1000000000]/' all.jsonl >forms.jsonl
"$EBRU" tune "$MODEL" --component=unet --weights=random:1 -mcpu=$LEVEL -o forms.jsonl --budget=1 >out.txt 2>&1
check "forms as from and to, with the weights' growth" sh -c 'grep -q "direct -> F(4,3)" out.txt && grep -qE "^[1-9][0-9]* nodes change .* other bits, weights [0-9.]+ -> [0-9.]+ MiB" out.txt'
check "candidates that were not taken have no row" sh -c '! grep -qE "^conv2d_winograd|another" out.txt && test $(grep -c " -> F(" out.txt) -ge 5'
check "what to type next" grep -q "^next: ebru tune $MODEL --component=unet -mcpu=$LEVEL --weights=random:1 --budget=1 --check -o forms.jsonl" out.txt
check "then where the records are" sh -c 'tail -n 1 out.txt | grep -q "^records: forms.jsonl"'
# ways by time: a direct sum that took a second takes another form
sed 's/"op":"conv2d",\(.*\)"ns":\[[0-9,]*\]/"op":"conv2d",\1"ns":[1000000000]/' all.jsonl >slow.jsonl
"$EBRU" compile -q "$MODEL" --component=unet --weights=random:1 -mcpu=$LEVEL --tuning=slow.jsonl --emit=ir -o slow.ir
check "ways are chosen by records" grep -q "= conv2d_winograd.*kernel conv2d_winograd" slow.ir
"$EBRU" compile -q "$MODEL" --component=unet --weights=random:1 -mcpu=$LEVEL --tuning=slow.jsonl --fusion-report -o - --emit=ir >report.txt
check "and the report says so" grep -q "winograd" report.txt
check "tuned to keep bits, and whole programs timed" tune keep.jsonl --budget=3 --keep-bits --check -O0
check "function by function" grep -q '^unet.step  *[0-9.]* ' out.txt
paint none none && paint all.jsonl all && paint keep.jsonl keep
check "which it does" cmp none.png keep.png
check "other records keep the picture" "$EBRU_PNGDIFF" none.png all.png 60
# a search that took any legal tile must not change bits either
python3 - <<'PY'
import json
rows = [json.loads(l) for l in open("all.jsonl")]
with open("odd.jsonl", "w") as f:
    for r in rows:
        key = dict(p.split("=") for p in r["key"].split())
        if r["op"] == "conv2d" and key.get("KH") == "3" and "M" not in key:
            r["choice"] = {"TH": max(1, int(key["OH"]) // 3), "KC": 1, "MR": 1, "PG": 1, "NB": 1}
            f.write(json.dumps(r) + "\n")
PY
paint odd.jsonl odd
check "odd tiles of a direct sum keep bits" cmp none.png odd.png
check "the default place is the cache folder" sh -c '"$0" tune -q "$1" --component=unet --weights=random:1 --budget=1 >/dev/null && test -s "$EBRU_CACHE_DIR/tuning.jsonl"' "$EBRU" "$MODEL"
"$EBRU" compile "$MODEL" --component=unet --weights=random:1 -O0 -o net.native 2>summary.txt
check "where -mcpu=native finds them" sh -c '! grep -q "\"choice\":{\"" "$EBRU_CACHE_DIR/tuning.jsonl" || grep -q "kernels from tuning records" summary.txt'
done_testing
