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
    blocks: set = field(default_factory=set)


@dataclass
class Profile:
    function: str
    evaluations: int
    ms: float  # an evaluation, waiting included
    wait_ms: float  # of it, mean of the threads
    rows: dict  # key -> Row of one evaluation; ms is the mean of the threads


def _evaluations(events):
    """Times the function's first op occurs: an event has no index, but its place in the function does not change."""
    first = (events[0]["name"], events[0]["args"]["block"], events[0]["args"]["result"])
    same = [e for e in events if (e["name"], e["args"]["block"], e["args"]["result"]) == first]
    count = len(same)
    while count > 1 and len(events) % count != 0:
        count -= 1
    # a period of the sequence of names
    names = [e["name"] for e in events]
    while count > 1 and names[: len(names) // count] * count != names:
        count -= 1
    return count


def read(path, function, key):
    """Sums the events of one function; `key` makes an event's row name. The first evaluation is --bench's warm-up and left out when there is another."""
    with open(path) as f:
        events = [e for e in json.load(f)["traceEvents"] if e["cat"] == function]
    if not events:
        raise ValueError("no events of %s in %s" % (function, path))
    tracks = defaultdict(list)
    for e in events:
        tracks[e["tid"]].append(e)
    evaluations = _evaluations(tracks[0])
    ops = len(tracks[0]) // evaluations
    skip = 1 if evaluations > 1 else 0
    counted, threads = evaluations - skip, len(tracks)
    rows, total, busy = defaultdict(Row), 0.0, 0.0
    for tid, track in tracks.items():
        for n, e in enumerate(track[skip * ops:]):
            row, args = rows[key(e)], e["args"]
            row.ms += e["dur"] * 1e-3 / counted / threads
            busy += e["dur"] * 1e-3 / counted / threads
            if tid == 0:  # what an op computes is told on every thread, but it is computed once
                row.calls += 1 / counted
                row.flops += args["flops"] / counted
                row.bytes += (args["bytes"] + args.get("weight_bytes", 0)) / counted
                row.blocks.add(args["block"])
    for k in range(skip, evaluations):
        begin = min(t[k * ops]["ts"] for t in tracks.values())
        end = max(t[(k + 1) * ops - 1]["ts"] + t[(k + 1) * ops - 1]["dur"] for t in tracks.values())
        total += (end - begin) * 1e-3 / counted
    return Profile(function, counted, total, total - busy, dict(rows))
