"""Medians of the rounds, ratios, shares of the peaks: as a table for people and as one JSON object for everybody else."""
import machine


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if len(ordered) % 2 else (ordered[len(ordered) // 2 - 1] + ordered[len(ordered) // 2]) / 2


def summary(results, peaks):
    """results: {"work", "batch", "engines": {name: {"rounds": [...]} or {"missing": why}}} a work. Adds medians, rates, shares and ratios."""
    for r in results:
        rows = r["engines"]
        for e in rows.values():
            if e.get("rounds"):
                e["median_ms"] = median([x["median_ms"] for x in e["rounds"]])
                e["min_ms"] = min(x["min_ms"] for x in e["rounds"])
        gflop = next((e["rounds"][0]["gflop"] for e in rows.values() if e.get("rounds") and "gflop" in e["rounds"][0]), None)
        peers = {n: e["median_ms"] for n, e in rows.items() if e["peer"] and "median_ms" in e}
        r["gflop"], r["best_peer"] = gflop, min(peers, key=peers.get) if peers else None
        for e in rows.values():
            if "median_ms" not in e:
                continue
            if gflop:
                e["gflops"] = 1e3 * gflop / e["median_ms"]
                e["roof"] = machine.roof(peaks, e["level"] or machine.best_level(), e["precision"])
                e["share_of_peak"] = e["gflops"] / peaks[e["roof"]]
            e["peer_over_it"] = {n: ms / e["median_ms"] for n, ms in peers.items()}
    return results


def _peer_names(results):
    names = []
    for r in results:
        names += [n for n, e in r["engines"].items() if e["peer"] and "median_ms" in e and n not in names]
    return names


def table(results, peaks, machine_is, threads):
    lines = []
    peers = _peer_names(results)
    for r in results:
        about = "%s, batch %d%s" % (r["work"], r["batch"], ", %.4g GFLOP counted as direct sums" % r["gflop"] if r["gflop"] else "")
        lines += [about, "%-24s %10s %10s %9s %7s" % ("", "median ms", "min ms", "GFLOP/s", "% peak") + "".join(" %14s" % (p + "/it") for p in peers)]
        for name, e in r["engines"].items():
            if "median_ms" not in e:
                lines.append("%-24s %s" % (name, e.get("missing") or e.get("failed")))
                continue
            ratios = "".join(" %14.2f" % e["peer_over_it"][p] if p in e["peer_over_it"] else " %14s" % "" for p in peers)
            lines.append("%-24s %10.2f %10.2f %9.1f %7.1f%s" % (name, e["median_ms"], e["min_ms"], e.get("gflops", 0), 100 * e.get("share_of_peak", 0), ratios))
        lines.append("")
        lines[-1:-1] = ["round %d: the machine reached %.0f %% of its peak only, something else ran" % (n + 1, 100 * share)
                        for n, share in enumerate(min(p[k] / peaks[k] for k in p if k.startswith("fma")) for p in r.get("peaks", [])) if share < 0.8]
    told = ", ".join("%s %s" % (k, v) for k, v in peaks.items() if k != "threads")
    lines.append("%d threads of %d CPUs (%s); peaks measured in the run, GFLOP/s and GB/s: %s" % (threads, machine_is["cpus"], " ".join(machine_is["features"]), told))
    return "\n".join(lines)
