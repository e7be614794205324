#!/usr/bin/env python3
"""Small systems for the test of single-file checkpoints, made by hand:

    make.py SINGLE_FILE_UTILS [OUT]

writes for each system a diffusers folder without weights and NAME.map, which says for every tensor of the checkpoint
what it is made of (systems that differ in a shape alone share a map). The names of the checkpoint come from the
constructors of the original code (CompVis/latent-diffusion, Stability-AI/generative-models, mlfoundations/open_clip),
written down here; the names of diffusers come out of its own converter: SINGLE_FILE_UTILS is src/diffusers/loaders/single_file_utils.py, whose functions run here on names alone.

Lines of a map: tensor of the checkpoint, how it is kept, its parts. "=" as it is or one part after the other, "T"
transposed, "C" a matrix as a 1x1 filter, "-" not part of the model (then its shape)."""
import json
import os
import re
import sys
import types


class Tensor:
    """A name in place of values; a part of a tensor has its name with rows or ".T"."""

    def __init__(self, name, shape):
        self.name, self.shape = name, tuple(shape)

    ndim = property(lambda self: len(self.shape))

    def clone(self):
        return self

    def detach(self):
        return self

    def contiguous(self):
        return self

    @property
    def T(self):
        return Tensor(self.name + ".T", self.shape[::-1])

    def __getitem__(self, key):
        key = key if isinstance(key, tuple) else (key,)
        kept = [n for n, k in zip(self.shape, key) if isinstance(k, slice)]
        rows = range(self.shape[0])[key[0]]
        if len(rows) == self.shape[0]:
            return Tensor(self.name, kept + list(self.shape[len(key):]))
        return Tensor(f"{self.name}[{rows.start}:{rows.stop}]", (len(rows),) + self.shape[1:])


# ---- the original constructors ----

def linear(d, n, i, o, bias=True):
    d[n + ".weight"] = (o, i)
    if bias:
        d[n + ".bias"] = (o,)


def conv(d, n, i, o, k):
    d[n + ".weight"], d[n + ".bias"] = (o, i, k, k), (o,)


def norm(d, n, c):
    d[n + ".weight"] = d[n + ".bias"] = (c,)


def res_block(d, n, i, o, emb):
    norm(d, n + ".in_layers.0", i)
    conv(d, n + ".in_layers.2", i, o, 3)
    linear(d, n + ".emb_layers.1", emb, o)
    norm(d, n + ".out_layers.0", o)
    conv(d, n + ".out_layers.3", o, o, 3)
    if i != o:
        conv(d, n + ".skip_connection", i, o, 1)


def spatial_transformer(d, n, c, depth, context, use_linear, no_self):
    def project(name):
        linear(d, name, c, c) if use_linear else conv(d, name, c, c, 1)
    norm(d, n + ".norm", c)
    project(n + ".proj_in")
    for k in range(depth):
        b = f"{n}.transformer_blocks.{k}"
        for attention, width in (("attn1", context if no_self else c), ("attn2", context)):
            linear(d, f"{b}.{attention}.to_q", c, c, False)
            linear(d, f"{b}.{attention}.to_k", width, c, False)
            linear(d, f"{b}.{attention}.to_v", width, c, False)
            linear(d, f"{b}.{attention}.to_out.0", c, c)
        linear(d, f"{b}.ff.net.0.proj", c, 8 * c)
        linear(d, f"{b}.ff.net.2", 4 * c, c)
        for m in (1, 2, 3):
            norm(d, f"{b}.norm{m}", c)
    project(n + ".proj_out")


