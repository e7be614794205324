"""Holds the reference to numbers it had no part in: networks and samplers that diffusers and CLIP computed.

    python3 check_goldens.py [GOLDENS]      prints rms error / rms of each, exits non-zero above the tolerance
"""
import glob
import json
import os
import sys

import numpy as np
import torch

import clip
import schedulers
import unet
import unipc  # noqa: F401 (it adds itself to the classes)
import vae
from safetensors_io import load, load_component

HERE = os.path.dirname(os.path.abspath(__file__))
NETWORK_TOLERANCE, SAMPLER_TOLERANCE = 2e-5, 1e-5


def error(got, want):
    got, want = got.double(), want.double()
    return float(((got - want) ** 2).mean().sqrt() / (want ** 2).mean().sqrt())


def run_component(folder, inputs):
    w, c = load_component(folder)
    kind = c.get("_class_name") or c["architectures"][0]
    if kind == "UNet2DConditionModel":
        return {"sample": unet.unet2d_condition(w, c, **inputs)}
    if kind == "UNet2DModel":
        return {"sample": unet.unet2d(w, c, **inputs)}
    if kind == "AutoencoderKL":
        return {"moments": vae.encode(w, c, inputs["image"]), "image": vae.decode(w, c, inputs["latent"])}
    return clip.text_model(w, c, inputs["input_ids"])


def check_component(folder):
    io = load(os.path.join(folder, "io.safetensors"))
    part = lambda p: {n[len(p):]: t for n, t in io.items() if n.startswith(p)}
    got = run_component(folder, part("in."))
    return max(error(got[n], t) for n, t in part("out.").items())


def check_sampler(path):
    io, meta = load(path, with_metadata=True)
    schedule, start, end = meta["betas"].split()
    config = dict(json.loads(meta["kwargs"]), beta_schedule=schedule, beta_start=float(start), beta_end=float(end),
                  prediction_type=meta["prediction_type"], _class_name=meta["class"])
    if "sigmas" in io and config["_class_name"].startswith(("DPM", "UniPC")) and io["sigmas"][-1] > 0:
        config["final_sigmas_type"] = "sigma_min"  # diffusers 0.24 knew no other
    if config["_class_name"] not in schedulers.CLASSES:
        return None
    s = schedulers.make(config, int(meta["steps"]))
    if not np.allclose(s.timesteps, io["timesteps"].numpy(), rtol=1e-6):
        return float("inf")
    x, noises, worst = io["in.sample"], iter(io.get("in.noises", [])), 0.0
    for k, t in enumerate(io["timesteps"]):
        scaled = s.scale(k, x)
        x = s.step(k, x, 0.6 * scaled + 0.3 * torch.sin(2 * scaled + t / 300), lambda: next(noises))
        worst = max(worst, error(x, io["out.samples"][k]))
    return worst


def main():
    goldens = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "goldens")
    failures = 0
    checks = [(f, check_component, NETWORK_TOLERANCE) for f in sorted(glob.glob(goldens + "/*/io.safetensors"))]
    checks += [(f, check_sampler, SAMPLER_TOLERANCE) for f in sorted(glob.glob(goldens + "/samplers/*.safetensors"))]
    for path, check, tolerance in checks:
        name = os.path.relpath(path, goldens).replace("/io.safetensors", "")
        try:
            e = check(os.path.dirname(path) if check is check_component else path)
        except (NotImplementedError, KeyError) as problem:
            print("skip: %s: %r is not in this reference" % (name, problem))
            continue
        if e is None:
            print("skip: %s: not in this reference" % name)
            continue
        ok = e <= tolerance
        failures += not ok
        print("%s: %-28s %.2e" % ("pass" if ok else "fail", name, e))
    sys.exit(failures > 0)


if __name__ == "__main__":
    with torch.no_grad():
        main()
