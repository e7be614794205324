"""Builds tests/goldens/pipelines: tiny systems of random weights for the pipelines without a trained model, and their pictures.

    python3 make_pipelines.py      writes everything anew; prints how far wrong inputs would move each picture

Every system is a diffusers folder. What systems share (the autoencoder, a text encoder, the tokenizer, all of a U-Net but the
tensors that its inputs shape) is in common/ and linked. pipelines.tsv has a line a picture: name, system, options of the
compiler, least PSNR, options of the program, tab-separated; paths in options are relative to the table. SYSTEM/unet-io.safetensors
is the first evaluation of the system's first picture, SYSTEM/latent.safetensors what that loop began and ended with.
"""
import json
import os
import shutil
import sys

import numpy as np
import torch
from PIL import Image

import parameters
import pictures
from pipelines import System
from safetensors_io import save

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "goldens", "pipelines")
TOKENIZER = "../../../models/shapes-128/tokenizer"
PSNR = 45
TOKENS, CONTEXT = 20, 16

UNET = {
    "_class_name": "UNet2DConditionModel", "sample_size": 8, "in_channels": 4, "out_channels": 4,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [8, 8], "layers_per_block": 1, "cross_attention_dim": CONTEXT, "attention_head_dim": 2,
    "norm_num_groups": 4, "use_linear_projection": True}
SHAPED_BY_INPUTS = ("conv_in.weight", "time_embedding.cond_proj.weight", "class_embedding.weight")
VAE = {
    "_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3, "block_out_channels": [8, 8, 8], "layers_per_block": 1, "latent_channels": 4,
    "norm_num_groups": 4, "act_fn": "silu", "sample_size": 32, "scaling_factor": 0.18215}
