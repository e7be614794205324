"""Holds a metafile to itself: sums, references, lifetimes."""
import json
import sys

d = json.load(open(sys.argv[1]))
assert d["version"] == 1 and d["level"] == "placed" and d["precision"] == "f32", d["level"]
names = {w["name"] for w in d["weights"]}
assert all(w["source"] == "file" and w["file"] and w["tensor"] for w in d["weights"] if w["source"] != "compiler")
assert all(p["summary"] and p["ms"] >= 0 and p["matched"] + p["refused"] >= 0 for p in d["passes"])
plans = {p["function"]: p for p in d["plans"]}
for f in d["functions"]:
    nodes = {n["id"]: n for n in f["nodes"]}
    order = {n["id"]: i for i, n in enumerate(f["nodes"])}
    assert len(nodes) == len(f["nodes"])
    for key in "flops", "weight_bytes", "moved_bytes":
        assert sum(n.get(key, 0) for n in f["nodes"]) == f[key], (f["name"], key)
    for n in f["nodes"]:
        for o in n["operands"]:
            assert o is None or o in names if not isinstance(o, int) else order[o] < order[n["id"]], n
        assert n.get("constant") or n["op"] in ("input", "view") or "kernel" in n, n
        assert "file" not in n or n["path"].startswith("$.functions."), n
        assert not n.get("view") or "alive" not in n and "flops" not in n, n
    assert f["scratch_bytes"] == max([n["kernel"]["scratch_bytes"] for n in f["nodes"] if "kernel" in n] + [0])
    assert plans[f["name"]]["arena_bytes"] == f["arena_bytes"]
    if not f["arena_bytes"]:
        continue
    at = order[f["peak"]["node"]]
    alive = [n for n in f["nodes"] if "alive" in n and order[n["alive"][0]] <= at <= order[n["alive"][1]]]
    assert sum(n["bytes"] for n in alive) == f["peak"]["bytes"] == plans[f["name"]]["bound"], f["name"]
    spans = sorted((n["place"]["at"], n["place"]["at"] + n["bytes"]) for n in alive)
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:])), spans
    assert spans[-1][1] <= f["arena_bytes"]
    for o in f["outputs"]:
        assert o["value"] in nodes
end = 0
for p in sorted(d["packed_weights"], key=lambda p: p["at"]):
    assert p["at"] >= end, p
    end = p["at"] + p["bytes"]
assert end <= d["packed_weights_bytes"]
assert [p["pass"] for p in d["passes"]][-1] == "plan_memory"
