"""The layers of Stable Diffusion 1.x's networks as torch modules: what a user of torch, or of an exporter, writes."""
import torch
import torch.nn as nn
import torch.nn.functional as F

GROUPS = 32


class ResnetBlock(nn.Module):
    """emb: width of the time embedding, 0 in the autoencoder."""

    def __init__(self, cin, cout, emb, eps):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, cin, eps), nn.Conv2d(cin, cout, 3, padding=1)
        self.time_emb_proj = nn.Linear(emb, cout) if emb else None
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, cout, eps), nn.Conv2d(cout, cout, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(cin, cout, 1) if cin != cout else None

    def forward(self, x, emb=None):
        h = self.conv1(F.silu(self.norm1(x)))
        if self.time_emb_proj is not None:
            h = h + self.time_emb_proj(F.silu(emb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + h


class Upsample(nn.Module):
    def __init__(self, ch):
        super().__init__()
        self.conv = nn.Conv2d(ch, ch, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d)) v over tokens [B, T, C]; context None: of the tokens themselves."""

    def __init__(self, ch, context, heads, bias=False):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = nn.Linear(ch, ch, bias), nn.Linear(context, ch, bias), nn.Linear(context, ch, bias)
        self.to_out = nn.ModuleList([nn.Linear(ch, ch)])

    def split(self, x):
        b, t, c = x.shape
        return x.reshape(b, t, self.heads, c // self.heads).transpose(1, 2)

    def forward(self, x, context=None):
        b, t, c = x.shape
        context = x if context is None else context
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(context)), self.split(self.to_v(context))
        p = torch.softmax(torch.matmul(q * (c // self.heads) ** -0.5, k.transpose(-1, -2)), -1)
        return self.to_out[0](torch.matmul(p, v).transpose(1, 2).reshape(b, t, c))


class GEGLU(nn.Module):
    def __init__(self, ch, hidden):
        super().__init__()
        self.proj = nn.Linear(ch, 2 * hidden)

    def forward(self, x):
        value, gate = self.proj(x).chunk(2, -1)
        return value * F.gelu(gate)


class TransformerBlock(nn.Module):
    def __init__(self, ch, context, heads):
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(ch), Attention(ch, ch, heads)
        self.norm2, self.attn2 = nn.LayerNorm(ch), Attention(ch, context, heads)
        self.norm3, self.ff = nn.LayerNorm(ch), nn.Sequential(GEGLU(ch, 4 * ch), nn.Linear(4 * ch, ch))

    def forward(self, h, context):
        h = h + self.attn1(self.norm1(h))
        h = h + self.attn2(self.norm2(h), context)
        return h + self.ff(self.norm3(h))


class Transformer2D(nn.Module):
    def __init__(self, ch, context, heads):
        super().__init__()
        self.norm, self.proj_in, self.proj_out = nn.GroupNorm(GROUPS, ch, 1e-6), nn.Conv2d(ch, ch, 1), nn.Conv2d(ch, ch, 1)
        self.block = TransformerBlock(ch, context, heads)

    def forward(self, x, context):
        b, c, height, width = x.shape
        h = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).reshape(b, height * width, c)
        h = self.block(h, context).reshape(b, height, width, c).permute(0, 3, 1, 2)
        return self.proj_out(h) + x