TEXT = {
    "architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "vocab_size": 634, "hidden_size": CONTEXT,
    "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": TOKENS,
    "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": CONTEXT, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
TEXT_2 = dict(TEXT, architectures=["CLIPTextModelWithProjection"], hidden_size=24, intermediate_size=96, hidden_act="gelu",
              num_attention_heads=3, projection_dim=24)
XL_UNET = dict(UNET, cross_attention_dim=CONTEXT + 24, transformer_layers_per_block=[1, 2], attention_head_dim=[2, 4],
               addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=24 + 6 * 8)
REFINER_UNET = dict(UNET, cross_attention_dim=24, addition_embed_type="text_time",
                    addition_time_embed_dim=8, projection_class_embeddings_input_dim=24 + 5 * 8)
SD_SCHEDULE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
               "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False, "prediction_type": "epsilon"}
PNDM = dict(SD_SCHEDULE, _class_name="PNDMScheduler", skip_prk_steps=True)
DDIM = dict(SD_SCHEDULE, _class_name="DDIMScheduler")
EULER = dict(SD_SCHEDULE, _class_name="EulerDiscreteScheduler", timestep_spacing="leading")
UPSCALE = dict(DDIM, beta_start=0.0001, beta_end=0.02, prediction_type="v_prediction")
LOW_RES = dict(UPSCALE, _class_name="DDPMScheduler", prediction_type="epsilon", variance_type="fixed_small")
LCM = dict(SD_SCHEDULE, _class_name="LCMScheduler", original_inference_steps=50, timestep_spacing="leading")

# system: class, U-Net, scheduler, its further components and keys of model_index.json
SYSTEMS = {
    "inpaint": ("StableDiffusionInpaintPipeline", dict(UNET, in_channels=9), PNDM, {}),
    "depth": ("StableDiffusionDepth2ImgPipeline", dict(UNET, in_channels=5), DDIM,
              {"depth_estimator": ["transformers", "DPTForDepthEstimation"]}),
    "upscale": ("StableDiffusionUpscalePipeline", dict(UNET, in_channels=7, num_class_embeds=360, only_cross_attention=[True, False]),
                UPSCALE, {"low_res_scheduler": ["diffusers", "DDPMScheduler"], "max_noise_level": 350}),
    "lcm": ("LatentConsistencyModelPipeline", dict(UNET, time_cond_proj_dim=32), LCM, {}),
    "xl": ("StableDiffusionXLPipeline", XL_UNET, EULER, {"force_zeros_for_empty_prompt": True}),
    "xl-refiner": ("StableDiffusionXLImg2ImgPipeline", REFINER_UNET, EULER,
                   {"force_zeros_for_empty_prompt": False, "requires_aesthetics_score": True}),
}
PROMPT, OTHER = "a red circle above a blue square", "a green star"
LONG = "a large red circle left of a small blue square on a white background, a purple hexagon above an orange ring on a cyan background"
WEIGHTED = "a (red:1.6) circle above [a ((blue)) square]"
WEIGHTS = [("a ", 1.0), ("red", 1.6), (" circle above ", 1.0), ("a ", 1 / 1.1), ("blue", 1.1), (" square", 1 / 1.1)]
ROWS = [  # name, system, picture, what differs from the defaults
    ("inpaint", "inpaint", dict(image="@picture", mask="@mask", seed=1)),
    ("inpaint-0.7", "inpaint", dict(image="@picture", mask="@mask", strength=0.7, sampler="ddim", seed=2)),
    ("inpaint-0.5", "inpaint", dict(image="@picture", mask="@mask", strength=0.5, seed=17)),
    ("inpaint-batch", "inpaint", dict(image="@picture", mask="@mask", sampler="euler_a", count=2, seed=3)),
    ("depth", "depth", dict(image="@picture", depth="@map", strength=0.8, seed=4, compile="--size=32x32")),
    ("depth-wide", "depth", dict(image="@wide", depth="@map", strength=0.6, seed=5, compile="--size=48x32", size=(32, 48))),
    ("upscale", "upscale", dict(image="@small", seed=6)),
    ("upscale-level", "upscale", dict(image="@small", noise_level=120, negative=OTHER, count=2, seed=7)),
    ("lcm", "lcm", dict(cfg=8.5, steps=4, seed=8)),
    ("lcm-clip-skip", "lcm", dict(cfg=8.5, steps=4, seed=18, clip_skip=1, compile="--clip-skip=1")),
    ("lcm-batch", "lcm", dict(cfg=3.0, steps=3, count=2, seed=9)),
    ("xl", "xl", dict(seed=10, cfg=5.0)),
    ("xl-negative", "xl", dict(seed=11, cfg=5.0, negative=OTHER)),
    ("xl-wide", "xl", dict(seed=12, cfg=5.0, compile="--size=48x32", size=(32, 48))),
    ("xl-unguided", "xl", dict(seed=13, cfg=1.0, steps=6)),
    ("xl-clip-skip", "xl", dict(seed=19, cfg=5.0, clip_skip=1, compile="--clip-skip=1")),
    ("xl-rescale", "xl", dict(seed=20, cfg=7.0, negative=OTHER, rescale=0.7)),
    ("xl-chunks", "xl", dict(seed=21, cfg=5.0, prompt=LONG, chunks=3, compile="--prompt-chunks=3")),
    ("xl-weights", "xl", dict(seed=22, cfg=5.0, prompt=WEIGHTS, typed=WEIGHTED)),
    ("xl-img2img", "xl", dict(seed=14, cfg=5.0, image="@picture", strength=0.6)),
    ("xl-refiner", "xl-refiner", dict(seed=15, cfg=5.0, image="@picture", strength=0.5)),
    ("xl-refiner-wide", "xl-refiner", dict(seed=16, cfg=5.0, image="@wide", strength=0.5, compile="--size=48x32", size=(32, 48))),
]
SAMPLERS = {
    "ddim": "DDIMScheduler", "ddpm": "DDPMScheduler", "euler": "EulerDiscreteScheduler", "euler_a": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler", "lms": "LMSDiscreteScheduler", "dpm++2m": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler", "lcm": "LCMScheduler"}


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(value, f, indent=None if "weight_map" in value else 1)
        f.write("\n")


def write_component(folder, config, seed):
    write_json(folder + "/config.json", config)
    stem = "model" if "architectures" in config else "diffusion_pytorch_model"
    save("%s/%s.safetensors" % (folder, stem), parameters.random_weights(config, seed, torch.float16), {"format": "pt"})


def write_unet(folder, config, seed):
    """In two shards: the common U-Net's tensors by a link, its own."""
    weights = parameters.random_weights(config, seed, torch.float16)
    own = {n: t for n, t in weights.items() if n in SHAPED_BY_INPUTS}
    names = ["diffusion_pytorch_model-%d-of-2.safetensors" % i for i in (1, 2)]
    write_json(folder + "/config.json", config)
    os.symlink("../../common/unet.safetensors", folder + "/" + names[0])
    save(folder + "/" + names[1], own, {"format": "pt"})
    size = sum(t.numel() * t.element_size() for t in weights.values())
    write_json(folder + "/diffusion_pytorch_model.safetensors.index.json", {
        "metadata": {"total_size": size}, "weight_map": {n: names[n in own] for n in weights}})


def write_tokenizer(folder, pad):
    os.makedirs(folder)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        os.symlink("../../" + TOKENIZER + "/" + name, folder + "/" + name)
    if pad:
        write_json(folder + "/special_tokens_map.json", {"pad_token": pad})


def write_systems():
    shared = {n: t for n, t in parameters.random_weights(UNET, 1, torch.float16).items() if n not in SHAPED_BY_INPUTS}
    os.makedirs("common")
    save("common/unet.safetensors", shared, {"format": "pt"})
    write_component("common/vae", VAE, 7)
    write_component("common/text_encoder", TEXT, 3)
    write_component("common/text_encoder_2", TEXT_2, 4)
    for seed, (name, (kind, unet, scheduler, more)) in enumerate(SYSTEMS.items(), 11):
        index = {"_class_name": kind, "_diffusers_version": "0.24.0", "unet": ["diffusers", "UNet2DConditionModel"],
                 "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", scheduler["_class_name"]]}
        texts = ["_2"] if name == "xl-refiner" else ["", "_2"] if name == "xl" else [""]
        for s in texts:
            index["text_encoder" + s] = ["transformers", "CLIPTextModelWithProjection" if s else "CLIPTextModel"]
            index["tokenizer" + s] = ["transformers", "CLIPTokenizer"]
        if name == "xl-refiner":
            index["text_encoder"] = index["tokenizer"] = [None, None]
        write_json(name + "/model_index.json", dict(index, **more))
        write_json(name + "/scheduler/scheduler_config.json", scheduler)
        if "low_res_scheduler" in more:
            write_json(name + "/low_res_scheduler/scheduler_config.json", LOW_RES)
        for s in texts:
            os.symlink("../common/text_encoder" + s, name + "/text_encoder" + s)
            write_tokenizer(name + "/tokenizer" + s, "!" if s or name in ("depth", "upscale") else None)
        if name.startswith("xl"):
            write_component(name + "/unet", unet, seed)
        else:
            write_unet(name + "/unet", unet, seed)
        if name == "upscale":  # the scaling factor is the pipeline's
            write_json("upscale/vae/config.json", {k: v for k, v in VAE.items() if k != "scaling_factor"})
            os.symlink("../../common/vae/diffusion_pytorch_model.safetensors", "upscale/vae/diffusion_pytorch_model.safetensors")
        else:
            os.symlink("../common/vae", name + "/vae")


