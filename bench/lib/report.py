"""Medians of the rounds, ratios, shares of the peaks: as a table for people and as one JSON object for everybody else."""
import machine


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if len(ordered) % 2 else (ordered[len(ordered) // 2 - 1] + ordered[len(ordered) // 2]) / 2


def level_of(e):
    return e["level"] or machine.best_level()


def traced_peaks(results):
    """{level: the best that any program's trace has of each unit}: neighbours on the machine can only take away."""
    peaks = {}
    for r in results:
        for e in r["engines"].values():
            for one in e.get("rounds", []):
                if "peaks" in one:
                    peaks[level_of(e)] = machine.higher(peaks.get(level_of(e), {}), one["peaks"])
    return peaks


def wanting(results, peaks):
    """Levels of peers that no program's trace tells of."""
    rows = [e for r in results for e in r["engines"].values() if e.get("rounds") and "peaks" not in e["rounds"][0]]
    return {level_of(e) for e in rows if e["precision"] not in peaks.get(level_of(e), {})}


def least_ms(ops, peaks):
    """What the ops would take at the peaks of their products; and where that is longer, at the rate of memory."""
    multiplying = [1e-6 * flops / peaks[kind] if peaks.get(kind) else 0 for kind, flops, _ in ops]
    moving = [1e-6 * moved / peaks["memory"] if peaks.get("memory") else 0 for _, _, moved in ops]
    return sum(multiplying), sum(map(max, multiplying, moving))


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
                of, ops = peaks.get(level_of(e), {}), e["rounds"][0].get("ops")
                if ops:
                    at_peaks, at_roofs = least_ms(ops, of)
                    e["share_of_peak"], e["share_of_roof"] = at_peaks / e["median_ms"], at_roofs / e["median_ms"]
                elif of.get(e["precision"]):
                    e["share_of_peak"] = e["gflops"] / of[e["precision"]]
            e["peer_over_it"] = {n: ms / e["median_ms"] for n, ms in peers.items()}
    return results


def _quiet(r, peaks):
    """By round: what of the peak of products in f32 the programs had, or of the cores when they measured it."""
    shares = {}
    for e in r["engines"].values():
        for n, one in enumerate(e.get("rounds", [])):
            if "peaks" in one:
                shares[n] = min(shares.get(n, 1), one["peaks"]["f32"] / peaks[level_of(e)]["f32"], one["peak_core_share"])
    return [shares.get(n, 1) for n in range(len(shares))]


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
        lines += [about, "%-24s %10s %10s %9s %7s %7s" % ("", "median ms", "min ms", "GFLOP/s", "% peak", "% roof") + "".join(" %14s" % (p + "/it") for p in peers)]
        for name, e in r["engines"].items():
            if "median_ms" not in e:
                lines.append("%-24s %s" % (name, e.get("missing") or e.get("failed")))
                continue
            ratios = "".join(" %14.2f" % e["peer_over_it"][p] if p in e["peer_over_it"] else " %14s" % "" for p in peers)
            shares = "".join("%8.1f" % (100 * e[k]) if k in e else "%8s" % "" for k in ("share_of_peak", "share_of_roof"))
            lines.append("%-24s %10.2f %10.2f %9.1f%s%s" % (name, e["median_ms"], e["min_ms"], e.get("gflops", 0), shares, ratios))
        lines += ["round %d: the machine reached %.0f %% of its peak only, something else ran" % (n + 1, 100 * share)
                  for n, share in enumerate(_quiet(r, peaks)) if share < 0.8]
        lines.append("")
    lines.append("%d threads of %d CPUs (%s)" % (threads, machine_is["cpus"], " ".join(machine_is["features"])))
    for level, of in peaks.items():
        lines.append("peaks of %s, GFLOP/s and GB/s: %s" % (level, ", ".join("%s %.1f" % kv for kv in of.items())))
    return "\n".join(lines)
