# A program's trace and what is made of it: its form, what the report says, what it refuses.
. "$(dirname "$0")/lib.sh"
is() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1: '$3', expected '$2'"; fi; }
form() { python3 "$EBRU_SOURCE/tests/e2e/trace_check.py" "$1"; }
has() { # has WHAT PATTERN: a line of out.txt
    check "$1" grep -qE -- "$2" out.txt
}
# refused WHAT PATTERN COMMAND...: ends with 1 (of missing files, with 3) and says PATTERN, nothing on standard output
refused() {
    what=$1
    wanted=1
    [ "$what" = "no file" ] && wanted=3
    pattern=$2
    shift 2
    "$@" >out.txt 2>err.txt
    code=$?
    if [ $code = $wanted ] && grep -qE -- "$pattern" err.txt && [ ! -s out.txt ]; then pass "$what"; else
        fail "$what: exit $code, expected '$pattern'"
        cat err.txt
    fi
}

check "compiles" "$EBRU" compile -q -O1 "$MODELS/shapes-32" -o net
for t in 1 2 3; do
    check "$t threads" sh -c "./net -q -t$t --steps 3 --class 0 -o p.png --profile $t.json 2>table$t.txt"
    check "  nested, sorted, complete" form $t.json
done
check "the table has kinds of ops, ops, and the roofs" sh -c 'grep -q "roofs .* GFLOP/s .* GB/s" table2.txt && grep -q "^conv2d (conv2d)" table2.txt && grep -q "^unet.step %[0-9]* conv2d" table2.txt'
check "a trace of a network on tensors" sh -c './net --bench --runs=1 --function=unet --profile bench.json >/dev/null 2>&1'
check "  too" form bench.json

"$EBRU" report net 2.json >out.txt
is "report" 0 $?
has "says what was run" '^net: model shapes-32, precision f32, .* 2 threads'
has "phases and steps" '^  step +3 '
has "functions" '^unet.step +3 '
has "kinds" '^conv2d \(conv2d\) +[0-9]+ .*(compute|memory)'
has "ops" '^unet.step %[0-9]+ conv2d .*  (up|down|mid)'
has "blocks below their functions" '^    mid.attn'
has "threads" '^worker 1 '
has "what is beyond the roof" '^kind of op +calls +ms +% +lost ms '
has "the op that loses most" '^most time beyond the roof: unet.step %[0-9]+ .*: [0-9.]+ of [0-9.]+ ms'
has "  and what to type" '^  ebru bench MODEL --op=%[0-9]+ --function=unet.step$'
"$EBRU" report net 2.json --by=shape >out.txt
is "report by shape" 0 $?
has "  kinds with their results" '^conv2d \(conv2d\) f32\[1,128,8,8\]:c16 '
"$EBRU" report net 2.json --sort=lost --json -o lost.json
is "report by lost time" 0 $?
check "  sorted, and as defined" python3 - <<'PY'
import json
r = json.load(open("lost.json"))
for section in "ops", "kinds":
    lost = [x["lost_ms"] for x in r[section]]
    assert lost == sorted(lost, reverse=True) and lost[0] > 0, lost
for x in r["ops"]:
    roof = max(x["flops"] / r["roof_f32_gflops"], x["bytes"] / r["roof_memory_gbs"]) * 1e-6
    assert abs(x["lost_ms"] - max(x["ms"] - roof, 0)) <= 1e-6, (x, roof)