def unet(model, mult, attention, blocks, inputs, outputs, context, depth, use_linear, classes=None, adm=None,
         no_self=None):
    d, p, emb = {}, "model.diffusion_model.", 4 * model
    depth = depth if isinstance(depth, list) else [depth] * len(mult)
    no_self = no_self or [False] * len(mult)

    def transformer(n, c, level, off):
        spatial_transformer(d, n, c, depth[level], context, use_linear, off)
    linear(d, p + "time_embed.0", model, emb)
    linear(d, p + "time_embed.2", emb, emb)
    if classes:
        d[p + "label_emb.weight"] = (classes, emb)
    if adm:
        linear(d, p + "label_emb.0.0", adm, emb)
        linear(d, p + "label_emb.0.2", emb, emb)
    conv(d, p + "input_blocks.0.0", inputs, model, 3)
    skips, c, ds, n = [model], model, 1, 1
    for level, m in enumerate(mult):
        for _ in range(blocks):
            res_block(d, f"{p}input_blocks.{n}.0", c, m * model, emb)
            c = m * model
            if ds in attention:
                transformer(f"{p}input_blocks.{n}.1", c, level, no_self[level])
            skips.append(c)
            n += 1
        if level != len(mult) - 1:
            conv(d, f"{p}input_blocks.{n}.0.op", c, c, 3)
            skips.append(c)
            n, ds = n + 1, ds * 2
    res_block(d, p + "middle_block.0", c, c, emb)
    transformer(p + "middle_block.1", c, -1, False)
    res_block(d, p + "middle_block.2", c, c, emb)
    n = 0
    for level, m in reversed(list(enumerate(mult))):
        for i in range(blocks + 1):
            res_block(d, f"{p}output_blocks.{n}.0", c + skips.pop(), m * model, emb)
            c, last = m * model, 1
            if ds in attention:
                transformer(f"{p}output_blocks.{n}.1", c, level, no_self[level])
                last = 2
            if level and i == blocks:
                conv(d, f"{p}output_blocks.{n}.{last}.conv", c, c, 3)
                ds //= 2
            n += 1
    norm(d, p + "out.0", c)
    conv(d, p + "out.2", model, outputs, 3)
    return d


def vae(ch, mult, blocks, z):
    d, p = {}, "first_stage_model."

    def block(n, i, o):
        norm(d, n + ".norm1", i)
        conv(d, n + ".conv1", i, o, 3)
        norm(d, n + ".norm2", o)
        conv(d, n + ".conv2", o, o, 3)
        if i != o:
            conv(d, n + ".nin_shortcut", i, o, 1)

    def middle(n, c):
        block(n + ".block_1", c, c)
        norm(d, n + ".attn_1.norm", c)
        for a in ("q", "k", "v", "proj_out"):
            conv(d, f"{n}.attn_1.{a}", c, c, 1)
        block(n + ".block_2", c, c)
    e, c = p + "encoder", ch
    conv(d, e + ".conv_in", 3, ch, 3)
    for level, m in enumerate(mult):
        for b in range(blocks):
            block(f"{e}.down.{level}.block.{b}", c, ch * m)
            c = ch * m
        if level != len(mult) - 1:
            conv(d, f"{e}.down.{level}.downsample.conv", c, c, 3)
    middle(e + ".mid", c)
    norm(d, e + ".norm_out", c)
    conv(d, e + ".conv_out", c, 2 * z, 3)
    e = p + "decoder"
    conv(d, e + ".conv_in", z, c, 3)
    middle(e + ".mid", c)
    for level, m in reversed(list(enumerate(mult))):
        for b in range(blocks + 1):
            block(f"{e}.up.{level}.block.{b}", c, ch * m)
            c = ch * m
        if level:
            conv(d, f"{e}.up.{level}.upsample.conv", c, c, 3)
    norm(d, e + ".norm_out", c)
    conv(d, e + ".conv_out", c, 3, 3)
    conv(d, p + "quant_conv", 2 * z, 2 * z, 1)
    conv(d, p + "post_quant_conv", z, z, 1)
    return d


def clip(p, width, layers, inner):
    d = {p + "text_model.embeddings.position_ids": (1, 77),
         p + "text_model.embeddings.token_embedding.weight": (49408, width),
         p + "text_model.embeddings.position_embedding.weight": (77, width)}
    for i in range(layers):
        b = f"{p}text_model.encoder.layers.{i}."
        for a in ("k_proj", "v_proj", "q_proj", "out_proj"):
            linear(d, b + "self_attn." + a, width, width)
        norm(d, b + "layer_norm1", width)
        linear(d, b + "mlp.fc1", width, inner)
        linear(d, b + "mlp.fc2", inner, width)
        norm(d, b + "layer_norm2", width)
    norm(d, p + "text_model.final_layer_norm", width)
    return d


