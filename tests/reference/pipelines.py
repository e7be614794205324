"""diffusers' pipelines: prompts, pictures and seeds to pictures.

Every picture of a batch has a generator of its own, seeded seed, seed + 1 ...; what is drawn from it comes in diffusers' order:
posterior of the first picture, noise (low-resolution noise before that), posterior of the masked picture, then the sampler's.
"""
import os

import torch
import torch.nn.functional as F

import clip
import schedulers
import unet
import unipc  # noqa: F401 (it adds itself to the classes)
import vae
from class_unet import class_unet
from layers import timestep_sinusoid
from safetensors_io import Weights, load, load_component, load_json


class Draws:
    """One generator a picture."""

    def __init__(self, seeds):
        self.generators = [torch.Generator().manual_seed(s) for s in seeds]

    def normal(self, shape):
        """[B, *shape]"""
        return torch.cat([torch.randn((1,) + tuple(shape), generator=g) for g in self.generators])


class System:
    """A diffusers folder. `trace` keeps the intermediate tensors of the last picture."""

    def __init__(self, folder):
        self.index = load_json(os.path.join(folder, "model_index.json"))
        part = lambda name: os.path.join(folder, name)
        has = lambda name: os.path.isdir(part(name))
        self.unet, self.unet_config = load_component(part("unet"))
        self.vae, self.vae_config = load_component(part("vae"))
        self.scheduler_config = load_json(part("scheduler/scheduler_config.json"))
        self.low_res_config = load_json(part("low_res_scheduler/scheduler_config.json")) if has("low_res_scheduler") else None
        self.texts = [(load_component(part("text_encoder" + s)), clip.Tokenizer(part("tokenizer" + s)))
                      for s in ("", "_2") if has("text_encoder" + s)]
        self.scaling = 0.08333 if self.low_res_config else self.vae_config.get("scaling_factor", 0.18215)
        self.trace = {}

    # ---- text ----

    def encode_text(self, text, zeros=False, clip_skip=0, chunks=1):
        """(context [1, chunks T, C], pooled [1, P] or None). One encoder: its last state; SDXL: the last but one of both, not
        normed. clip_skip: that many layers earlier. text may be [(string, weight)]: the context's rows are multiplied by the
        weights, then every chunk by what gives it its mean back."""
        contexts, pooled = [], None
        for (w, c), tokenizer in self.texts:
            ids, weights = tokenizer(text, c["max_position_embeddings"], chunks)
            out = clip.text_model(w, c, ids)
            if len(self.texts) == 1 and "text_embeds" not in out:
                contexts.append(out["final_layer_norm"](out["hidden_states"][-1 - clip_skip]))
            else:
                contexts.append(out["hidden_states"][-2 - clip_skip])
                pooled = out["text_embeds"][:1] if "text_embeds" in out else None
        context = torch.cat(contexts, -1)
        if not isinstance(text, str):
            mean = lambda t: t.mean((1, 2), keepdim=True)
            weighted = context * weights[:, :, None]
            context = weighted * (mean(context) / mean(weighted))
        context = context.reshape(1, -1, context.shape[-1])
        return (torch.zeros_like(context), torch.zeros_like(pooled)) if zeros else (context, pooled)

    def conditions(self, prompt, negative, guidance, count, size, clip_skip=0, chunks=1):
        """(keyword arguments of the U-Net at the batch it runs at, with_guidance)."""
        embedded = self.unet_config.get("time_cond_proj_dim")
        guided = guidance > 1 and not embedded
        texts = [self.encode_text(prompt, False, clip_skip, chunks)]
        if guided:
            zeros = not negative and self.index.get("force_zeros_for_empty_prompt", "XL" in self.index["_class_name"])
            texts.insert(0, self.encode_text(negative, zeros, clip_skip, chunks))
        more = {"encoder_hidden_states": torch.cat([c for c, _ in texts]).repeat_interleave(count, 0)}
        if self.unet_config.get("addition_embed_type") == "text_time":
            more["text_embeds"] = torch.cat([p for _, p in texts]).repeat_interleave(count, 0)
            more["time_ids"] = torch.tensor(self.time_ids(size, guided), dtype=torch.float32).repeat_interleave(count, 0)
        if embedded:
            w = torch.full((count,), (guidance - 1) * 1000.0)
            more["timestep_cond"] = timestep_sinusoid(w, embedded, False, 1)
        return more, guided

    def time_ids(self, size, guided):
        """Original height and width, crop from the top and the left, and the wanted size; the refiner has an aesthetic score there."""
        first = list(size) + [0, 0]
        if self.index.get("requires_aesthetics_score"):
            return ([first + [2.5]] if guided else []) + [first + [6.0]]
        return [first + list(size)] * (2 if guided else 1)

    # ---- pictures ----

    def encode_picture(self, image, draws):
        moments = vae.encode(self.vae, self.vae_config, image)
        noise = draws.normal((moments.shape[1] // 2,) + tuple(moments.shape[2:]))
        return vae.sample_moments(moments, noise) * self.scaling

    def decode(self, latents):
        return torch.cat([vae.decode(self.vae, self.vae_config, z[None] / self.scaling) for z in latents])

    # ---- the loop ----

    def denoise(self, s, first, x, more, guided, guidance, rescale, draws, extra=None, after=None):
        """rescale: how much of guidance's larger deviation is taken back; extra [B, C, h, w]: further input channels; after(k, x): what is done to the sample when step k is over."""
        self.trace["first"] = x.clone()
        for k in range(first, len(s.timesteps)):
            scaled = s.scale(k, x)
            if extra is not None:
                scaled = torch.cat([scaled, extra], 1)
            if guided:
                scaled = torch.cat([scaled, scaled])
            out = unet.unet2d_condition(self.unet, self.unet_config, scaled, float(s.timesteps[k]), **more)
            if k == first:  # one evaluation as a golden of the U-Net alone
                self.trace["evaluation"] = dict({"in.sample": scaled, "in.timestep": torch.tensor([float(s.timesteps[k])])},
                                                **{"in." + n: t for n, t in more.items()}, **{"out.sample": out})
            if guided:
                low, high = out.chunk(2)
                out = low + guidance * (high - low)
                deviation = lambda t: t.std((1, 2, 3), keepdim=True)
                out = rescale * out * (deviation(high) / deviation(out)) + (1 - rescale) * out
            x = s.step(k, x, out, lambda: draws.normal(x.shape[1:]))
            if after:
                x = after(k, x)
        self.trace["latent"] = x.clone()
        return x

    def paint(self, prompt, negative="", steps=50, guidance=7.5, seeds=(0,), size=None, sampler=None, sampler_keys=None,
              image=None, strength=None, mask=None, depth=None, noise_level=20, clip_skip=0, chunks=1,
              guidance_rescale=0.0):
        """[B, 3, H, W] in -1..1. size: (height, width) of the picture without an image; which pipeline runs follows from the
        U-Net's channels and the inputs."""
        self.trace = {}
        draws, c = Draws(seeds), self.unet_config
        s = schedulers.make(dict(self.scheduler_config, **(sampler_keys or {})), steps, sampler)
        scale = vae.scale_factor(self.vae_config)
        if image is not None:
            size = tuple(x * (scale if self.low_res_config else 1) for x in image.shape[2:])
        size = size or (c["sample_size"] * scale,) * 2
        more, guided = self.conditions(prompt, negative, guidance, len(seeds), size, clip_skip, chunks)
        shape = (c["out_channels"], size[0] // scale, size[1] // scale)
        go = lambda first, x, **rest: self.decode(self.denoise(s, first, x, more, guided, guidance, guidance_rescale, draws, **rest))

        if self.low_res_config:
            low = schedulers.make(self.low_res_config, self.low_res_config.get("num_train_timesteps", 1000))
            bar = low.bars[noise_level]
            picture = bar.sqrt() * image + (1 - bar).sqrt() * draws.normal(image.shape[1:])
            more["class_labels"] = torch.full((len(seeds) * (2 if guided else 1),), noise_level)
            return go(0, draws.normal(shape) * s.init_noise_sigma, extra=picture)
        if mask is not None:
            return self.inpaint(s, image, mask, 1.0 if strength is None else strength, shape, draws, go)
        if image is None:
            return go(0, draws.normal(shape) * s.init_noise_sigma)
        first = s.begin(0.8 if strength is None else strength)
        clean = self.encode_picture(image, draws)
        x = s.add_noise(first, clean, draws.normal(shape))
        return go(first, x, extra=None if depth is None else depth_channel(depth, shape[1:]).repeat(len(seeds), 1, 1, 1))

    def inpaint(self, s, image, mask, strength, shape, draws, go):
        """Nine channels: latent, mask, masked picture. Four: what the mask leaves is put back after each step."""
        four = self.unet_config["in_channels"] == 4
        first = s.begin(strength)
        clean = self.encode_picture(image, draws) if four or strength < 1 else None
        noise = draws.normal(shape)
        x = noise * s.init_noise_sigma if strength >= 1 else s.add_noise(first, clean, noise)
        masked = self.encode_picture(image * (mask < 0.5), draws)  # drawn with four channels too
        small = F.interpolate(mask, size=shape[1:], mode="nearest")
        self.trace["mask"], self.trace["masked"] = small, masked
        if not four:
            return go(first, x, extra=torch.cat([small.repeat(len(noise), 1, 1, 1), masked], 1))

        def put_back(k, x):
            kept = s.add_noise(k + 1, clean, noise) if k + 1 < len(s.timesteps) else clean
            return (1 - small) * kept + small * x

        return go(first, x, after=put_back)


def depth_channel(depth, size):
    """[1, 1, H, W] -> [1, 1, h, w] in -1..1."""
    d = F.interpolate(depth, size=size, mode="bicubic", align_corners=False)
    low, high = d.amin((1, 2, 3), True), d.amax((1, 2, 3), True)
    return 2 * (d - low) / (high - low) - 1


class ClassSystem:
    """models/shapes-32: pixels, flow matching, no guidance."""

    def __init__(self, folder):
        self.weights = Weights(load(os.path.join(folder, "weights.safetensors")))

    def paint(self, label, steps=32, seeds=(0,), size=32, image=None, strength=0.8):
        draws, s = Draws(seeds), schedulers.Flow({}, steps)
        first = 0 if image is None else s.begin(strength)
        noise = draws.normal((3, size, size))
        x = noise if image is None else s.add_noise(first, image, noise)
        labels = torch.full((len(seeds),), label)
        for k in range(first, steps):
            t = torch.full((len(seeds),), float(s.timesteps[k]))
            x = s.step(k, x, class_unet(self.weights, x, t, labels), None)
        return x
