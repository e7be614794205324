"""The class-conditional U-Net of models/shapes-32 (its README tells the sizes; widths and depths follow from the weights)."""
import torch
import torch.nn.functional as F

from layers import conv, group_norm, linear, scores_attention, timestep_sinusoid

EPS = 1e-5


def _res(w, x, emb, groups):
    h = conv(w["conv1"], F.silu(group_norm(w["norm1"], x, groups, EPS))) + linear(w["emb"], F.silu(emb))[:, :, None, None]
    h = conv(w["conv2"], F.silu(group_norm(w["norm2"], h, groups, EPS)))
    return h + (conv(w["skip"], x) if w.has("skip.weight") else x)


def _attention(w, x, heads, groups):
    b, c, height, width = x.shape
    q, k, v = conv(w["qkv"], group_norm(w["norm"], x, groups, EPS)).flatten(2).transpose(1, 2).chunk(3, -1)
    h = scores_attention(q, k, v, heads).transpose(1, 2).reshape(b, c, height, width)
    return x + conv(w["proj"], h)


def class_unet(w, sample, timestep, class_labels, heads=4, groups=16):
    """sample [B, 3, H, W], timestep [B], class_labels [B] -> [B, 3, H, W]."""
    width = w["embed", "mlp", 0].weight.shape[0]
    e = timestep_sinusoid(timestep, width, False, 0)
    emb = linear(w["embed", "mlp", 2], F.silu(linear(w["embed", "mlp", 0], e))) + w["embed", "class_embed"].weight[class_labels]

    def block(p, h):
        h = _res(p["res"], h, emb, groups)
        return _attention(p["attn"], h, heads, groups) if p.has("attn.qkv.weight") else h

    h = conv(w["conv_in"], sample)
    skips, i = [h], 0
    while w.has("down.%d.res.conv1.weight" % i) or w.has("down.%d.conv.weight" % i):
        p = w["down", i]
        h = block(p, h) if p.has("res.conv1.weight") else conv(p["conv"], h, stride=2)
        skips.append(h)
        i += 1
    h = _res(w["mid", "res2"], _attention(w["mid", "attn"], _res(w["mid", "res1"], h, emb, groups), heads, groups), emb, groups)
    i = 0
    while w.has("up.%d.res.conv1.weight" % i) or w.has("up.%d.conv.weight" % i):
        p = w["up", i]
        if p.has("res.conv1.weight"):
            h = block(p, torch.cat([h, skips.pop()], 1))
        else:
            h = conv(p["conv"], F.interpolate(h, scale_factor=2.0, mode="nearest"))
        i += 1
    return conv(w["conv_out"], F.silu(group_norm(w["norm_out"], h, groups, EPS)))