def draw_inputs():
    """Smooth pictures with an edge, a mask off the latent's grid, and a depth map of another size than anything else."""
    def picture(width, height):
        y, x = np.mgrid[0:height, 0:width].astype(float)
        rgb = np.stack([x / width, y / height, ((x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 3) ** 2) * 0.8], -1)
        return Image.fromarray((rgb * 255).astype(np.uint8))

    picture(32, 32).save("picture.png", optimize=True)
    picture(48, 32).save("wide.png", optimize=True)
    picture(8, 8).save("small.png", optimize=True)
    mask = np.zeros((32, 32), np.uint8)
    mask[5:23, 9:30] = 255
    Image.fromarray(mask).save("mask.png", optimize=True)
    y, x = np.mgrid[0:27, 0:39]
    Image.fromarray((40 + 3 * x + 2 * y * (x > 20)).clip(0, 255).astype(np.uint8)).save("map.png", optimize=True)


def paint(system, r, **changes):
    r = dict(r, **changes)
    read = lambda key, reader: reader(r[key][1:] + ".png") if key in r else None
    return system.paint(
        r.get("prompt", PROMPT), r.get("negative", ""), r.get("steps", 8), r.get("cfg", 6.0), [r["seed"] + i for i in range(r.get("count", 1))],
        size=r.get("size"), sampler=SAMPLERS.get(r.get("sampler")), image=read("image", pictures.read_rgb),
        strength=r.get("strength"), mask=read("mask", pictures.read_mask), depth=read("depth", pictures.read_gray),
        noise_level=r.get("noise_level", 20), clip_skip=r.get("clip_skip", 0), chunks=r.get("chunks", 1),
        guidance_rescale=r.get("rescale", 0.0))


def program_options(r):
    options = ["-p", '"%s"' % r.get("typed", r.get("prompt", PROMPT))] + ["--prompt-weights"] * ("typed" in r) + ["--steps", r.get("steps", 8), "--cfg-scale", "%g" % r.get("cfg", 6.0), "-s", r["seed"]]
    for key, option in (("image", "-i"), ("mask", "--mask"), ("depth", "--depth")):
        if key in r:
            options += [option, r[key][1:] + ".png"]
    for key, option in (("negative", "-n"), ("strength", "--strength"), ("sampler", "--sampling-method"), ("noise_level", "--noise-level"),
                        ("count", "-b"), ("rescale", "--guidance-rescale")):
        if key in r:
            options += [option, '"%s"' % r[key] if key == "negative" else r[key]]
    return " ".join(map(str, options))


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    os.chdir(OUT)
    write_systems()
    draw_inputs()
    table, done = ["# name\tsystem\tcompile\tpsnr\toptions"], set()
    for name, folder, r in ROWS:
        table.append("%s\t%s\t%s\t%d\t%s" % (name, folder, r.get("compile", "-"), PSNR, program_options(r)))
        system = System(folder)
        images = paint(system, r)
        for i, image in enumerate(images):
            pictures.write("%s%s.png" % (name, "-%04d" % (i + 1) if len(images) > 1 else ""), image)
        if folder not in done:
            done.add(folder)
            save(folder + "/unet-io.safetensors", {n: t.clone() for n, t in system.trace["evaluation"].items()})
            save(folder + "/latent.safetensors", {"first": system.trace["first"], "last": system.trace["latent"]})
        got = pictures.to_bytes(images[0])
        moved = lambda **c: pictures.psnr(got, pictures.to_bytes(paint(System(folder), r, **c)[0]))
        print("%-16s mean %.0f deviation %.0f; other prompt %.0f dB" % (name, got.mean(), got.std(), moved(prompt=OTHER)), flush=True)
    with open("pipelines.tsv", "w") as f:
        f.write("\n".join(table) + "\n")


if __name__ == "__main__":
    with torch.no_grad():
        main()
