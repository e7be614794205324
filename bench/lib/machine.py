"""What the machine is and can do: CPU features, the levels it runs, its measured peaks."""
import json
import os
import platform
import subprocess

# of every level: what makes the difference, and the peak (bench/peaks.c) that bounds a precision on it
LEVEL_FLAGS = {
    "x86-64-v2": ("sse4_2",),
    "x86-64-v3": ("avx2", "fma"),
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    "x86-64-v4-bf16": ("avx512_bf16",),
    "x86-64-v4-amx": ("amx_tile", "amx_bf16"),
}
TOLD = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def flags():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("flags"):
                return set(line.split(":", 1)[1].split())
    return set()


def best_level():
    have, best = flags(), "x86-64-v2"
    for level, needed in LEVEL_FLAGS.items():
        if not have.issuperset(needed):
            break
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


def roof(peaks, level, precision):
    """Which of the peaks bounds a precision on a level, by name. bf16x3 is three products of bf16, counted as one."""
    if precision != "f32":
        if level == "x86-64-v4-amx" and "amx_bf16" in peaks:
            return "amx_bf16"
        if level in ("x86-64-v4-amx", "x86-64-v4-bf16") and "bf16_512" in peaks:
            return "bf16_512"
    return "fma512" if level.startswith("x86-64-v4") and "fma512" in peaks else "fma256" if level != "x86-64-v2" and "fma256" in peaks else "fma128"
