"""AutoencoderKL: picture -> moments and latent -> picture. Every norm has eps 1e-6."""
import torch

from layers import ACTIVATIONS, conv, downsample, group_norm, image_attention, resnet_block, upsample

EPS = 1e-6


def _settings(c):
    widths = c.get("block_out_channels", [64])
    return widths, c.get("layers_per_block", 1), c.get("norm_num_groups", 32), ACTIVATIONS[c.get("act_fn", "silu")]


def _mid(w, h, groups, act, with_attention):
    h = resnet_block(w["resnets", 0], h, None, groups, EPS, act)
    if with_attention:
        h = image_attention(w["attentions", 0], h, 1, groups, EPS)
    return resnet_block(w["resnets", 1], h, None, groups, EPS, act)


def encode(w, c, image):
    """image [B, 3, H, W] in -1..1 -> moments [B, 2 latent, h, w]: mean, then log variance."""
    widths, layers, groups, act = _settings(c)
    p = w["encoder"]
    h = conv(p["conv_in"], image)
    for i in range(len(widths)):
        for j in range(layers):
            h = resnet_block(p["down_blocks", i, "resnets", j], h, None, groups, EPS, act)
        if i < len(widths) - 1:
            h = downsample(p["down_blocks", i, "downsamplers", 0], h, 0)
    h = _mid(p["mid_block"], h, groups, act, c.get("mid_block_add_attention", True))
    h = conv(p["conv_out"], act(group_norm(p["conv_norm_out"], h, groups, EPS)))
    return conv(w["quant_conv"], h) if c.get("use_quant_conv", True) else h


def sample_moments(moments, noise):
    mean, log_variance = moments.chunk(2, 1)
    return mean + torch.exp(0.5 * log_variance.clamp(-30, 20)) * noise


def decode(w, c, latent):
    """latent [B, 4, h, w], already divided by the scaling factor -> [B, 3, H, W]."""
    widths, layers, groups, act = _settings(c)
    h = conv(w["post_quant_conv"], latent) if c.get("use_post_quant_conv", True) else latent
    p = w["decoder"]
    h = conv(p["conv_in"], h)
    h = _mid(p["mid_block"], h, groups, act, c.get("mid_block_add_attention", True))
    for i in range(len(widths)):
        for j in range(layers + 1):
            h = resnet_block(p["up_blocks", i, "resnets", j], h, None, groups, EPS, act)
        if i < len(widths) - 1:
            h = upsample(p["up_blocks", i, "upsamplers", 0], h)
    return conv(p["conv_out"], act(group_norm(p["conv_norm_out"], h, groups, EPS)))


def scale_factor(c):
    """Pixels a latent cell on each side."""
    return 2 ** (len(c.get("block_out_channels", [64])) - 1)
