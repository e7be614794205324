#!/usr/bin/env python3
"""Random component folders, compiled and in the reference evaluator.

    variations.py EBRU FOLDER --seed=1 --count=12 [--only=K] [--programs=N] [--tolerance=2e-5] [--keep]

Makes variation K of a seed always the same: a config.json with random legal settings, a file of random inputs,
weights from --weights=random. The evaluator writes the outputs, the compiled program must give them too: at
each level this CPU has, with 1 and 3 threads, and with some passes left out. Prints a line "pass: ..." or
"fail: ..." for each, with the command to repeat it, and exits with 1 when one failed; "skip: ..." when the network
is so sensitive that no float computation could agree. Standard library only.
"""
import argparse
import json
import os
import random
import shutil
import struct
import subprocess
import sys

ACTIVATIONS = ["silu", "swish", "mish", "gelu", "relu"]


# ---- files ----

def write_safetensors(path, tensors):
    """tensors: {name: (dtype, shape, values)} with dtype F32, I64 or I32."""
    header, data = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        raw = struct.pack("<%d%s" % (len(values), {"F32": "f", "I64": "q", "I32": "i"}[dtype]), *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def product(shape):
    n = 1
    for x in shape:
        n *= x
    return n


def normal(r, *shape):
    scale = r.choice([1, 1, 1, 3, 0.1])
    return "F32", list(shape), [scale * r.gauss(0, 1) for _ in range(product(shape))]


def timesteps(r, batch):
    shape = r.choice([[], [1], [batch]])
    if r.random() < 0.5:
        return "I64", shape, [r.randrange(1000) for _ in range(product(shape))]
    return "F32", shape, [r.choice([0.0, 999.0, r.uniform(0, 999)]) for _ in range(product(shape))]


# ---- configs ----

def channels(r, groups, low=1, high=5):
    """A width that the groups divide, from one channel a group to about 80 channels, seldom more."""
    if r.random() < 0.05:
        return groups * (200 // groups)
    return groups * r.randint(low, max(low, min(high, 80 // groups)))


def some(r, n, make):
    """One value for all levels, or a list of one for each."""
    return make() if r.random() < 0.5 else [make() for _ in range(n)]


def each(value, n):
    return value if isinstance(value, list) else [value] * n


def picture(r, levels, exact):
    """Height and width; exact: multiples of what the network halves."""
    unit = 2 ** (levels - 1)
    if r.random() < 0.08:  # more pixels than one block of attention's keys
        return [unit * r.randint(max(1, 16 // unit), max(1, 36 // unit)) for _ in range(2)]
    if exact:
        return [unit * r.randint(1, max(1, 16 // unit)) for _ in range(2)]
    shape = r.choice([(5, 7), (6, 10), (17, 9), (1, 11), (13, 1), (1, 1), (3, 3), (8, 8), (16, 4), (2, 31),
                      (r.randint(1, 20), r.randint(1, 20))])
    return list(shape)


def halves(size, levels):
    """True when a padding on one side only leaves each downsampling a window to stand in."""
    return min(size) >= 2 ** (levels - 1)


def common_unet(r, config, levels, groups):
    width = [channels(r, groups) for _ in range(levels)]
    if width[0] < 2:
        width[0] *= 2
    config.update({
        "block_out_channels": width, "norm_num_groups": groups,
        "layers_per_block": r.choice([1, 1, 2, [r.randint(1, 2) for _ in range(levels)]]),
        "in_channels": r.choice([1, 3, 4, 5, 9, 16, 17]), "out_channels": r.choice([1, 3, 4, 8, 16, 19]),
        "act_fn": r.choice(ACTIVATIONS), "norm_eps": r.choice([1e-5, 1e-6, 1e-3]),
        "downsample_padding": r.choice([0, 1]), "flip_sin_to_cos": r.random() < 0.5,
        "center_input_sample": r.random() < 0.3, "mid_block_scale_factor": r.choice([1, 1, 1.5, 2 ** 0.5]),
    })
    # with half of the sinusoid's width at 1, a shift of 1 would divide by zero
    config["freq_shift"] = r.choice([0, 1]) if width[0] >= 4 else 0
    if r.random() < 0.15:
        config["time_embedding_dim"] = r.choice([8, 20, 33, 64])
    return width


def class_labels(r, config, inputs, batch):
    kind = r.random()
    if kind < 0.2:
        config["num_class_embeds"] = r.randint(1, 12)
        inputs["class_labels"] = "I64", [batch], [r.randrange(config["num_class_embeds"]) for _ in range(batch)]
    elif kind < 0.3:
        config["class_embed_type"] = "timestep"
        inputs["class_labels"] = "F32", [batch], [float(r.randrange(300)) for _ in range(batch)]


def conditional_unet(r):
    levels, groups, batch = r.randint(1, 4), r.choice([1, 2, 3, 4, 5, 8, 16]), r.randint(1, 3)
    config = {"_class_name": "UNet2DConditionModel"}
    width = common_unet(r, config, levels, groups)
    heads = some(r, levels, lambda: r.choice([h for h in [1, 2, 3, 4, 5, 8] if h <= min(width)]))
    heads = [min(h, w) for h, w in zip(each(heads, levels), width)]
    down = [r.choice(["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]) for _ in range(levels)]
    up = [r.choice(["CrossAttnUpBlock2D", "UpBlock2D"]) for _ in range(levels)]
    context = r.choice([1, 7, 16, 24, 32, 48, 65])
    config.update({
        "down_block_types": down, "up_block_types": up,
        "mid_block_type": r.choice(["UNetMidBlock2DCrossAttn"] * 3 + ["UNetMidBlock2D", None]),
        "attention_head_dim": heads if len(set(heads)) > 1 else heads[0], "cross_attention_dim": context,
        "transformer_layers_per_block": some(r, levels, lambda: r.choice([1, 1, 1, 2])),
        "only_cross_attention": some(r, levels, lambda: r.random() < 0.3),
        "use_linear_projection": r.random() < 0.5, "conv_in_kernel": r.choice([3, 3, 1, 5]),
        "conv_out_kernel": r.choice([3, 3, 1, 5]), "resnet_out_scale_factor": r.choice([1.0, 1.0, 1.3]),
    })
    cross = config["mid_block_type"] == "UNetMidBlock2DCrossAttn" or any("Cross" in t for t in down + up)
    h, w = picture(r, levels, r.random() < 0.4)
    if not halves((h, w), levels):
        config["downsample_padding"] = 1
    inputs = {"sample": normal(r, batch, config["in_channels"], h, w), "timestep": timesteps(r, batch)}
    if cross:
        wide = context
        if r.random() < 0.15:
            wide = config["encoder_hid_dim"] = r.choice([5, 16, 40])
            config["encoder_hid_dim_type"] = "text_proj"
        tokens = r.choice([1, 2, 7, 16, 17, 77, 77, r.randint(1, 100)])
        inputs["encoder_hidden_states"] = normal(r, batch, tokens, wide)
    class_labels(r, config, inputs, batch)
    if r.random() < 0.25:
        dim, text = r.choice([4, 8, 16, 32]), r.choice([3, 16, 20, 48])
        config.update({"addition_embed_type": "text_time", "addition_time_embed_dim": dim,
                       "projection_class_embeddings_input_dim": text + 6 * dim})
        inputs["text_embeds"] = normal(r, batch, text)
        inputs["time_ids"] = "F32", [batch, 6], [float(r.choice([0, 8, 64, 1024])) for _ in range(6 * batch)]
    return config, inputs


def plain_unet(r):
    levels, groups, batch = r.randint(1, 4), r.choice([1, 2, 3, 4, 5, 8]), r.randint(1, 3)
    config = {"_class_name": "UNet2DModel"}
    width = common_unet(r, config, levels, groups)
    fits = [d for d in [1, 2, 3, 4, 5, 8, 16] if all(w % d == 0 for w in width)]
    config.update({
        "down_block_types": [r.choice(["AttnDownBlock2D", "DownBlock2D"]) for _ in range(levels)],
        "up_block_types": [r.choice(["AttnUpBlock2D", "UpBlock2D"]) for _ in range(levels)],
        "attention_head_dim": r.choice([None, r.choice(fits)]), "add_attention": r.random() < 0.8,
    })
    if isinstance(config["layers_per_block"], list):
        config["layers_per_block"] = 2
    h, w = picture(r, levels, True)
    inputs = {"sample": normal(r, batch, config["in_channels"], h, w), "timestep": timesteps(r, batch)}
    class_labels(r, config, inputs, batch)
    return config, inputs


def autoencoder(r):
    levels, groups, batch = r.randint(1, 4), r.choice([1, 2, 3, 4, 8, 16]), r.randint(1, 3)
    config = {
        "_class_name": "AutoencoderKL", "block_out_channels": [channels(r, groups) for _ in range(levels)],
        "down_block_types": ["DownEncoderBlock2D"] * levels, "up_block_types": ["UpDecoderBlock2D"] * levels,
        "norm_num_groups": groups, "layers_per_block": r.choice([1, 1, 2]), "act_fn": r.choice(ACTIVATIONS),
        "in_channels": r.choice([1, 3, 4]), "out_channels": r.choice([1, 3, 4]),
        "latent_channels": r.choice([1, 3, 4, 8, 16]), "use_quant_conv": r.random() < 0.7,
        "use_post_quant_conv": r.random() < 0.7, "mid_block_add_attention": r.random() < 0.8,
    }
    h, w = picture(r, levels, True)
    scale = 2 ** (levels - 1)
    latent = batch, config["latent_channels"], h // scale, w // scale
    if r.random() < 0.3:  # what each halving rounds away
        h, w = h + r.randrange(scale), w + r.randrange(scale)
    if r.random() < 0.2:  # encoder and decoder have nothing to do with each other
        latent = r.randint(1, 3), config["latent_channels"], r.randint(1, 7), r.randint(1, 7)
    inputs = {"image": normal(r, batch, config["in_channels"], h, w), "latent": normal(r, *latent)}
    if r.random() < 0.4:
        del inputs[r.choice(["image", "latent"])]
    return config, inputs


def text_model(r):
    heads, batch = r.choice([1, 2, 3, 4, 5, 8]), r.randint(1, 3)
    config = {
        "architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "num_attention_heads": heads,
        "hidden_size": heads * r.choice([1, 3, 4, 8, 10, 16]), "intermediate_size": r.choice([1, 17, 48, 64, 100]),
        "hidden_act": r.choice(["quick_gelu", "gelu", "relu", "silu", "gelu_new"]),
        "num_hidden_layers": r.randint(1, 4), "max_position_embeddings": r.choice([16, 77, 100]),
        "vocab_size": r.choice([10, 99, 300]), "layer_norm_eps": r.choice([1e-5, 1e-6]),
    }
    tokens = r.choice([1, 2, config["max_position_embeddings"], r.randint(1, config["max_position_embeddings"])])
    ids = [r.randrange(config["vocab_size"]) for _ in range(batch * tokens)]
    return config, {"input_ids": (r.choice(["I64", "I32"]), [batch, tokens], ids)}


# ---- running ----

def levels_here(ebru):
    """The CPU levels with f32 code of their own that this machine runs, lowest first."""
    out = subprocess.run([ebru, "compile", "--list-cpu-levels"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in out.splitlines()[1:]]
    return [row[0] for row in rows if row[2] == row[0] and row[4] == "runs"]


def optional_passes(ebru):
    out = subprocess.run([ebru, "compile", "--list-passes"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in out.splitlines() if line[:1].isalpha() and "required" not in line]


class Run:
    def __init__(self, o):
        self.o = o
        self.failures = 0
        self.levels = levels_here(o.ebru)
        self.passes = optional_passes(o.ebru)

    def run(self, command):
        try:
            p = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=self.o.timeout)
            return p.returncode, p.stdout + p.stderr
        except subprocess.TimeoutExpired:
            return "timeout", ""

    def ebru(self, what, command, sensitive=lambda: False):
        """sensitive() tells whether a difference is what float's rounding makes of this network."""
        code, text = self.run(command)
        if code == 1 and ", FAIL" in text and "not finite" not in text and sensitive():
            print("skip: %s: the reference itself moves as much when its inputs change by 1e-6" % what)
            code = 0
        elif code == 0:
            print("pass: %s %s" % (what, text.strip().splitlines()[-1] if text.strip() else ""))
        else:
            self.failures += 1
            print("fail: %s (%s)\n  %s\n%s" % (what, code, " ".join(command), text))
        sys.stdout.flush()
        return code == 0

    def sensitive(self, inputs, folder, verify, made):
        """True when the evaluator's outputs change by more than the tolerance with inputs 1e-6 beside."""
        r, beside = random.Random(1), os.path.join(folder, "beside.safetensors")
        moved = {}
        for name, (dtype, shape, values) in inputs.items():
            if dtype == "F32":
                values = [x * (1 + 1e-6 * r.gauss(0, 1)) for x in values]
            moved["in." + name] = dtype, shape, values
        with open(made, "rb") as f:
            (length,) = struct.unpack("<Q", f.read(8))
            header = json.loads(f.read(length))
            for name, t in header.items():
                if name.startswith("out."):
                    begin, end = t["data_offsets"]
                    f.seek(8 + length + begin)
                    moved[name] = "F32", t["shape"], struct.unpack("<%df" % ((end - begin) // 4), f.read(end - begin))
        write_safetensors(beside, moved)
        code, text = self.run(verify + ["--evaluator", "--io=" + beside, "--tolerance=%g" % self.o.tolerance])
        return code == 1 and ", FAIL" in text

    @staticmethod
    def fixed_shapes(config, inputs):
        """True when the command line can ask for the shapes of the inputs; then the config names the size."""
        config["sample_size"] = inputs["sample"][1][2:]
        context = inputs.get("encoder_hidden_states")
        return context is None or context[1][1] == 77

    def variation(self, k):
        r = random.Random(self.o.seed * 1000003 + k)
        kind = r.choice([conditional_unet] * 4 + [plain_unet] * 2 + [autoencoder] * 2 + [text_model])
        config, inputs = kind(r)
        folder = os.path.join(self.o.folder, "%d-%d" % (self.o.seed, k))
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "config.json"), "w") as f:
            json.dump(config, f, indent=1)
        given, made = os.path.join(folder, "in.safetensors"), os.path.join(folder, "io.safetensors")
        write_safetensors(given, {"in." + name: t for name, t in inputs.items()})
        what = "%d %s" % (k, kind.__name__)
        weights, model, good = "--weights=random:%d" % (k + 1), folder, True
        shape = inputs["timestep"][1] if "timestep" in inputs else None
        if shape in ([], [1]) and r.random() < 0.5 and self.fixed_shapes(config, inputs):
            # as in a program: one timestep for the whole batch
            with open(os.path.join(folder, "config.json"), "w") as f:
                json.dump(config, f, indent=1)
            model = os.path.join(folder, "model.ir")
            good = self.ebru(what + " to IR", [self.o.ebru, "compile", "-q", folder, weights, "--emit=ir:graph", "-fno-split_stages", "-o",
                                               model, "--batch=%d" % inputs["sample"][1][0]])
        verify = [self.o.ebru, "verify", model, weights]
        good = good and self.ebru(what + " evaluator", verify + ["--evaluator", "--io=" + given, "--write=" + made])
        for n in range(self.o.programs if good else 0):
            level = ",".join(self.levels) if r.random() < 0.1 else self.levels[(k + n) % len(self.levels)]
            options = [r.choice(["-O1", "-O1", "-O1", "-O0", "-O3"]), "-mcpu=" + level, "-t", r.choice(["1", "3"])]
            if n or r.random() < 0.5:
                options += ["-fno-" + p for p in r.sample(self.passes, r.choice([0, 1, 2, 5]))]
            if r.random() < 0.2:
                options += ["--plan=separate"]
            good &= self.ebru(what + " " + " ".join(options),
                              verify + options + ["--io=" + made, "--tolerance=%g" % self.o.tolerance],
                              lambda: self.sensitive(inputs, folder, verify, made))
        if good and not self.o.keep:
            shutil.rmtree(folder)


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("ebru")
    a.add_argument("folder")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--first", type=int, default=0)
    a.add_argument("--count", type=int, default=12)
    a.add_argument("--only", type=int, help="this variation alone")
    a.add_argument("--programs", type=int, default=1, help="compiled programs a variation")
    a.add_argument("--tolerance", type=float, default=2e-5)
    a.add_argument("--timeout", type=float, default=300, help="seconds a command")
    a.add_argument("--keep", action="store_true", help="keep the folders of what passed")
    o = a.parse_args()
    run = Run(o)
    for k in [o.only] if o.only is not None else range(o.first, o.first + o.count):
        run.variation(k)
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
