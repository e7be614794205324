"""The layers of diffusers' networks as functions of (weights, input): residual block, transformers, embeddings."""
import math

import torch
import torch.nn.functional as F

ACTIVATIONS = {
    "silu": F.silu,
    "swish": F.silu,
    "relu": F.relu,
    "mish": F.mish,
    "gelu": F.gelu,  # by erf
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}

SCORES_AT_ONCE = 1 << 25  # elements of Q K^T kept at a time
MATRIX_IS_LARGE = 1 << 28  # multiplications


def product(weight, x, bias=None):
    """weight [N, C] x [C, T] -> [N, T], as a 1x1 convolution: with two threads Debian's torch has oneDNN for these (50 GFLOP/s a core
    where this was written), for matrices only the reference BLAS (1.5)."""
    return F.conv2d(x[None, :, :, None], weight[:, :, None, None].contiguous(), bias)[0, :, :, 0]


def linear(w, x):
    weight, bias = w.weight, w.bias
    weight = weight.reshape(weight.shape[:2])
    if x.numel() * len(weight) < MATRIX_IS_LARGE:
        return F.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    return product(weight, rows.T, bias).T.reshape(x.shape[:-1] + (len(weight),))


def conv(w, x, stride=1, padding=None):
    weight = w.weight
    return F.conv2d(x, weight, w.bias, stride, weight.shape[-1] // 2 if padding is None else padding)


def group_norm(w, x, groups, eps):
    return F.group_norm(x, groups, w.weight, w.bias, eps)


def layer_norm(w, x, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], w.weight, w.bias, eps)


def timestep_sinusoid(t, dim, flip_sin_to_cos, freq_shift):
    """t [n] -> [n, dim]: sin of all frequencies, then cos; the other way round when flipped."""
    half = dim // 2
    exponent = -math.log(10000) * torch.arange(half, dtype=torch.float32) / (half - freq_shift)
    angle = t.float()[:, None] * exponent.exp()[None]
    parts = [angle.cos(), angle.sin()] if flip_sin_to_cos else [angle.sin(), angle.cos()]
    e = torch.cat(parts, -1)
    return F.pad(e, (0, dim % 2))


def mlp_embedding(w, x, act=F.silu):
    """TimestepEmbedding: linear, activation, linear."""
    return linear(w["linear_2"], act(linear(w["linear_1"], x)))


def scores_attention(q, k, v, heads, mask=None):
    """softmax(q k^T / sqrt(d)) v over [B, T, C] tokens; heads one after the other when the scores are many."""
    b, n, c = q.shape
    split = lambda x: x.reshape(b, x.shape[1], heads, x.shape[2] // heads).transpose(1, 2)
    q, k, v = split(q) * (c // heads) ** -0.5, split(k), split(v)

    def one(q, k, v):
        s = q @ k.transpose(-1, -2)
        return torch.softmax(s if mask is None else s + mask, -1) @ v

    if q.numel() * k.shape[2] < MATRIX_IS_LARGE:
        out = one(q, k, v)
    else:
        assert mask is None
        out, rows = torch.empty_like(q), max(1, SCORES_AT_ONCE // k.shape[2])
        for i in range(b):
            for h in range(heads):
                for r in range(0, n, rows):
                    s = torch.softmax(product(k[i, h], q[i, h, r:r + rows].T), 0)  # [keys, queries]
                    out[i, h, r:r + rows] = product(v[i, h].T, s).T
    return out.transpose(1, 2).reshape(b, n, c)


def attention(w, x, context, heads):
    """Attention of transformer blocks: no bias in q, k, v."""
    out = scores_attention(linear(w["to_q"], x), linear(w["to_k"], context), linear(w["to_v"], context), heads)
    return linear(w["to_out", 0], out)


def feed_forward(w, x):
    """GEGLU: the first half is the value, the second the gate."""
    value, gate = linear(w["net", 0, "proj"], x).chunk(2, -1)
    return linear(w["net", 2], value * F.gelu(gate))


def transformer_2d(w, x, context, heads, depth, groups, only_cross):
    """Transformer2DModel: its group norm has eps 1e-6 whatever the network's is."""
    b, c, height, width = x.shape
    h = group_norm(w["norm"], x, groups, 1e-6).flatten(2).transpose(1, 2)
    h = linear(w["proj_in"], h)
    for i in range(depth):
        p = w["transformer_blocks", i]
        n = layer_norm(p["norm1"], h)
        h = h + attention(p["attn1"], n, context if only_cross else n, heads)
        h = h + attention(p["attn2"], layer_norm(p["norm2"], h), context, heads)
        h = h + feed_forward(p["ff"], layer_norm(p["norm3"], h))
    h = linear(w["proj_out"], h)
    return x + h.transpose(1, 2).reshape(b, c, height, width)


def image_attention(w, x, heads, groups, eps):
    """The attention with a group norm of UNet2DModel and the autoencoders; also under its older names."""
    names = ("query", "key", "value", "proj_attn") if w.has("query.weight") else ("to_q", "to_k", "to_v", ("to_out", 0))
    b, c, height, width = x.shape
    h = group_norm(w["group_norm"], x, groups, eps).flatten(2).transpose(1, 2)
    q, k, v = (linear(w[n], h) for n in names[:3])
    h = linear(w[names[3]], scores_attention(q, k, v, heads))
    return x + h.transpose(1, 2).reshape(b, c, height, width)


def resnet_block(w, x, temb, groups, eps, act=F.silu, scale=1.0):
    """ResnetBlock2D with the embedding added; temb None in autoencoders."""
    h = conv(w["conv1"], act(group_norm(w["norm1"], x, groups, eps)))
    if temb is not None:
        h = h + linear(w["time_emb_proj"], act(temb))[:, :, None, None]
    h = conv(w["conv2"], act(group_norm(w["norm2"], h, groups, eps)))
    if w.has("conv_shortcut.weight"):
        x = conv(w["conv_shortcut"], x)
    return (x + h) / scale


def downsample(w, x, padding):
    """Stride 2; without padding the picture is first extended on the right and at the bottom."""
    if padding == 0:
        x = F.pad(x, (0, 1, 0, 1))
    return conv(w["conv"], x, 2, padding)


def upsample(w, x, size=None):
    x = F.interpolate(x, size=size, mode="nearest") if size else F.interpolate(x, scale_factor=2.0, mode="nearest")
    return conv(w["conv"], x)
