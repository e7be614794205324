# The emitted program's command line, end to end: outputs, lists, grids, profiles, --call, --bench; what it refuses, and when.
. "$(dirname "$0")/lib.sh"

# refused WHAT CODE PATTERN ARGUMENTS...: the program ends with CODE, says PATTERN, and paints nothing
refused() {
    what=$1
    code=$2
    pattern=$3
    shift 3
    ./classes --progress=plain "$@" >stdout.txt 2>stderr.txt </dev/null
    got=$?
    if [ $got = "$code" ] && grep -qE -- "$pattern" stderr.txt && ! grep -q denoise stderr.txt; then
        pass "$what"
    else
        fail "$what: exit $got, expected $code and '$pattern'"
        cat stderr.txt
    fi
}
# is WHAT EXPECTED GOT
is() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1: '$3', expected '$2'"; fi; }

check "compiles" "$EBRU" compile -q $QUICK "$MODELS/shapes-32" -o classes
for list in 0- -1 10 0--1 3-2 0,,1 '0 ' +3 heart- ''; do
    refused "class list '$list'" 2 "is no class" "--class=$list" -o out
done
refused "two pictures to standard output" 2 "takes one picture" --class 0,1 -o -
refused "empty output name" 2 "empty" --class 0 -o ""
refused "a negative prompt of a model without" 2 "negative-prompt: this model takes no prompt" --class 0 -n x -o out
refused "runs without --bench" 2 "--runs is for --bench" --class 0 --runs 3 -o out
refused "a dump without --call" 2 "--dump-values is for --call" --class 0 --dump-values v -o out
refused "a seed beside --bench" 2 "--seed is for pictures" --bench -s 3
refused "too many pictures" 2 "more than 10000" --class 0-9 -b 1000000 -o out
refused "more threads than the pool allows" 2 "1 to 1024" --class 0 -t 1025 -o out
for steps in 1001 5000 2147483648 99999999999999999999; do
    refused "$steps steps" 2 "^classes: error: --steps: the sampler flow of this model allows 1 to 1000$" --class 0 --steps $steps -o out
done
refused "unknown sampler" 2 "unknown sampler" --class 0 --sampling-method nothing -o out
refused "sampler of another family" 2 "is not for this model.*(for this model: flow)" --class 0 --sampling-method EulerDiscreteScheduler -o out
is "  which the help does not list" "Samplers: flow" "$(./classes --help | grep '^Samplers:')"
refused "profile in no folder" 3 "no/such" --class 0 --steps 1 -o out --profile no/such/trace
refused "bench of an unknown function" 2 "no function 'nothing'" --bench --function=nothing
is "  before it prints a table" "" "$(cat stdout.txt)"
refused "call of an unknown function" 2 "no function 'nothing'" --call nothing
refused "call without inputs" 1 "is missing" --call unet
refused "profile of nothing" 2 "nothing to paint" --profile nothing.json
is "  writes no trace" "" "$(ls nothing.json 2>/dev/null)"

paint() { ./classes -q --steps 1 "$@"; }
check "names and ranges" paint --class heart,0-1 -o 'shape%03d.png'
is "a pattern numbers the files" "shape001.png shape002.png shape003.png" "$(echo shape*.png)"
check "several pictures of one name" paint --class 0 -b 2 -o several.png
is "are numbered before the ending" "several-0001.png several-0002.png" "$(echo several*.png)"
check "a grid wider than its pictures" paint --class 0 --grid 7 -o grid.png
check "is one picture wide" cmp grid.png shape002.png
# a grid that is ended early has what was finished (SIGTERM: a shell's background jobs ignore SIGINT)
./classes --class 0 --steps 30 -b 2000 --grid 4 -t 1 -s 7 --progress plain -o part.png 2>stderr.txt &
for _ in 1 2 3 4 5 6 7 8 9 10; do
    grep -q "denoise picture 3 of" stderr.txt && break
    sleep 0.3
done
kill -TERM $!
wait $!
is "a stopped grid ends as signals end programs" 143 $?
count=$(sed -n 's/^note: the grid has the first \([0-9]*\) of 2000 pictures$/\1/p' stderr.txt)
check "  is written, and says so" grep -q "^wrote part.png$" stderr.txt
check "  has the pictures that were finished" paint --class 0 --steps 30 -b "${count:-0}" --grid 4 -s 7 -o whole.png
check "  and their text" cmp part.png whole.png
check "more threads than tasks" paint --class 0 -t 300 -o threads.png
check "the same picture" cmp threads.png shape002.png
check "default names" sh -c './classes -q --steps 1 --class 0 && ./classes -q --steps 1 --class 1'
is "never overwrite" "output-0002.png output.png" "$(echo output*.png)"
paint --class 0 -o closed.png 2>&- >&- <&-
check "without standard streams" cmp closed.png shape002.png
over() { ./classes --progress none --steps 1 "$@" 2>&1 | grep '^wrote'; }
again=$(over --class 0,1 -o again.png)
is "numbered names" "wrote again-0001.png wrote again-0002.png " "$(echo "$again" | tr '\n' ' ')"
rm again-0001.png
is "  an earlier file is told" "wrote again-0001.png wrote again-0002.png, in place of an earlier file " "$(over --class 0,1 -o again-%04d.png | tr '\n' ' ')"
is "  a name that was written out is not" "wrote again-0001.png" "$(over --class 0 -o again-0001.png)"
check "a device" paint --class 0 -o /dev/null
check "profile" sh -c './classes -q --steps 1 --class 0 -o p.png --profile trace.json 2>table.txt'
check "is nested, complete and sorted" python3 "$EBRU_SOURCE/tests/e2e/trace_check.py" trace.json
check "phases have the names of the progress" sh -c './classes -q --steps 1 --class 0 -o p.png --profile trace.json 2>/dev/null && grep -q "\"denoise\"" trace.json && grep -q "\"vae-decode\"" trace.json'
check "table of the ops" grep -q "conv2d.*conv2d" table.txt
check "bench" sh -c "./classes --bench=json --runs=1 --function=unet >bench.txt"
check "an object a function" python3 -c 'import json; assert [json.loads(l)["function"] for l in open("bench.txt")][-1] == "step"'
check "bench writes a profile, too" sh -c "./classes --bench --runs=1 --function=unet --profile bench.json >/dev/null 2>&1"
check "as well formed" python3 "$EBRU_SOURCE/tests/e2e/trace_check.py" bench.json
# one event an op of every evaluation (the timed one and the one before): time and FLOP add up
ops=$(./classes --build-info | sed -n 's/^function: unet.step, .* \([0-9]*\) ops.*/\1/p')
check "with every op of the network" python3 -c '
import json, sys
trace = json.load(open("bench.json"))
calls = [e for e in trace["traceEvents"] if e.get("cat") == "function" and e["tid"] == 0 and e["name"] == "unet.step"]
assert [c["args"]["counts"] for c in calls] == [False, True]
for c in calls:
    inside = [e for e in trace["traceEvents"] if e.get("cat") == "op" and e["tid"] == 0 and c["ts"] <= e["ts"] < c["ts"] + c["dur"]]
    assert [e["args"]["index"] for e in inside] == list(range(int(sys.argv[1]))), len(inside)
