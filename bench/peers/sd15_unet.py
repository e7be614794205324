"""Stable Diffusion 1.5's U-Net (models/configs/sd-v1-5/unet), random weights."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from sd_layers import GROUPS, ResnetBlock, Transformer2D, Upsample

INPUT_NAMES = ("sample", "timestep", "encoder_hidden_states")
CHANNELS = (320, 640, 1280, 1280)
EMB, CONTEXT, HEADS, LAYERS, EPS = 1280, 768, 8, 2, 1e-5


class Block(nn.Module):
    """Residual blocks, each with a transformer behind it if `cross`, then `resample` or None."""

    def __init__(self, widths_in, cout, cross, resample):
        super().__init__()
        self.resnets = nn.ModuleList([ResnetBlock(cin, cout, EMB, EPS) for cin in widths_in])
        self.attentions = nn.ModuleList([Transformer2D(cout, CONTEXT, HEADS) for _ in widths_in] if cross else [])
        self.resample = resample

    def layer(self, j, h, emb, context):
        h = self.resnets[j](h, emb)
        return self.attentions[j](h, context) if len(self.attentions) else h


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        n, ch = len(CHANNELS), CHANNELS[0]
        self.time1, self.time2 = nn.Linear(ch, EMB), nn.Linear(EMB, EMB)
        self.conv_in = nn.Conv2d(4, ch, 3, padding=1)
        self.down, skips = nn.ModuleList(), [ch]
        for i, width in enumerate(CHANNELS):
            resample = nn.Conv2d(width, width, 3, stride=2, padding=1) if i < n - 1 else None
            self.down.append(Block([ch] + [width] * (LAYERS - 1), width, i < n - 1, resample))
            skips += [width] * LAYERS + ([width] if resample is not None else [])
            ch = width
        self.mid1, self.mid_attention, self.mid2 = ResnetBlock(ch, ch, EMB, EPS), Transformer2D(ch, CONTEXT, HEADS), ResnetBlock(ch, ch, EMB, EPS)
        self.up = nn.ModuleList()
        for i, width in reversed(list(enumerate(CHANNELS))):
            widths_in = [(ch if j == 0 else width) + skips.pop() for j in range(LAYERS + 1)]
            self.up.append(Block(widths_in, width, i < n - 1, Upsample(width) if i > 0 else None))
            ch = width
        self.norm_out, self.conv_out = nn.GroupNorm(GROUPS, ch, EPS), nn.Conv2d(ch, 4, 3, padding=1)

    def embedding(self, timestep, dtype):
        half = CHANNELS[0] // 2
        args = timestep[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)[None]
        e = torch.cat([args.cos(), args.sin()], -1).to(dtype)
        return self.time2(F.silu(self.time1(e)))

    def forward(self, sample, timestep, encoder_hidden_states):
        emb = self.embedding(timestep, sample.dtype)
        h = self.conv_in(sample)
        skips = [h]
        for block in self.down:
            for j in range(LAYERS):
                h = block.layer(j, h, emb, encoder_hidden_states)
                skips.append(h)
            if block.resample is not None:
                h = block.resample(h)
                skips.append(h)
        h = self.mid2(self.mid_attention(self.mid1(h, emb), encoder_hidden_states), emb)
        for block in self.up:
            for j in range(LAYERS + 1):
                h = block.layer(j, torch.cat([h, skips.pop()], 1), emb, encoder_hidden_states)
            h = h if block.resample is None else block.resample(h)
        return self.conv_out(F.silu(self.norm_out(h)))


def inputs(batch):
    return torch.randn(batch, 4, 64, 64), torch.full((batch,), 500.0), torch.randn(batch, 77, CONTEXT)
