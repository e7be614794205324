"""Paints tests/goldens/pictures: image-to-image and four-channel inpainting of the two trained models.

    python3 make_pictures.py [NAME...]      only these rows

pictures.tsv gets a line a picture: its name, the model, the least PSNR and the program's options, tab-separated. Paths in the
options are relative to the folder of the table. A row of several pictures has NAME-0001.png, NAME-0002.png.
"""
import os
import sys

import numpy as np
import torch
from PIL import Image

import pictures
from pipelines import ClassSystem, System

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "..", "models")
OUT = os.path.join(HERE, "..", "goldens", "pictures")
EXPECTED = "../../../models/%s/expected/%s.png"
SAMPLERS = {"euler": "EulerDiscreteScheduler", "euler_a": "EulerAncestralDiscreteScheduler", "heun": "HeunDiscreteScheduler",
            "dpm++2m": "DPMSolverMultistepScheduler", "ddpm": "DDPMScheduler"}
PSNR = 45

STAR, HEART, HEXAGON = ("a large yellow star on a blue background", "a pink heart on a black background",
                        "a green hexagon on a white background")
BLUE_HEART = "a large pink heart on a blue background"
ROWS = [  # name, init, mask, prompt, and what differs from the defaults
    ("img2img-0.3", "red-circle", None, STAR, dict(strength=0.3, seed=21)),
    ("img2img-0.6", "red-circle", None, STAR, dict(strength=0.6, seed=21)),
    ("img2img-0.8", "red-circle", None, STAR, dict(seed=21)),  # 0.8 is the default
    ("img2img-1.0", "red-circle", None, STAR, dict(strength=1.0, seed=21)),
    ("img2img-negative", "two", None, HEXAGON, dict(strength=0.7, negative="red", seed=5)),
    ("img2img-euler-a", "star", None, HEART, dict(strength=0.7, sampler="euler_a", seed=6)),
    ("img2img-dpmpp2m", "star", None, HEART, dict(strength=0.7, sampler="dpm++2m", seed=7)),
    ("img2img-heun", "star", None, HEART, dict(strength=0.5, sampler="heun", steps=8, seed=8)),
    ("img2img-unguided", "above", None, STAR, dict(strength=0.55, cfg=1.0, seed=9)),
    ("img2img-batch", "star", None, HEART, dict(strength=0.6, count=2, seed=30)),
    ("img2img-resized", "@large", None, STAR, dict(strength=0.5, seed=10)),
    ("inpaint-box", "star", "@box", BLUE_HEART, dict(seed=1)),
    ("inpaint-disc", "red-circle", "@disc", HEXAGON, dict(seed=2)),
    ("inpaint-0.6", "red-circle", "@disc", STAR, dict(strength=0.6, seed=3)),
    ("inpaint-euler", "star", "@disc", BLUE_HEART, dict(sampler="euler", seed=4)),
    ("inpaint-euler-a", "two", "@box", HEXAGON, dict(sampler="euler_a", strength=0.9, seed=5)),
    ("inpaint-batch", "star", "@disc", BLUE_HEART, dict(count=2, seed=40)),
]
CLASS_ROWS = [("class-img2img-0.3", "heart", 3, 0.3, 51), ("class-img2img-0.5", "heart", 3, 0.5, 52),
              ("class-img2img-0.8", "ring", 8, 0.8, 53)]


def draw_inputs():
    """A box on the latent's grid, a disc that is not (with a soft rim around one half), and a larger picture."""
    box = np.zeros((128, 128), np.uint8)
    box[32:96, 40:120] = 255
    y, x = np.mgrid[0:128, 0:128]
    disc = np.clip((41.3 - np.hypot(y - 67.4, x - 58.9)) * 40 + 127, 0, 255).astype(np.uint8)
    Image.fromarray(box).save(OUT + "/box.png", optimize=True)
    Image.fromarray(disc).save(OUT + "/disc.png", optimize=True)
    large = Image.open(os.path.join(MODELS, "shapes-128/expected/two.png")).resize((200, 200), Image.Resampling.NEAREST)
    large.quantize(32).convert("RGB").save(OUT + "/large.png", optimize=True)


def path_of(name, model):
    return name[1:] + ".png" if name.startswith("@") else EXPECTED % (model, name)


def save(name, images):
    for i, image in enumerate(images):
        pictures.write("%s/%s%s.png" % (OUT, name, "-%04d" % (i + 1) if len(images) > 1 else ""), image)


def main():
    os.makedirs(OUT, exist_ok=True)
    os.chdir(OUT)
    draw_inputs()
    wanted, shapes, classes = sys.argv[1:], System(MODELS + "/shapes-128"), ClassSystem(MODELS + "/shapes-32")
    table = ["# name\tmodel\tpsnr\toptions"]
    for name, init, mask, prompt, more in ROWS:
        steps, cfg, count = more.get("steps", 12), more.get("cfg", 4.0), more.get("count", 1)
        options = ["-p", '"%s"' % prompt, "-i", path_of(init, "shapes-128"), "--steps", steps, "--cfg-scale", "%g" % cfg, "-s", more["seed"]]
        for key, option in (("negative", "-n"), ("strength", "--strength"), ("sampler", "--sampling-method"), ("count", "-b")):
            if key in more:
                options += [option, more[key]]
        if mask:
            options += ["--mask", path_of(mask, "")]
        table.append("%s\tshapes-128\t%d\t%s" % (name, PSNR, " ".join(map(str, options))))
        if wanted and name not in wanted:
            continue
        seeds = [more["seed"] + i for i in range(count)]
        save(name, shapes.paint(
            prompt, more.get("negative", ""), steps, cfg, seeds, sampler=SAMPLERS.get(more.get("sampler")),
            image=pictures.read_rgb(path_of(init, "shapes-128"), (128, 128)), strength=more.get("strength"),
            mask=pictures.read_mask(path_of(mask, "")) if mask else None))
        print(name, flush=True)
    for name, init, label, strength, seed in CLASS_ROWS:
        table.append("%s\tshapes-32\t%d\t--class %d -i %s --strength %g --steps 20 -s %d"
                     % (name, PSNR, label, path_of(init, "shapes-32"), strength, seed))
        if wanted and name not in wanted:
            continue
        image = pictures.read_rgb(path_of(init, "shapes-32"))
        save(name, classes.paint(label, 20, [seed], image=image, strength=strength))
        print(name, flush=True)
    with open("pictures.tsv", "w") as f:
        f.write("\n".join(table) + "\n")


if __name__ == "__main__":
    with torch.no_grad():
        main()
