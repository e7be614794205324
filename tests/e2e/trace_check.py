"""A program's trace against what Perfetto's importer wants of JSON traces, and against what docs/inspecting.md promises: every track's
events are sorted, nest without overlap and begin with one that is as long as the wall time; what they contain fills them.

  trace_check.py TRACE

Times are compared within one run only; what is asked of them holds on a loaded machine, too: nobody's time goes missing, however long
it takes."""
import json
import math
import sys
from collections import defaultdict

FILLED = 0.97
CATEGORIES = {"run", "phase", "step", "function", "op", "wait", "host"}
INSIDE = {"phase": {"run"}, "step": {"phase"}, "function": {"phase", "step"}, "op": {"function"}, "host": {"phase", "step"}, "wait": {"phase", "step", "function"}}


def nanoseconds(x):
    assert isinstance(x, (int, float)) and math.isfinite(x), x
    return round(x * 1000)


def refuse_constant(name):
    raise ValueError("%s is no JSON" % name)


def check_track(tid, events, wall):
    stack, last = [], 0
    covered = defaultdict(int)  # index of an event -> time of what it contains
    for i, e in enumerate(events):
        begin, duration = nanoseconds(e["ts"]), nanoseconds(e["dur"])
        assert begin >= last and duration >= 0, (tid, e)
        last = begin
        while stack and begin >= stack[-1][1]:
            stack.pop()
        if i == 0:
            assert (e["cat"], begin, duration) == ("run", 0, wall), e
        else:
            assert stack and begin + duration <= stack[-1][1], ("overlaps", tid, e, stack[-1:])
            assert events[stack[-1][0]]["cat"] in INSIDE[e["cat"]], (tid, e, events[stack[-1][0]])
            covered[stack[-1][0]] += duration
        stack.append((i, begin + duration))
    total = defaultdict(lambda: [0, 0])
    for i, inside in covered.items():
        kind = events[i]["cat"]
        total[kind][0] += inside
        total[kind][1] += nanoseconds(events[i]["dur"])
    for kind, (inside, of) in total.items():
        assert inside >= FILLED * of, ("%s of thread %d is told to %.1f %% only" % (kind, tid, 100 * inside / of))
    leaves = sum(nanoseconds(e["dur"]) for i, e in enumerate(events) if i not in covered)
    assert FILLED * wall <= leaves <= wall, (tid, leaves / wall)


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        trace = json.load(f, parse_constant=refuse_constant)
    about = trace["otherData"]
    wall, threads = nanoseconds(about["wall_us"]), about["threads"]
    tracks, names = defaultdict(list), {}
    for e in trace["traceEvents"]:
        assert e["ph"] in ("X", "M") and e["pid"] == 1, e
        if e["ph"] == "M":
            names[e["tid"], e["name"]] = e["args"]
        else:
            assert e["cat"] in CATEGORIES and e["name"], e
            tracks[e["tid"]].append(e)
    assert sorted(tracks) == list(range(threads)), sorted(tracks)
    assert all((t, "thread_name") in names for t in tracks) and (0, "process_name") in names
    functions = {f["name"]: f for f in about["functions"]}
    for tid, events in tracks.items():
        check_track(tid, events, wall)
        function = None
        for e in events:
            if e["cat"] == "function":
                function = functions[e["name"]]
            if e["cat"] == "op":
                known = function["ops"][e["args"]["index"]]
                assert all(e["args"][k] == known[k] for k in ("op", "node", "kernel", "block", "result", "flops", "bytes", "weight_bytes")), e
    assert len(about["build"]) == 32 and about["roofs"]["gflops"] > 0 and about["roofs"]["memory_gbs"] > 0
    assert about["dropped_events"] == 0
    print("%d events, %d threads" % (sum(map(len, tracks.values())), threads))


main()