def open_clip(p, width, layers, inner, projection):
    d = {p + "positional_embedding": (77, width), p + "text_projection": (width, projection),
         p + "logit_scale": (), p + "token_embedding.weight": (49408, width)}
    for i in range(layers):
        b = f"{p}transformer.resblocks.{i}."
        norm(d, b + "ln_1", width)
        d[b + "attn.in_proj_weight"], d[b + "attn.in_proj_bias"] = (3 * width, width), (3 * width,)
        linear(d, b + "attn.out_proj", width, width)
        norm(d, b + "ln_2", width)
        linear(d, b + "mlp.c_fc", width, inner)
        linear(d, b + "mlp.c_proj", inner, width)
    norm(d, p + "ln_final", width)
    return d


# ---- diffusers' converter, as it is ----

def converter(path):
    source = open(path, encoding="utf-8").read()
    space = {"re": re, "logger": types.SimpleNamespace(warning=lambda *a: None)}
    for begin, end in (("DIFFUSERS_TO_LDM_MAPPING =", "SD_2_TEXT_ENCODER_KEYS"),
                       ("LDM_VAE_KEYS =", "SCHEDULER_LEGACY"),
                       ("def conv_attn_to_linear", "def create_unet_diffusers"),
                       ("def update_unet_resnet", "def convert_stable_cascade"),
                       ("def convert_ldm_unet_checkpoint", "def convert_controlnet"),
                       ("def convert_ldm_vae_checkpoint", "def create_diffusers_clip_model")):
        at = source.index(begin)
        exec(source[at:source.index(end, at)], space)
    return space


def convert(space, s, ignore):
    tensors = {k: Tensor(k, v) for part in [s["unet"], s["vae"]] + list(s["text"].values()) for k, v in part.items()}
    space["SD_2_TEXT_ENCODER_KEYS_TO_IGNORE"] = ignore
    config = {"layers_per_block": s["config"]["unet"]["layers_per_block"], "num_class_embeds": 1,
              "addition_embed_type": s["config"]["unet"].get("addition_embed_type")}
    levels = s["config"]["vae"]["block_out_channels"]
    out = {"unet/" + k: v for k, v in space["convert_ldm_unet_checkpoint"](tensors, config).items()}
    config = {"down_block_types": levels, "up_block_types": levels}
    out.update({"vae/" + k: v for k, v in space["convert_ldm_vae_checkpoint"](tensors, config).items()})
    for component, part in s["text"].items():
        mine = {k: tensors[k] for k in part}
        prefix = re.match(r"(.*?)(text_model|positional)", next(iter(part)))[1]
        if prefix.endswith("transformer."):
            names = space["convert_ldm_clip_checkpoint"](mine)
        else:
            names = space["convert_open_clip_checkpoint"](None, mine, prefix)
        out.update({f"{component}/{k}": v for k, v in names.items() if not k.endswith("position_ids")})
    return out


def write_map(path, s, out):
    parts = {}
    for name, t in out.items():
        base, first, transposed = re.match(r"(.*?)(?:\[(\d+):\d+\])?(\.T)?$", t.name).groups()
        parts.setdefault(base, []).append((int(first or 0), name, "T" if transposed else "="))
    every = {k: v for part in [s["unet"], s["vae"]] + list(s["text"].values()) + [s["rest"]] for k, v in part.items()}
    with open(path, "w", encoding="utf-8") as f:
        for name, shape in every.items():
            found = sorted(parts.get(name, []))
            kind = found[0][2] if found else "-"
            if ".attn_1." in name and len(shape) == 4:
                kind = "C"
            f.write("\t".join([name, kind] + ([p[1] for p in found] or [",".join(map(str, shape))])) + "\n")


# ---- the systems ----

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000,
         "set_alpha_to_one": False, "clip_sample": False, "steps_offset": 1, "timestep_spacing": "leading"}
PNDM = dict(BETAS, _class_name="PNDMScheduler", skip_prk_steps=True, prediction_type="epsilon")
DDIM_V = dict(BETAS, _class_name="DDIMScheduler", prediction_type="v_prediction")
EULER = dict(BETAS, _class_name="EulerDiscreteScheduler", interpolation_type="linear", prediction_type="epsilon")
LOW_RES = {"_class_name": "DDPMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.0001, "beta_end": 0.02,
           "num_train_timesteps": 1000, "variance_type": "fixed_small", "clip_sample": True}
D, X, U, XU = "DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"
SCHEDULE = {k: (1000,) for k in ("betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
                                 "log_one_minus_alphas_cumprod", "posterior_variance", "posterior_mean_coef1")}


