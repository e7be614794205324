#!/usr/bin/env python3
"""call_rms.py IO.safetensors NETWORK TOLERANCE COMMAND REFERENCE [INPUT=BYTES]: runs two programs on the inputs in.NAME of a file with
--call=NETWORK and compares what they give: fails where the rms of the difference is above TOLERANCE times that of the reference's.
COMMAND and REFERENCE are split at blanks. An input of which the file has less than BYTES is repeated."""
import json
import struct
import subprocess
import sys


def inputs(path):
    with open(path, "rb") as f:
        data = f.read()
    (length,) = struct.unpack("<Q", data[:8])
    for name, t in json.loads(data[8 : 8 + length]).items():
        if not name.startswith("in."):
            continue
        begin, end = (8 + length + x for x in t["data_offsets"])
        # of timesteps one is enough: programs share it in a batch
        end = min(end, begin + 4) if name == "in.timestep" else end
        yield name[3:], data[begin:end]


def call(command, network, frames):
    text = b"".join(b"%s %d\n" % (name.encode(), len(v)) + v for name, v in frames)
    out = subprocess.run(command.split() + ["--call=" + network], input=text, stdout=subprocess.PIPE, check=True).stdout
    found = {}
    while out:
        line, out = out.split(b"\n", 1)
        name, size = line.rsplit(b" ", 1)
        found[name.decode()] = struct.unpack("<%df" % (int(size) // 4), out[: int(size)])
        out = out[int(size) :]
    return found


def main():
    path, network, tolerance, command, reference = sys.argv[1:6]
    wanted = dict(word.split("=") for word in sys.argv[6:])
    frames = []
    for name, v in inputs(path):
        size = int(wanted.get(name, len(v)))
        frames.append((name, (v * (size // len(v) + 1))[:size]))
    a, b = call(command, network, frames), call(reference, network, frames)
    if not a or a.keys() != b.keys():
        sys.exit("they give %s and %s" % (sorted(a), sorted(b)))
    worst = 0.0
    for name in a:
        difference = sum((x - y) ** 2 for x, y in zip(a[name], b[name]))
        size = sum(y * y for y in b[name])
        worst = max(worst, (difference / size) ** 0.5 if size else float("inf"))
    print("rms %.2e" % worst)
    sys.exit(worst > float(tolerance))


main()
