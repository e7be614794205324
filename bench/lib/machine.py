"""What the machine is and can do: CPU features, the levels it runs, its measured peaks."""
import json
import os
import platform
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOLD = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def flags():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("flags"):
                return set(line.split(":", 1)[1].split())
    return set()


def levels():
    """The rows of base/cpu/levels.def for x86-64, lowest first: {name: (form of bf16 products, lanes, features)}."""
    with open(os.path.join(ROOT, "base", "cpu", "levels.def")) as f:
        rows = f.read().split("#define EBRU_LEVELS_x86_64(", 1)[1].split("#define", 1)[0]
    found, of_id = {}, {}
    row = r'(?:OWN|SHARES)\(a, (\w+), \w+, "([^"]+)", \w+, \w+, (\w+), (\d+),(.*?)(\w+),\s*((?:NEED\(\w+\)\s*)+)\)'
    for number, name, form, lanes, _, below, needs in re.findall(row, rows.replace("\\\n", " "), re.S):
        of_id[number] = of_id.get(below, set()) | set(re.findall(r"NEED\((\w+)\)", needs))
        found[name] = form, int(lanes), of_id[number]
    return found


# where Linux has another name for a feature than compilers have
LINUX_NAMES = {"SSE3": "pni", "SAHF": "lahf_lm", "LZCNT": "abm", "OSXSAVE": "xsave"}


def best_level():
    bare = {flag.replace("_", "") for flag in flags()}
    best = "x86-64-v2"
    for level, (_, _, needs) in levels().items():
        if all(LINUX_NAMES.get(n, n).lower().replace("_", "") in bare for n in needs):
            best = level
    return best


def has_bf16():
    return bool(flags() & {"avx512_bf16", "amx_bf16"})


def describe():
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {"cpus": len(os.sched_getaffinity(0)), "memory_gib": round(pages * size / 2**30, 1), "kernel": platform.release(),
            "features": [f for f in TOLD if f in flags()]}


def build_peaks(folder):
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    program = os.path.join(folder, "peaks")
    subprocess.run(["cc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-o", program, os.path.join(here, "peaks.c"), "-lpthread"], check=True)
    return program


def measured_peaks(program, threads, prefix=()):
    """{"fma128": GFLOP/s, ..., "read": GB/s}: what the machine reached just now."""
    return json.loads(subprocess.run([*prefix, program, str(threads)], check=True, capture_output=True, text=True).stdout)


def higher(a, b):
    """The better of two measurements of the peaks: neighbours on the machine can only take away."""
    return {k: max(a.get(k, 0), b.get(k, 0)) for k in {**a, **b}}


def bare_roofs(measured, level):
    """Of what bench/peaks measured, what bounds a level: {"f32", "bf16": GFLOP/s, "memory": GB/s}."""
    form, lanes, _ = levels()[level]
    widest = [bits for bits in (512, 256) if bits <= 32 * lanes and "fma%d" % bits in measured]
    roofs = {"f32": measured["fma%d" % (widest or [128])[0]], "memory": measured["read"]}
    unit = "amx_bf16" if form == "TILES" and "amx_bf16" in measured else "bf16_512"
    if form != "WIDE" and unit in measured:
        roofs["bf16"] = measured[unit]
    return roofs
