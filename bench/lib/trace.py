"""Reads the trace of a program's --profile FILE and sums it by op."""
import json
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass
class Row:
    calls: float = 0
    ms: float = 0
    flops: float = 0
    bytes: float = 0
    peak_ms: float = 0  # the least time for the flops, by the peak of each op's products (FMA, bf16, int8)
    roof_ms: float = 0  # for the flops or, where that is longer, for the bytes from memory, op by op
    blocks: set = field(default_factory=set)


@dataclass
class Profile:
    function: str
    evaluations: int
    ms: float  # an evaluation, waiting included
    wait_ms: float  # of it, mean of the threads
    rows: dict  # key -> Row of one evaluation; ms is the mean of the threads
    roofs: dict  # what the program measured: GFLOP/s of its units, memory_gbs


def _calls(track):
    """The calls of a track, in order: (event, the ops within it)."""
    calls, ops = [e for e in track if e["cat"] == "function"], [e for e in track if e["cat"] == "op"]
    at, result = 0, []
    for call in calls:
        inside, end = [], call["ts"] + call["dur"]
        while at < len(ops) and ops[at]["ts"] < end:
            inside.append(ops[at])
            at += 1
        result.append((call, inside))
    return result


def _least(calls):
    """The calls of a track as one, each op as short as it ever was."""
    call, ops = calls[0]
    return [(call, [dict(ops[i], dur=min(c[1][i]["dur"] for c in calls)) for i in range(len(ops))])]


def _peaks(document, function):
    """GFLOP/s of an op's products: of the trace, which tells them op by op; of older ones by the kernel's name."""
    about = document["otherData"]
    told = {}
    for f in about.get("functions", []):
        if f["name"] == function:
            told = {i: op["roof_gflops"] for i, op in enumerate(f["ops"]) if "roof_gflops" in op}
    roofs = about["roofs"]
    return lambda args: told.get(args.get("index"), roofs["gflops" if "_bf16" in args["kernel"] else "f32_gflops"])


def products(kernel):
    """What a kernel multiplies: f32, bf16 or int8."""
    return "bf16" if "_bf16" in kernel else "int8" if "_i8" in kernel else "f32"


def network(path, name):
    """The roofs of a trace, {"f32", "bf16", "int8": GFLOP/s, "memory": GB/s}, the share of a core that threads had when they were measured, and the ops of a
    network's functions, all stages, each once: [(products, FLOP, bytes)]. A multiply-add in bf16x3 counts as three products of bf16."""
    with open(path) as f:
        about = json.load(f)["otherData"]
    roofs, thrice = about["roofs"], 3 if about["precision"] == "bf16x3" else 1
    peaks = {"f32": roofs["f32_gflops"], "memory": roofs["memory_gbs"]}
    if "bf16" in roofs["unit"]:
        peaks["bf16"] = roofs["gflops"]
    if "i8_gflops" in roofs:
        peaks["int8"] = roofs["i8_gflops"]
    ops = []
    for f in about["functions"]:
        if f["name"] == name or f["name"].startswith(name + "."):
            for op in f["ops"]:
                kind = products(op["kernel"])
                flops = op["flops"] * (thrice if kind == "bf16" else 1)
                ops.append((kind if kind in peaks else "f32", flops, op["bytes"] + op["weight_bytes"]))
    return peaks, roofs["core_share"], ops


def read(path, function, key, least=False):
    """Sums the ops of one function's calls; `key` makes an op's row name. Calls that do not count (--bench's warm-up) and
    those that were not written op by op are left out; so is the first of a painting run when there is another, which warms up, too. `least`: of each op the
    shortest of all evaluations counts, and nothing is waited for; what is left of a machine that others slow down."""
    with open(path) as f:
        document = json.load(f)
    events = [e for e in document["traceEvents"] if e["ph"] == "X"]
    roofs = document["otherData"]["roofs"]
    roofs.setdefault("f32_gflops", roofs["gflops"])
    peak_of, memory = _peaks(document, function), roofs.get("memory_gbs", 0)
    tracks = defaultdict(list)
    for e in events:
        tracks[e["tid"]].append(e)
    calls = {tid: [c for c in _calls(track) if c[0]["name"] == function and c[1]] for tid, track in tracks.items()}
    if not any(calls.values()):
        there = sorted({c[0]["name"] for track in tracks.values() for c in _calls(track)})
        raise ValueError("no events of %s in %s; it has %s" % (function, path, ", ".join(there) or "no functions"))
    for tid, c in calls.items():
        warm = not c[0][0]["args"]["counts"]
        calls[tid] = [x for x in c if x[0]["args"]["counts"]] if warm else c[1:] if len(c) > 1 else c
    rows, total, busy = defaultdict(Row), 0.0, 0.0
    evaluations, threads = len(calls[0]), len(tracks)
    if least:
        calls = {tid: _least(c) for tid, c in calls.items()}
    counted = len(calls[0])
    for tid, track in calls.items():
        for e in (e for call in track for e in call[1]):
            row, args = rows[key(e)], e["args"]
            row.ms += e["dur"] * 1e-3 / counted / threads
            busy += e["dur"] * 1e-3 / counted / threads
            if tid == 0:  # what an op computes is told on every thread, but it is computed once
                row.calls += 1 / counted
                row.flops += args["flops"] / counted
                peak, moved = peak_of(args), args["bytes"] + args.get("weight_bytes", 0)
                multiplying, moving = 1e-6 * args["flops"] / peak if peak else 0, 1e-6 * moved / memory if memory else 0
                row.peak_ms += multiplying / counted
                row.roof_ms += max(multiplying, moving) / counted
                row.bytes += moved / counted
                row.blocks.add(args["block"])
    for k in range(counted):
        begin = min(c[k][0]["ts"] for c in calls.values())
        end = max(c[k][0]["ts"] + c[k][0]["dur"] for c in calls.values())
        total += (end - begin) * 1e-3 / counted
    return Profile(function, evaluations, busy if least else total, 0 if least else total - busy, dict(rows), roofs)
