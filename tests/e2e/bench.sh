# The benchmark programs: their arithmetic on made-up figures and on a real trace; that they run. What they measure is not asserted.
. "$(dirname "$0")/lib.sh"
is() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1: '$3', expected '$2'"; fi; }
BENCH=$EBRU_SOURCE/bench

python3 - <<PY >trace.log 2>&1
import json
# two evaluations (the first is the warm-up) of three ops by two threads; q and k have no barrier between them
events = []
for tid in (0, 1):
    for run, begin in ((0, 0), (1, 10000)):
        events.append({"ph": "X", "pid": 1, "tid": tid, "ts": begin, "dur": 3000 * (1 + run), "cat": "function", "name": "net.step", "args": {"call": run + 1, "counts": run > 0}})
        at = begin
        for name, result, dur, flops in (("linear", "q", 1000, 4e9), ("linear", "k", 1000, 4e9), ("softmax", "s", 500, 1e6)):
            events.append({"ph": "X", "pid": 1, "tid": tid, "ts": at, "dur": dur * (1 + run), "cat": "op", "name": name,
                           "args": {"block": "mid." + name, "kernel": "k", "result": result, "flops": flops, "bytes": 1e6, "weight_bytes": 2e6}})
            at += dur * (1 + run)
json.dump({"traceEvents": events, "otherData": {"roofs": {"gflops": 1000, "unit": "fma"}}}, open("made.json", "w"))
PY
has() { # has WHAT PATTERN: a line of out.txt
    check "$1" grep -qE "$2" out.txt
}
"$BENCH/ops" --peak 1000 made.json net.step >out.txt 2>&1
has "an evaluation without the warm-up" 'net.step: 6\.0 ms an evaluation \(mean of 1\), peak in GFLOP/s: 1000'
has "ops of a kind add up: time, FLOP, bytes of values and weights" '^linear \(k\) +2 +4\.00 +66\.7 +2000\.0 +200\.0 +6\.0 +1\.5'
has "all" '^all +3 +6\.00 +100\.0'
"$BENCH/ops" --by shape made.json made.json net.step >out.txt 2>&1
has "two traces by shape" '^linear \(k\) k +1 +1 +2\.00 +2\.00 +0\.00'
python3 - <<PY
import json
# one evaluation more, its linears slower and its softmax quicker
trace = json.load(open("made.json"))
again = [dict(e, ts=e["ts"] + 20000, dur=e["dur"] // 2 if e["name"] == "softmax" else e["dur"] * 2) for e in trace["traceEvents"] if e["ts"] >= 10000]
json.dump(dict(trace, traceEvents=trace["traceEvents"] + again), open("twice.json", "w"))
PY
"$BENCH/ops" --least --peak 1000 twice.json net.step >out.txt 2>&1
has "of every op the least" "net.step: 4\.5 ms an evaluation \(every op's least of 2\)"
has "linears of the first" '^linear \(k\) +2 +4\.00'
has "and nothing waits" '^waiting +0 +0\.00'
"$BENCH/ops" made.json nothing >out.txt 2>&1
has "another function is refused" 'no events of nothing'

check "a network is compiled" "$EBRU" compile -q $QUICK "$MODELS/shapes-32" --weights=random:1 -o net
check "and profiled" sh -c './net --bench --runs=2 --function=unet --profile net.json >/dev/null 2>&1'
"$BENCH/ops" --peak 1000 net.json unet.step >out.txt 2>&1
has "its table counts two of three evaluations" 'unet.step: .* \(mean of 2\)'
calls=$(awk '/^all / { print $2 }' out.txt)
is "with every op" "$(./net --build-info | sed -n 's/^function: unet.step, .* \([0-9]*\) ops.*/\1/p')" "$calls"

cc -std=gnu17 -O2 -Wall -Wextra -Werror -o peaks "$BENCH/peaks.c" -lpthread
check "the machine's peaks" sh -c './peaks 2 | python3 -c "import json, sys; p = json.load(sys.stdin); assert p[\"fma128\"] > 0 and p[\"read\"] > 0"'
if grep -qw cpuid_fault /proc/cpuinfo && grep -qw avx512f /proc/cpuinfo; then
    printf '#include <cpuid.h>\nint main(void) { unsigned a, b, c, d; __get_cpuid_count(7, 0, &a, &b, &c, &d); return (b >> 16 & 1) * 2 + !(b >> 5 & 1); }\n' >cpuid.c
    cc -shared -fPIC -O2 -Wall -Wextra -Werror -o no_avx512.so "$BENCH/no_avx512.c" -ldl && cc -o cpuid cpuid.c
    ./cpuid
    is "AVX-512 is there" 2 $?
    LD_PRELOAD=./no_avx512.so ./cpuid
    is "and can be hidden, AVX2 not" 0 $?
else
    echo "skipped: hiding AVX-512 (this CPU's CPUID cannot be made to fault, or has none)"
fi

PYTHONPATH=$BENCH/lib python3 - >out.txt 2>&1 <<'PY'
import machine, report, trace, works
# a round of ebru has the peaks its program measured and the ops; the second was disturbed
def row(peer, ms, level=None, precision="f32", peaks=(), ops=(), cores=1):
    rounds = [{"median_ms": m, "min_ms": m} for m in ms]
    for one, k in zip(rounds, peaks):
        one.update({"gflop": 2, "peaks": k, "peak_core_share": cores, "ops": list(ops)})
    return {"peer": peer, "precision": precision, "level": level, "rounds": rounds}
v4 = [{"f32": 200.0, "memory": 10}, {"f32": 120.0, "memory": 8, "int8": 700.0}, {"f32": 190.0, "memory": 9, "int8": 800.0}]
results = [{"work": "w", "batch": 1, "engines": {
    "ebru-f32": row(False, [10, 30, 20], "x86-64-v4", peaks=v4, ops=[("f32", 2e9, 0), ("f32", 0, 5e7)]),
    "ebru-int8": row(False, [5], "x86-64-v4", "int8", peaks=v4[2:], ops=[("int8", 1.6e9, 1e6), ("f32", 0.2e9, 0)]),
    "ebru-f32@x86-64-v3": row(False, [40], "x86-64-v3", peaks=[{"f32": 100.0, "memory": 10}], ops=[("f32", 2e9, 0)]),
    "ort-f32": row(True, [50, 30], "x86-64-v4"), "torch-f32@x86-64-v2": row(True, [80], "x86-64-v2"),
    "torch-bf16": {**row(True, []), "missing": "no such instructions"}}}]
peaks = report.traced_peaks(results)
assert peaks["x86-64-v4"] == {"f32": 200.0, "memory": 10, "int8": 800.0}, peaks
assert report.wanting(results, peaks) == {"x86-64-v2"}
peaks["x86-64-v2"] = machine.bare_roofs({"threads": 2, "fma512": 200.0, "fma256": 100.0, "fma128": 50.0, "read": 10}, "x86-64-v2")
report.summary(results, peaks)
e, near = results[0]["engines"], lambda a, b: abs(a - b) < 1e-9
assert e["ebru-f32"]["median_ms"] == 20 and e["ebru-f32"]["min_ms"] == 10
assert near(e["ebru-f32"]["share_of_peak"], 0.5) and near(e["ebru-f32"]["share_of_roof"], 0.75)
assert near(e["ebru-int8"]["share_of_peak"], 0.6) and near(e["ebru-f32@x86-64-v3"]["share_of_peak"], 0.5)
assert near(e["ort-f32"]["share_of_peak"], 0.25) and near(e["torch-f32@x86-64-v2"]["share_of_peak"], 0.5)
assert e["ort-f32"]["median_ms"] == 40 and e["ebru-f32"]["peer_over_it"]["ort-f32"] == 2.0 and results[0]["best_peer"] == "ort-f32"
# what a program tells: every stage once, by its products
of, cores, ops = trace.network("net.json", "unet")
assert of["f32"] > 0 and of["memory"] > 0 and 0 < cores <= 1 and {kind for kind, _, _ in ops} == {"f32"}
assert len(ops) > len([o for o in ops if o[1]]) > 0
print(report.table(results, peaks, {"cpus": 2, "features": []}, 2))
assert works.WORKS["sd15-unet"].feeds_of(2)[2] == "encoder_hidden_states=float32:2x77x768"
PY
is "medians, shares and ratios" 0 $?
has "rounds that something disturbed" '^round 2: the machine reached 60 %'
has "who did not run, and why" '^torch-bf16 +no such instructions'
check "unknown engines are refused" sh -c '! "$0" --engines ebru-f64 --work . 2>err.txt && grep -q "unknown engine: ebru-f64" err.txt' "$BENCH/compare"
check "unknown works are refused" sh -c '! "$0" --works nothing:1 2>err.txt && grep -q "unknown work" err.txt' "$BENCH/compare"
cat >scale.json <<'J'
{"precision": "f32", "points": [{"size": 256, "batch": 1, "min_ms": 900}, {"size": 512, "batch": 1, "min_ms": 4000},
 {"size": 1024, "batch": 1, "min_ms": 30000}, {"size": 512, "batch": 2, "min_ms": 7000}]}
J
check "the plot is drawn" "$BENCH/scale" --plot --data scale.json
check "and is XML" python3 -c 'import xml.dom.minidom; d = xml.dom.minidom.parse("scale.svg"); assert len(d.getElementsByTagName("circle")) == 5'
cat >threads.json <<'J'
{"works": {"unet": {"f32": {"barrier_ns": 100, "rows": [{"threads": 1, "speedup": 1, "fixed": 1, "work": 1}, {"threads": 8, "speedup": 7.25, "fixed": 4, "work": 1.1}]},
 "int8": {"barrier_ns": 100, "rows": [{"threads": 1, "speedup": 1, "fixed": 1, "work": 1}, {"threads": 8, "speedup": 6, "fixed": 3, "work": 1.2}]}}}}
J
"$BENCH/threads" --plot --data threads.json >out.txt 2>&1
has "predictions as Markdown" '^\| U-Net of SD 1.5, f32 \| 1\.0 \| 7\.2 \|$'
has "of each precision" '^\| U-Net of SD 1.5, int8 \| 1\.0 \| 6\.0 \|$'
check "their plot is XML" python3 -c 'import xml.dom.minidom; xml.dom.minidom.parse("threads.svg")'
"$BENCH/threads" --program ./net --function unet.step --runs 1 --barrier 100 >out.txt 2>&1
has "a prediction of a program" '^\| unet.step \| 1\.0 \|'
check "no such precision" sh -c '! "$0" --precisions f16 2>err.txt && grep -q "unknown: f16; there are f32, bf16x3, bf16, int8" err.txt' "$BENCH/threads"

"$BENCH/forms" "$MODELS/shapes-32" --weights=random:1 --precisions f32,bf16,int8 --ebru "$EBRU" -mcpu=x86-64-v4-bf16 >out.txt 2>&1
has "forms: attention by precision" '^\| unet.step \| attention \| bf16 \|  \| 6 \| 6 \|$'
has "convolutions of 8-bit integers" '^\| unet.step \| convolution \| direct, 3x3, int8 \|  \|  \| [0-9]+ \|$'
has "and what they were estimated to cost" '^\| conv2d \| 1x64x16x16 \| 1\.00 \| [0-9.]+ '
check "what the compiler refuses is said" sh -c '! "$0" models/nothing --ebru "$1" 2>err.txt && grep -q nothing err.txt' "$BENCH/forms" "$EBRU"

python3 - >out.txt 2>&1 <<PY
import importlib.machinery, importlib.util, pathlib, sys, xml.dom.minidom
loader = importlib.machinery.SourceFileLoader("precision", "$EBRU_SOURCE/scripts/precision")
precision = importlib.util.module_from_spec(importlib.util.spec_from_loader("precision", loader))
sys.dont_write_bytecode = True
loader.exec_module(precision)
width, rows = precision.read_png(pathlib.Path("$MODELS/shapes-32/expected/heart.png"))
assert width == 32 and len(rows) == 32
precision.write_png(pathlib.Path("heart.png"), width, rows)
errors = {"bf16": [[1e-3 * (k + 1) for k in range(precision.STEPS)]], "bf16x3": [[0.0] * precision.STEPS]}
precision.draw(pathlib.Path("steps.svg"), {"shapes-32": errors, "shapes-128": {"bf16x3": errors["bf16x3"]}})
assert len([p for p in xml.dom.minidom.parse("steps.svg").getElementsByTagName("path") if p.getAttribute("class").startswith("curve")]) == 1
PY
is "errors along the steps are drawn, on an axis without 0" 0 $?
check "a picture is read and written as it is" sh -c '"$0" heart.png "$1" 90' "$EBRU_PNGDIFF" "$MODELS/shapes-32/expected/heart.png"
done_testing
