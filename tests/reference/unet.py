"""UNet2DConditionModel and UNet2DModel as functions of (weights, config, inputs). Keys a config lacks have diffusers' defaults."""
import torch
import torch.nn.functional as F

from layers import (ACTIVATIONS, conv, downsample, group_norm, image_attention, linear, mlp_embedding, resnet_block,
                    timestep_sinusoid, transformer_2d, upsample)


def _each(value, n):
    return list(value) if isinstance(value, (list, tuple)) else [value] * n


def _refuse(c, **allowed):
    for key, values in allowed.items():
        if key in c and c[key] not in values:
            raise NotImplementedError("%s = %r" % (key, c[key]))


def _times(timestep, batch):
    t = torch.as_tensor(timestep, dtype=torch.float32).reshape(-1)
    return t.expand(batch) if t.numel() == 1 else t


def unet2d_condition(w, c, sample, timestep, encoder_hidden_states, class_labels=None, text_embeds=None, time_ids=None,
                     timestep_cond=None):
    """sample [B, in, H, W] -> [B, out, H, W]."""
    _refuse(c, resnet_time_scale_shift=("default",), time_embedding_type=("positional",), class_embed_type=(None,),
            addition_embed_type=(None, "text_time"), encoder_hid_dim=(None,), dual_cross_attention=(False,),
            mid_block_type=("UNetMidBlock2DCrossAttn",), resnet_skip_time_act=(False,), time_embedding_act_fn=(None,))
    widths = c.get("block_out_channels", [320, 640, 1280, 1280])
    n = len(widths)
    down = c.get("down_block_types", ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"])
    up = c.get("up_block_types", ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3)
    heads = _each(c.get("num_attention_heads") or c.get("attention_head_dim", 8), n)  # the key's name is a known mistake
    depth = _each(c.get("transformer_layers_per_block", 1), n)
    only_cross = c.get("only_cross_attention", False)
    mid_only_cross = c.get("mid_block_only_cross_attention")
    if mid_only_cross is None:
        mid_only_cross = only_cross if isinstance(only_cross, bool) else False
    only_cross = _each(only_cross, n)
    layers = _each(c.get("layers_per_block", 2), n)
    groups, eps, act = c.get("norm_num_groups", 32), c.get("norm_eps", 1e-5), ACTIVATIONS[c.get("act_fn", "silu")]
    flip, shift = c.get("flip_sin_to_cos", True), c.get("freq_shift", 0)

    if c.get("center_input_sample"):
        sample = 2 * sample - 1
    t = timestep_sinusoid(_times(timestep, sample.shape[0]), widths[0], flip, shift)
    if c.get("time_cond_proj_dim"):
        t = t + linear(w["time_embedding", "cond_proj"], timestep_cond)
    emb = mlp_embedding(w["time_embedding"], t, act)
    if c.get("num_class_embeds"):
        emb = emb + w["class_embedding"].weight[class_labels]
    if c.get("addition_embed_type") == "text_time":
        ids = timestep_sinusoid(time_ids.flatten(), c["addition_time_embed_dim"], flip, shift)
        added = torch.cat([text_embeds, ids.reshape(text_embeds.shape[0], -1)], -1)
        emb = emb + mlp_embedding(w["add_embedding"], added, act)

    def res(p, h, scale=1.0):
        return resnet_block(p, h, emb, groups, eps, act, scale)

    def block_layer(p, j, h, kind, level):
        h = res(p["resnets", j], h)
        if kind.startswith("CrossAttn"):
            h = transformer_2d(p["attentions", j], h, encoder_hidden_states, heads[level], depth[level], groups, only_cross[level])
        return h

    factor = 2 ** (n - 1)
    odd = sample.shape[2] % factor or sample.shape[3] % factor
    h = conv(w["conv_in"], sample)
    skips = [h]
    for i, kind in enumerate(down):
        p = w["down_blocks", i]
        for j in range(layers[i]):
            h = block_layer(p, j, h, kind, i)
            skips.append(h)
        if i < n - 1:
            h = downsample(p["downsamplers", 0], h, c.get("downsample_padding", 1))
            skips.append(h)
    p, scale = w["mid_block"], c.get("mid_block_scale_factor", 1)
    h = res(p["resnets", 0], h, scale)
    h = transformer_2d(p["attentions", 0], h, encoder_hidden_states, heads[-1], depth[-1], groups, mid_only_cross)
    h = res(p["resnets", 1], h, scale)
    for i, kind in enumerate(up):
        p, level = w["up_blocks", i], n - 1 - i
        for j in range(layers[level] + 1):
            h = block_layer(p, j, torch.cat([h, skips.pop()], 1), kind, level)
        if i < n - 1:
            h = upsample(p["upsamplers", 0], h, skips[-1].shape[2:] if odd else None)
    return conv(w["conv_out"], act(group_norm(w["conv_norm_out"], h, groups, eps)))


def unet2d(w, c, sample, timestep, class_labels=None):
    """UNet2DModel: here attention_head_dim is the width of a head."""
    _refuse(c, resnet_time_scale_shift=("default",), time_embedding_type=("positional",), class_embed_type=(None,),
            downsample_type=("conv",), upsample_type=("conv",), mid_block_type=("UNetMidBlock2D",), add_attention=(True,),
            attn_norm_num_groups=(None,), center_input_sample=(False,))
    widths = c.get("block_out_channels", [224, 448, 672, 896])
    n, layers = len(widths), c.get("layers_per_block", 2)
    down = c.get("down_block_types", ["DownBlock2D"] + ["AttnDownBlock2D"] * 3)
    up = c.get("up_block_types", ["AttnUpBlock2D"] * 3 + ["UpBlock2D"])
    groups, eps, act = c.get("norm_num_groups", 32), c.get("norm_eps", 1e-5), ACTIVATIONS[c.get("act_fn", "silu")]
    head_width = c.get("attention_head_dim", 8)

    t = timestep_sinusoid(_times(timestep, sample.shape[0]), widths[0], c.get("flip_sin_to_cos", True), c.get("freq_shift", 0))
    emb = mlp_embedding(w["time_embedding"], t)
    if c.get("num_class_embeds"):
        emb = emb + w["class_embedding"].weight[class_labels]

    def attend(p, h):
        return image_attention(p, h, h.shape[1] // head_width if head_width else 1, groups, eps)

    def block_layer(p, j, h, kind):
        h = resnet_block(p["resnets", j], h, emb, groups, eps, act)
        return attend(p["attentions", j], h) if kind.startswith("Attn") else h

    h = conv(w["conv_in"], sample)
    skips = [h]
    for i, kind in enumerate(down):
        for j in range(layers):
            h = block_layer(w["down_blocks", i], j, h, kind)
            skips.append(h)
        if i < n - 1:
            h = downsample(w["down_blocks", i, "downsamplers", 0], h, c.get("downsample_padding", 1))
            skips.append(h)
    p, scale = w["mid_block"], c.get("mid_block_scale_factor", 1)
    h = resnet_block(p["resnets", 0], h, emb, groups, eps, act, scale)
    h = attend(p["attentions", 0], h)
    h = resnet_block(p["resnets", 1], h, emb, groups, eps, act, scale)
    for i, kind in enumerate(up):
        for j in range(layers + 1):
            h = block_layer(w["up_blocks", i], j, torch.cat([h, skips.pop()], 1), kind)
        if i < n - 1:
            h = upsample(w["up_blocks", i, "upsamplers", 0], h)
    return conv(w["conv_out"], F.silu(group_norm(w["conv_norm_out"], h, groups, eps)))