assert abs(sum(x["lost_ms"] for x in r["ops"]) - sum(x["lost_ms"] for x in r["kinds"])) < 1e-6
PY
# the roof of an op is that of its products, as the trace tells it op by op
sed 's/"f32_gflops":[0-9.]*/"f32_gflops":1/; s/"roof_gflops":[0-9.]*/"roof_gflops":0.5/' 2.json >slow.json
"$EBRU_SOURCE/bench/ops" slow.json unet.step >slow.txt
check "bench/ops takes the roofs of the trace" grep -q "peak in GFLOP/s: .*, f32 1.0" slow.txt
check "  those of the ops" awk '/^all/ { share = $6 / ($5 * 200); found = share > 0.98 && share < 1.02 } END { exit !found }' slow.txt
check "ebru report, too" sh -c '"$0" report net slow.json | grep -q "GFLOP/s (.*), 1.0 GFLOP/s in f32"' "$EBRU"
"$EBRU_SOURCE/bench/ops" 2.json unet.stpe 2>err.txt
check "bench/ops names the functions there are" grep -q "no events of unet.stpe in 2.json; it has unet.prompt, unet.schedule, unet.step" err.txt
"$EBRU" report net 2.json --sort=loss 2>err.txt
is "no such order" 2 $?
check "  suggests" grep -q "did you mean 'lost'" err.txt
"$EBRU" report net 2.json --json -o report.json
is "report as JSON" 0 $?
check "  adds up" python3 - <<'PY'
import json
r = json.load(open("report.json"))
near = lambda a, b: abs(a - b) <= 1e-6 * max(a, b, 1)
ms = lambda section, depth=0: sum(x["ms"] for x in r[section] if x["depth"] == depth)
waits = sum(x["wait_ms"] for x in r["kinds"])
assert near(ms("phases"), r["wall_ms"]), (ms("phases"), r["wall_ms"])
assert near(ms("kinds"), ms("ops")) and near(ms("kinds"), ms("blocks")) and near(ms("blocks"), ms("blocks", 1))
assert near(ms("kinds") + waits, r["in_functions_ms"])
assert near(ms("threads") / r["thread_count"], ms("kinds"))
for t in r["threads"]:  # a function's call is its work and its waiting
    assert abs(t["ms"] + t["wait_ms"] + t["outside_ms"] - r["wall_ms"]) < 0.03 * r["wall_ms"], t
PY
"$EBRU" report net 2.json 1.json >out.txt
is "two runs" 0 $?
has "function by function" '^unet.step +3 +3 +[0-9.]+ +[0-9.]+ +-?[0-9.]+ +[0-9.]+$'

check "the module" "$EBRU" compile -q "$MODELS/shapes-32" --emit=ir -o net.ir
check "a trace of IR" sh -c '"$0" report net.ir 2.json >out.txt' "$EBRU"
check "a trace of a model" sh -c '"$0" report "$1" 2.json >out.txt' "$EBRU" "$MODELS/shapes-32"
node=$(sed -n 's/^unet.step \(%[0-9]*\) .*/\1/p' out.txt | head -n 1)
check "its nodes are those of the text" sh -c 'sed -n "/^func @unet.step/,/^}/p" net.ir | grep -q "^ *$0 = .* kernel "' "$node"
has "and have places in the model" 'model\.json:[0-9]+:[0-9]+$|\.json:[0-9]+:[0-9]+$'

check "another program" "$EBRU" compile -q -O0 "$MODELS/shapes-32" -o other
# CPU time beside wall time: of a run that others disturbed, of one that was alone, of an older trace
sed 's/"cpu_us":[0-9.]*/"cpu_us":0.5/; s/"core_share":[0-9.]*/"core_share":0.4/' 2.json >busy.json
sed 's/"cpu_us":[0-9.]*/"cpu_us":900000000/; s/"core_share":[0-9.]*/"core_share":1/' 2.json >quiet.json
sed 's/"cpu_us":[0-9.]*,//; s/"core_share":[0-9.]*,//' 2.json >old.json
check "busy" sh -c '"$0" report net busy.json | grep -q "^another process had your cores: the threads had 0 %"' "$EBRU"
check "busy roof" sh -c '"$0" report net busy.json | grep -q "^the roof was measured while others had the cores (40 %"' "$EBRU"
check "quiet" sh -c '! "$0" report net quiet.json | grep "another process\|while others"' "$EBRU"
check "older" sh -c '! "$0" report net old.json | grep "another process\|CPU time"' "$EBRU"
refused "trace of another program" "2.json: a trace of another program than other" "$EBRU" report other 2.json
sed 's/ kernel conv2d {/ kernel conv2d_other {/' net.ir >changed.ir
refused "trace of another module" "a trace of another program: its ops do not have %" "$EBRU" report changed.ir 2.json
refused "trace of another precision" "a trace of another program: its ops do not have %" "$EBRU" report "$MODELS/shapes-32" --precision=bf16 2.json
refused "no program of ebru" "not a program made by ebru" "$EBRU" report /bin/true 2.json
refused "no file" "nothing.json" "$EBRU" report net nothing.json
refused "no trace" "p.png:1:1: error" "$EBRU" report net p.png
printf '{"traceEvents": []}' >foreign.json
refused "a trace of somebody else" "not a trace that a program of ebru wrote" "$EBRU" report net foreign.json
head -c 2000 2.json >cut.json
refused "a trace cut short" "cut.json:[0-9]+:[0-9]+: error" "$EBRU" report net cut.json
"$EBRU" report net 2>err.txt
is "no trace named" 2 $?
done_testing
