"""Holds the reference to the pictures of the trained models, which diffusers and PyTorch painted (models/*/expected).

    python3 check_pictures.py      prints the PSNR of each, exits non-zero below 45 dB
"""
import csv
import os
import sys

import torch

import pictures
from class_unet import class_unet
from pipelines import ClassSystem, System
from safetensors_io import load

MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models")
LEAST = 45.0


def rows(path):
    with open(path) as f:
        names = f.readline().lstrip("# ").rstrip("\n").split("\t")
        return list(csv.DictReader(f, names, delimiter="\t"))


def main():
    failures = 0

    def judge(name, image, expected):
        nonlocal failures
        db = pictures.psnr(pictures.to_bytes(image[0]), pictures.read_bytes(expected))
        failures += db < LEAST
        print("%s: %-24s %.1f dB" % ("fail" if db < LEAST else "pass", name, db), flush=True)

    folder = os.path.join(MODELS, "shapes-32")
    classes = ClassSystem(folder)
    io = load(os.path.join(folder, "io.safetensors"))
    got = class_unet(classes.weights, io["in.sample"], io["in.timestep"], io["in.class_labels"])
    e = float(((got - io["out.sample"]) ** 2).mean().sqrt())
    failures += e > 1e-5
    print("%s: %-24s %.1e" % ("fail" if e > 1e-5 else "pass", "shapes-32 evaluation", e))
    for r in rows(folder + "/expected/classes.tsv"):
        image = classes.paint(int(r["class"]), int(r["steps"]), [int(r["seed"])])
        judge(r["name"], image, "%s/expected/%s.png" % (folder, r["name"]))
    folder = os.path.join(MODELS, "shapes-128")
    shapes = System(folder)
    for r in rows(folder + "/expected/prompts.tsv"):
        image = shapes.paint(r["prompt"], r["negative"], int(r["steps"]), float(r["cfg"]), [int(r["seed"])])
        judge(r["name"], image, "%s/expected/%s.png" % (folder, r["name"]))
    sys.exit(failures > 0)


if __name__ == "__main__":
    with torch.no_grad():
        main()