def unet_config(sample, inputs, channels, down, up, context, heads, use_linear, **more):
    return dict(_class_name="UNet2DConditionModel", sample_size=sample, in_channels=inputs, out_channels=4,
                block_out_channels=channels, down_block_types=down, up_block_types=up, layers_per_block=1,
                cross_attention_dim=context, attention_head_dim=heads, use_linear_projection=use_linear, **more)


def vae_config(sample, channels, scaling):
    n = len(channels)
    return {"_class_name": "AutoencoderKL", "sample_size": sample, "latent_channels": 4, "layers_per_block": 1,
            "block_out_channels": channels, "down_block_types": ["DownEncoderBlock2D"] * n,
            "up_block_types": ["UpDecoderBlock2D"] * n, "scaling_factor": scaling}


def text_config(width, layers, heads, inner, act, projection=None):
    more = {"projection_dim": projection} if projection else {}
    return dict(architectures=["CLIPTextModel" + ("WithProjection" if projection else "")], vocab_size=49408,
                hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
                max_position_embeddings=77, hidden_act=act, eos_token_id=2, **more)


def systems():
    text1 = clip("cond_stage_model.transformer.", 32, 2, 48)
    config1 = text_config(32, 2, 1, 48, "quick_gelu")
    text2 = open_clip("cond_stage_model.model.", 128, 3, 96, 80)
    config2 = text_config(128, 2, 2, 96, "gelu")
    big = text_config(64, 2, 1, 80, "gelu", 48)
    vae2, config_vae = vae(32, [1, 2], 1, 4), [32, 64]
    ema = {"model_ema.decay": (), "model_ema.diffusion_modelinput_blocks00weight": (3,),
           "first_stage_model.loss.logvar": ()}

    def sd1(inputs):
        return unet(32, [1, 2, 2], [1, 2], 1, inputs, 4, 32, 1, False)

    def sd1_config(inputs):
        return unet_config(64, inputs, [32, 64, 64], [X, X, D], [U, XU, XU], 32, 8, False)
    yield "sd1", "StableDiffusionPipeline", {}, {
        "unet": sd1(4), "vae": vae2, "text": {"text_encoder": text1}, "rest": dict(SCHEDULE, **ema), "scheduler": PNDM,
        "config": {"unet": sd1_config(4), "vae": vae_config(128, config_vae, 0.18215), "text_encoder": config1}}
    yield "sd1-inpainting", "StableDiffusionInpaintPipeline", {}, {
        "unet": sd1(9), "vae": vae2, "text": {"text_encoder": text1}, "rest": SCHEDULE, "scheduler": PNDM,
        "config": {"unet": sd1_config(9), "vae": vae_config(128, config_vae, 0.18215), "text_encoder": config1}}
    yield "sd2", "StableDiffusionPipeline", {}, {
        "unet": unet(64, [1, 2], [1, 2], 1, 4, 4, 128, 1, True), "vae": vae2, "text": {"text_encoder": text2},
        "rest": dict(SCHEDULE, **{"depth_model.model.scratch.output_conv.0.weight": (4, 4)}), "scheduler": DDIM_V,
        "config": {"unet": unet_config(96, 4, [64, 128], [X, X], [XU, XU], 128, [1, 2], True),
                   "vae": vae_config(192, config_vae, 0.18215), "text_encoder": config2}}
    yield "sd2-depth", "StableDiffusionDepth2ImgPipeline", \
        {"depth_estimator": ["transformers", "DPTForDepthEstimation"]}, {
            "unet": unet(64, [1, 2], [1, 2], 1, 5, 4, 128, 1, True), "vae": vae2, "text": {"text_encoder": text2},
            "rest": SCHEDULE, "scheduler": PNDM,
            "config": {"unet": unet_config(64, 5, [64, 128], [X, X], [XU, XU], 128, [1, 2], True),
                       "vae": vae_config(128, config_vae, 0.18215), "text_encoder": config2}}
    yield "upscaler", "StableDiffusionUpscalePipeline", \
        {"low_res_scheduler": ["diffusers", "DDPMScheduler"], "max_noise_level": 350}, {
            "unet": unet(32, [1, 2, 2], [2, 4], 1, 7, 4, 128, 1, True, classes=1000, no_self=[True, True, False]),
            "vae": vae(32, [1, 1, 2], 1, 4), "text": {"text_encoder": text2},
            "rest": dict(SCHEDULE, **{"low_scale_model.betas": (1000,)}),
            "scheduler": dict(DDIM_V, beta_start=0.0001, beta_end=0.02),
            "config": {"unet": unet_config(128, 7, [32, 64, 64], [D, X, X], [XU, XU, U], 128, 8, True,
                                           num_class_embeds=1000, only_cross_attention=[True, True, False]),
                       "vae": vae_config(512, [32, 32, 64], 0.08333), "text_encoder": config2}}
    yield "xl", "StableDiffusionXLPipeline", {"force_zeros_for_empty_prompt": True}, {
        "unet": unet(64, [1, 2, 2], [2, 4], 1, 4, 4, 96, [1, 1, 2], True, adm=48 + 6 * 16), "vae": vae2,
        "text": {"text_encoder": clip("conditioner.embedders.0.transformer.", 32, 2, 48),
                 "text_encoder_2": open_clip("conditioner.embedders.1.model.", 64, 2, 80, 48)},
        "rest": {"denoiser.sigmas": (1000,)}, "scheduler": EULER,
        "config": {"unet": unet_config(128, 4, [64, 128, 128], [D, X, X], [XU, XU, U], 96, [1, 2, 2], True,
                                       transformer_layers_per_block=[1, 1, 2], addition_embed_type="text_time",
                                       addition_time_embed_dim=16, projection_class_embeddings_input_dim=144),
                   "vae": vae_config(256, config_vae, 0.13025), "text_encoder": config1, "text_encoder_2": big}}
    yield "refiner", "StableDiffusionXLImg2ImgPipeline", \
        {"force_zeros_for_empty_prompt": False, "requires_aesthetics_score": True, "text_encoder": [None, None]}, {
            "unet": unet(64, [1, 2, 2], [2], 1, 4, 4, 64, 2, True, adm=48 + 5 * 16), "vae": vae2,
            "text": {"text_encoder_2": open_clip("conditioner.embedders.0.model.", 64, 2, 80, 48)},
            "rest": {"denoiser.sigmas": (1000,)}, "scheduler": EULER,
            "config": {"unet": unet_config(128, 4, [64, 128, 128], [D, X, D], [U, XU, U], 64, [1, 2, 2], True,
                                           transformer_layers_per_block=2, addition_embed_type="text_time",
                                           addition_time_embed_dim=16, projection_class_embeddings_input_dim=128),
                       "vae": vae_config(256, config_vae, 0.13025), "text_encoder_2": big}}


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


