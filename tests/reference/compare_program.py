"""Paints with compiled programs what the reference paints: the tiny systems of ../goldens/pipelines with every sampler, begun from
noise and in the middle.

    python3 compare_program.py EBRU      prints the PSNR of each, exits non-zero below 45 dB
"""
import os
import shlex
import subprocess
import sys
import tempfile

import torch

import make_pipelines
import pictures
from pipelines import System

STRENGTHS = (1.0, 0.6, 0.2)
ROWS = {name: (folder, row) for name, folder, row in make_pipelines.ROWS}


def main():
    ebru, failures = os.path.abspath(sys.argv[1]), 0
    os.chdir(make_pipelines.OUT)
    with tempfile.TemporaryDirectory() as work:
        for name in ("inpaint", "xl-img2img", "upscale"):
            folder, row = ROWS[name]
            program, out = os.path.join(work, folder), os.path.join(work, "out.png")
            subprocess.run([ebru, "compile", "-q", folder, "-o", program], check=True)
            system = System(folder)
            for sampler in make_pipelines.SAMPLERS:
                for strength in STRENGTHS if name != "upscale" else (None,):
                    r = dict(row, sampler=sampler, **({"strength": strength} if strength else {}))
                    want = pictures.to_bytes(make_pipelines.paint(system, r)[0])
                    subprocess.run([program, "-q", "-o", out] + shlex.split(make_pipelines.program_options(r)), check=True)
                    db = pictures.psnr(pictures.read_bytes(out), want)
                    failures += db < make_pipelines.PSNR
                    os.remove(out)
                    print("%s: %s %s %s: %.1f dB" % ("pass" if db >= make_pipelines.PSNR else "fail", name, sampler, strength or "", db), flush=True)
    sys.exit(failures > 0)


if __name__ == "__main__":
    with torch.no_grad():
        main()