step = next(f for f in trace["otherData"]["functions"] if f["name"] == "unet.step")
assert all(op["calls"] == 1 and len(op["work_us"]) == trace["otherData"]["threads"] for op in step["ops"])' "$ops"
check "a long run is told op by op for its first steps" sh -c './classes -q --steps 5 --class 0 -o p.png --profile long.json --profile-steps 1 2>/dev/null'
check "  the others as a whole, and summed up" python3 -c '
import json
trace = json.load(open("long.json"))
steps = [e for e in trace["traceEvents"] if e.get("cat") == "function" and e["tid"] == 0 and e["name"].endswith(".step")]
assert len(steps) == 5, len(steps)
inside = [sum(1 for e in trace["traceEvents"] if e.get("cat") == "op" and e["tid"] == 0 and s["ts"] <= e["ts"] < s["ts"] + s["dur"]) for s in steps]
step = next(f for f in trace["otherData"]["functions"] if f["name"] == steps[0]["name"])
assert inside == [len(step["ops"]), 0, 0, 0, 0], inside
assert all(op["calls"] == 5 for op in step["ops"])'
check "to a full disk" sh -c '! ./classes -q --steps 1 --class 0 -o p.png --profile /dev/full 2>err.txt && grep -q "No space" err.txt'
check "names that are no UTF-8 stay JSON" sh -c './classes -q --steps 1 --class 0 -o "$(printf "\\377.png")" --profile odd.json 2>/dev/null && python3 "$0" odd.json' "$EBRU_SOURCE/tests/e2e/trace_check.py"
is "a program has the version of its compiler" "$("$EBRU" --version)" "ebru $(./classes --version)"
for what in --help --build-info --version; do
    ./classes $what >/dev/full 2>stderr.txt
    is "$what to a full disk" 3 $?
    check "  is told" grep -q "standard output" stderr.txt
done

# --call: frames in, frames out, as docs/program.md says
python3 - <<'PY'
import struct
def frame(name, data):
    return b"%s %d\n" % (name, len(data)) + data
sample = struct.pack("<3072f", *[0.001 * i - 1 for i in range(3072)])
frames = frame(b"sample", sample) + frame(b"timestep", struct.pack("<f", 500)) + frame(b"class_labels", struct.pack("<i", 3))
open("frames", "wb").write(frames)
open("cut", "wb").write(frames[:-2])
open("wrong", "wb").write(frame(b"timestep", bytes(12)))
open("unknown", "wb").write(frame(b"nothing", bytes(4)))
PY
check "call" sh -c './classes --call=unet <frames >result'
is "writes the output's frame" "sample 12288" "$(head -n 1 result | tr -d '\000')"
is "  and nothing behind it" 12301 "$(wc -c <result)"
call() { # call WHAT FILE PATTERN
    ./classes --call=unet <"$2" >stdout.txt 2>stderr.txt
    is "$1" 1 $?
    check "  is told" grep -q "$3" stderr.txt
}
call "call: input cut short" cut "ends within 'class_labels'"
call "call: wrong size" wrong "has 12 bytes"
call "call: unknown input" unknown "no input 'nothing'"

# weights beside and behind the program
check "external weights" "$EBRU" compile -q $QUICK "$MODELS/shapes-32" --weights=external -o ext
check "are found beside the program" ./ext -q --steps 1 --class 0 -o ext.png
check "  and give the same picture" cmp ext.png shape002.png
mv ext.weights away
./ext -q --class 0 -o none.png 2>stderr.txt
is "missing weights file" 3 $?
head -c 100000 away >ext.weights
./ext -q --class 0 -o none.png 2>stderr.txt
is "truncated weights file" 1 $?
check "appended weights" "$EBRU" compile -q $QUICK "$MODELS/shapes-32" --weights=append -o app
check "give the same picture" sh -c './app -q --steps 1 --class 0 -o app.png && cmp app.png shape002.png'
head -c -1 app >cut-app
chmod +x cut-app
./cut-app -q --class 0 -o none.png 2>stderr.txt
is "truncated program" 1 $?
is "none of them painted" "" "$(ls none.png 2>/dev/null)"
done_testing