def write_tokenizer(folder, pad):
    end = "<|endoftext|>"
    write_json(f"{folder}/special_tokens_map.json",
               {"bos_token": "<|startoftext|>", "eos_token": end, "unk_token": end, "pad_token": pad})
    for name in ("vocab.json", "merges.txt"):
        link = f"{folder}/{name}"
        if not os.path.islink(link):
            os.symlink(f"../../../tokenizer/{name}", link)


def main():
    space = converter(sys.argv[1])
    out = sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(os.path.abspath(__file__))
    for name, pipeline, more, s in systems():
        # the list names the published files' 24th layer
        last = [k for part in s["text"].values() for k in part
                if k.startswith("cond_stage_model.model.") and (".resblocks.2." in k or k.endswith("text_projection"))]
        if "-" not in name:
            write_map(f"{out}/{name}.map", s, convert(space, s, last))
        folder = f"{out}/{name}"
        index = {"_class_name": pipeline, "unet": ["diffusers", "UNet2DConditionModel"],
                 "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", s["scheduler"]["_class_name"]]}
        for component, config in s["config"].items():
            write_json(f"{folder}/{component}/config.json", config)
            if "architectures" in config:
                index[component] = ["transformers", config["architectures"][0]]
                write_tokenizer(f"{folder}/{component.replace('text_encoder', 'tokenizer')}",
                                "!" if config["hidden_act"] == "gelu" else "<|endoftext|>")
        index.update(more)
        write_json(f"{folder}/model_index.json", index)
        write_json(f"{folder}/scheduler/scheduler_config.json", s["scheduler"])
        if "low_res_scheduler" in index:
            write_json(f"{folder}/low_res_scheduler/scheduler_config.json", LOW_RES)


if __name__ == "__main__":
    main()
