"""One evaluation of full-size networks with random weights, by the reference and by a compiled program.

    python3 full_size.py CONFIGS OUT --ebru=EBRU [--latent=64x64] [--parts=unet,vae] [--modes=compiled,evaluator] [--dtype=f16] [--seed=1]

CONFIGS is a diffusers folder of configs (models/configs/sd-v1-5). For every part OUT/PART becomes a component folder with weights
of the seed, OUT/PART-WxH.safetensors the inputs and what the reference makes of them, and EBRU verifies one against the other, by a
compiled program or by its evaluator. Without --ebru the files are only made. The weights are made once and kept.
Memory: the file of the weights (mapped) and the activations, 2 GB for SD 1.5 at 64x64.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import time

import torch

import parameters
import unet
import vae
from safetensors_io import load_component, save

TIMESTEP = 500.0
TOKENS = 77


def unet_inputs(c, width, height, normal):
    """Everything a U-Net of this config is given; numbers of a usual size."""
    inputs = {"sample": normal(1, c["in_channels"], height, width), "timestep": torch.tensor([TIMESTEP]),
              "encoder_hidden_states": normal(1, TOKENS, c["cross_attention_dim"])}
    if c.get("num_class_embeds"):
        inputs["class_labels"] = torch.tensor([20])
    if c.get("addition_embed_type") == "text_time":
        size = 8.0 * torch.tensor([height, width])
        wide = c["projection_class_embeddings_input_dim"]
        ids = 5 if wide == c["cross_attention_dim"] + 5 * c["addition_time_embed_dim"] else 6  # the refiner has an aesthetic score
        last = size if ids == 6 else torch.tensor([6.0])
        inputs["time_ids"] = torch.cat([size, torch.zeros(2), last])[None]
        inputs["text_embeds"] = normal(1, wide - ids * c["addition_time_embed_dim"])
    if c.get("time_cond_proj_dim"):
        inputs["timestep_cond"] = normal(1, c["time_cond_proj_dim"])
    return inputs


def evaluate(part, folder, width, height, seed):
    """{in.NAME, out.NAME} of the U-Net, or of the autoencoder's decoder."""
    w, c = load_component(folder)
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(shape, generator=generator)
    if part == "unet":
        inputs = unet_inputs(c, width, height, normal)
        outputs = {"sample": unet.unet2d_condition(w, c, **inputs)}
    else:
        inputs = {"latent": normal(1, c.get("latent_channels", 4), height, width)}
        outputs = {"image": vae.decode(w, c, inputs["latent"])}
    for name, t in outputs.items():
        print("  reference %s: rms %.3f, greatest %.2f" % (name, t.square().mean().sqrt(), t.abs().max()))
    return dict({"in." + n: t for n, t in inputs.items()}, **{"out." + n: t for n, t in outputs.items()})


def with_defaults(c):
    """The shapes of diffusers' default autoencoder that older files leave out."""
    return dict({"latent_channels": 4, "layers_per_block": 1, "in_channels": 4, "out_channels": 4}, **c)


def prepare(part, args):
    """The component folder with its weights; made when it is not there yet."""
    folder = os.path.join(args.out, part)
    path = folder + "/diffusion_pytorch_model.safetensors"
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(args.configs, part, "config.json")) as f:
            config = json.load(f)
        parameters.save_random(path + ".part", with_defaults(config), args.seed, {"f16": torch.float16, "f32": torch.float32}[args.dtype])
        with open(folder + "/config.json", "w") as f:
            json.dump(config, f, indent=1)
        os.rename(path + ".part", path)
    return folder


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("configs")
    p.add_argument("out")
    p.add_argument("--ebru")
    p.add_argument("--latent", default="64x64", help="width x height of the latent")
    p.add_argument("--parts", default="unet,vae")
    p.add_argument("--modes", default="compiled", help="compiled, evaluator or both")
    p.add_argument("--dtype", default="f16", choices=("f16", "f32"))
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    width, height = map(int, args.latent.split("x"))
    torch.set_num_threads(2)  # with one, torch keeps 1x1 convolutions (layers.product) from oneDNN
    failures = 0
    for part in args.parts.split(","):
        print("%s of %s at %dx%d" % (part, args.configs, width, height), flush=True)
        folder, io = prepare(part, args), os.path.join(args.out, "%s-%dx%d.safetensors" % (part, width, height))
        start = time.time()
        save(io, evaluate(part, folder, width, height, args.seed))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print("  reference: %.0f s, peak %.0f MB" % (time.time() - start, peak), flush=True)
        for mode in args.modes.split(",") if args.ebru else []:
            command = [args.ebru, "verify", folder, "--io=" + io] + ["--evaluator"] * (mode == "evaluator")
            start = time.time()
            code = subprocess.run(command).returncode
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print("  %s: %s, %.0f s, peak of all so far %.0f MB" % (mode, "fail" if code else "pass", time.time() - start, peak), flush=True)
            failures += code != 0
    sys.exit(failures > 0)


if __name__ == "__main__":
    with torch.no_grad():
        main()
