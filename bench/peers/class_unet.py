"""The class-conditional U-Net of models/class-unet-32.json, random weights."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

INPUT_NAMES = ("sample", "timestep", "class_labels")


class Res(nn.Module):
    def __init__(self, cin, cout, emb, groups):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, cin), nn.Conv2d(cin, cout, 3, padding=1)
        self.emb = nn.Linear(emb, cout)
        self.norm2, self.conv2 = nn.GroupNorm(groups, cout), nn.Conv2d(cout, cout, 3, padding=1)
        self.skip = nn.Conv2d(cin, cout, 1) if cin != cout else nn.Identity()

    def forward(self, x, e):
        h = self.conv1(F.silu(self.norm1(x))) + self.emb(F.silu(e))[:, :, None, None]
        return self.conv2(F.silu(self.norm2(h))) + self.skip(x)


class Attention(nn.Module):
    def __init__(self, ch, heads, groups):
        super().__init__()
        self.heads, self.norm = heads, nn.GroupNorm(groups, ch)
        self.qkv, self.proj = nn.Conv2d(ch, 3 * ch, 1), nn.Conv2d(ch, ch, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, self.heads, c // self.heads, h * w).unbind(1)
        a = torch.softmax(q.transpose(-1, -2) @ k / math.sqrt(c // self.heads), -1)
        return x + self.proj((v @ a.transpose(-1, -2)).reshape(b, c, h, w))


class Model(nn.Module):
    """models/class-unet-32.json: base 64, multipliers 1, 2, 4, two res blocks a level, attention at 8x8."""

    def __init__(self, base=64, mults=(1, 2, 4), blocks=2, size=32, classes=10, heads=4, groups=32):
        super().__init__()
        self.dim = emb = base * 4
        self.mlp = nn.Sequential(nn.Linear(emb, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.classes, self.conv_in = nn.Embedding(classes, emb), nn.Conv2d(3, base, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        chans, ch, res = [base], base, size
        for i, m in enumerate(mults):
            for _ in range(blocks):
                layer = [Res(ch, base * m, emb, groups)] + ([Attention(base * m, heads, groups)] if res == 8 else [])
                self.down.append(nn.ModuleList(layer))
                ch = base * m
                chans.append(ch)
            if i < len(mults) - 1:
                self.down.append(nn.Conv2d(ch, ch, 3, stride=2, padding=1))
                chans.append(ch)
                res //= 2
        self.mid = nn.ModuleList([Res(ch, ch, emb, groups), Attention(ch, heads, groups), Res(ch, ch, emb, groups)])
        for i, m in reversed(list(enumerate(mults))):
            for _ in range(blocks + 1):
                layer = [Res(ch + chans.pop(), base * m, emb, groups)] + ([Attention(base * m, heads, groups)] if res == 8 else [])
                self.up.append(nn.ModuleList(layer))
                ch = base * m
            if i > 0:
                self.up.append(nn.Conv2d(ch, ch, 3, padding=1))
                res *= 2
        self.norm_out, self.conv_out = nn.GroupNorm(groups, ch), nn.Conv2d(ch, 3, 3, padding=1)

    def forward(self, x, t, c):
        half = self.dim // 2
        args = t[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)[None]
        e = self.mlp(torch.cat([args.sin(), args.cos()], -1).to(x.dtype)) + self.classes(c)
        h = self.conv_in(x)
        skips = [h]
        for layer in self.down:
            if isinstance(layer, nn.Conv2d):
                h = layer(h)
            else:
                h = layer[0](h, e)
                h = layer[1](h) if len(layer) > 1 else h
            skips.append(h)
        h = self.mid[2](self.mid[1](self.mid[0](h, e)), e)
        for layer in self.up:
            if isinstance(layer, nn.Conv2d):
                h = layer(F.interpolate(h, scale_factor=2.0, mode="nearest"))
            else:
                h = layer[0](torch.cat([h, skips.pop()], 1), e)
                h = layer[1](h) if len(layer) > 1 else h
        return self.conv_out(F.silu(self.norm_out(h)))


def inputs(batch):
    return torch.randn(batch, 3, 32, 32), torch.full((batch,), 500.0), torch.zeros(batch, dtype=torch.int64)
