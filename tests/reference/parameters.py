"""Names and shapes of a network's tensors from its config, and random values for them."""
import numpy as np
import torch

from safetensors_io import save_each
from unet import _each


class Shapes(dict):
    """Filled by the methods, in diffusers' names."""

    def linear(self, name, inputs, outputs, bias=True):
        self[name + ".weight"] = (outputs, inputs)
        if bias:
            self[name + ".bias"] = (outputs,)

    def conv(self, name, inputs, outputs, kernel=3):
        self[name + ".weight"] = (outputs, inputs, kernel, kernel)
        self[name + ".bias"] = (outputs,)

    def norm(self, name, width):
        self[name + ".weight"] = self[name + ".bias"] = (width,)

    def resnet(self, name, inputs, outputs, embedding):
        self.norm(name + ".norm1", inputs)
        self.conv(name + ".conv1", inputs, outputs)
        if embedding:
            self.linear(name + ".time_emb_proj", embedding, outputs)
        self.norm(name + ".norm2", outputs)
        self.conv(name + ".conv2", outputs, outputs)
        if inputs != outputs:
            self.conv(name + ".conv_shortcut", inputs, outputs, 1)

    def transformer(self, name, width, depth, context, linear_projection, only_cross):
        self.norm(name + ".norm", width)
        for p in ("proj_in", "proj_out"):
            if linear_projection:
                self.linear("%s.%s" % (name, p), width, width)
            else:
                self.conv("%s.%s" % (name, p), width, width, 1)
        for i in range(depth):
            b = "%s.transformer_blocks.%d" % (name, i)
            for n in ("norm1", "norm2", "norm3"):
                self.norm("%s.%s" % (b, n), width)
            for a, source in (("attn1", context if only_cross else width), ("attn2", context)):
                self.linear("%s.%s.to_q" % (b, a), width, width, False)
                self.linear("%s.%s.to_k" % (b, a), source, width, False)
                self.linear("%s.%s.to_v" % (b, a), source, width, False)
                self.linear("%s.%s.to_out.0" % (b, a), width, width)
            self.linear(b + ".ff.net.0.proj", width, 8 * width)
            self.linear(b + ".ff.net.2", 4 * width, width)

    def image_attention(self, name, width):
        self.norm(name + ".group_norm", width)
        for p in ("to_q", "to_k", "to_v", "to_out.0"):
            self.linear("%s.%s" % (name, p), width, width)


def unet2d_condition(c):
    s, widths = Shapes(), c["block_out_channels"]
    n, first = len(widths), widths[0]
    embedding, context = 4 * first, c["cross_attention_dim"]
    depth, layers = _each(c.get("transformer_layers_per_block", 1), n), _each(c.get("layers_per_block", 2), n)
    only = c.get("only_cross_attention", False)
    mid_only = only if isinstance(only, bool) else False
    only, projection = _each(only, n), c.get("use_linear_projection", False)
    s.conv("conv_in", c["in_channels"], first)
    s.linear("time_embedding.linear_1", first, embedding)
    s.linear("time_embedding.linear_2", embedding, embedding)
    if c.get("time_cond_proj_dim"):
        s.linear("time_embedding.cond_proj", c["time_cond_proj_dim"], first, False)
    if c.get("num_class_embeds"):
        s["class_embedding.weight"] = (c["num_class_embeds"], embedding)
    if c.get("addition_embed_type"):
        s.linear("add_embedding.linear_1", c["projection_class_embeddings_input_dim"], embedding)
        s.linear("add_embedding.linear_2", embedding, embedding)

    def layer(block, j, inputs, level, kind):
        s.resnet("%s.resnets.%d" % (block, j), inputs, widths[level], embedding)
        if kind.startswith("CrossAttn"):
            s.transformer("%s.attentions.%d" % (block, j), widths[level], depth[level], context, projection, only[level])

    skips = [first]
    for i, kind in enumerate(c["down_block_types"]):
        for j in range(layers[i]):
            layer("down_blocks.%d" % i, j, widths[max(i - 1, 0)] if j == 0 else widths[i], i, kind)
            skips.append(widths[i])
        if i < n - 1:
            s.conv("down_blocks.%d.downsamplers.0.conv" % i, widths[i], widths[i])
            skips.append(widths[i])
    for j in range(2):
        s.resnet("mid_block.resnets.%d" % j, widths[-1], widths[-1], embedding)
    s.transformer("mid_block.attentions.0", widths[-1], depth[-1], context, projection, mid_only)
    width = widths[-1]
    for i, kind in enumerate(c["up_block_types"]):
        level = n - 1 - i
        for j in range(layers[level] + 1):
            layer("up_blocks.%d" % i, j, width + skips.pop(), level, kind)
            width = widths[level]
        if i < n - 1:
            s.conv("up_blocks.%d.upsamplers.0.conv" % i, width, width)
    s.norm("conv_norm_out", first)
    s.conv("conv_out", first, c["out_channels"])
    return s


def autoencoder(c):
    s, widths, latent, layers = Shapes(), c["block_out_channels"], c["latent_channels"], c["layers_per_block"]

    def mid(side):
        for j in range(2):
            s.resnet("%s.mid_block.resnets.%d" % (side, j), widths[-1], widths[-1], 0)
        s.image_attention(side + ".mid_block.attentions.0", widths[-1])

    def level(name, inputs, outputs, count, resampler):
        for j in range(count):
            s.resnet("%s.resnets.%d" % (name, j), inputs if j == 0 else outputs, outputs, 0)
        if resampler:
            s.conv("%s.%s.0.conv" % (name, resampler), outputs, outputs)

    last = len(widths) - 1
    s.conv("encoder.conv_in", 3, widths[0])
    for i, w in enumerate(widths):
        level("encoder.down_blocks.%d" % i, widths[max(i - 1, 0)], w, layers, "downsamplers" if i < last else None)
    mid("encoder")
    s.norm("encoder.conv_norm_out", widths[-1])
    s.conv("encoder.conv_out", widths[-1], 2 * latent)
    s.conv("decoder.conv_in", latent, widths[-1])
    mid("decoder")
    for i, w in enumerate(widths[::-1]):
        level("decoder.up_blocks.%d" % i, widths[::-1][max(i - 1, 0)], w, layers + 1, "upsamplers" if i < last else None)
    s.norm("decoder.conv_norm_out", widths[0])
    s.conv("decoder.conv_out", widths[0], 3)
    s.conv("quant_conv", 2 * latent, 2 * latent, 1)
    s.conv("post_quant_conv", latent, latent, 1)
    return s


def clip_text(c):
    s, width, inner = Shapes(), c["hidden_size"], c["intermediate_size"]
    s["text_model.embeddings.token_embedding.weight"] = (c["vocab_size"], width)
    s["text_model.embeddings.position_embedding.weight"] = (c["max_position_embeddings"], width)
    for i in range(c["num_hidden_layers"]):
        b = "text_model.encoder.layers.%d." % i
        for a in ("k_proj", "v_proj", "q_proj", "out_proj"):
            s.linear(b + "self_attn." + a, width, width)
        s.norm(b + "layer_norm1", width)
        s.linear(b + "mlp.fc1", width, inner)
        s.linear(b + "mlp.fc2", inner, width)
        s.norm(b + "layer_norm2", width)
    s.norm("text_model.final_layer_norm", width)
    if c["architectures"][0] == "CLIPTextModelWithProjection":
        s.linear("text_projection", width, c["projection_dim"], False)
    return s


def shapes_of(c):
    kind = c.get("_class_name") or c["architectures"][0]
    return {"UNet2DConditionModel": unet2d_condition, "AutoencoderKL": autoencoder}.get(kind, clip_text)(c)


def random_tensor(rng, name, shape, dtype=torch.float32):
    """Values that keep the activations near 1: matrices by the square root of their inputs, norms near 1, small biases."""
    if len(shape) == 1:
        values = rng.standard_normal(shape, np.float32) * np.float32(0.1) + np.float32(name.endswith("weight"))
    else:
        values = rng.standard_normal(shape, np.float32)
        if "embeddings" not in name and not name.startswith("class_embedding"):
            values /= np.float32(np.sqrt(np.prod(shape[1:])))
    return torch.from_numpy(values).to(dtype)


def random_weights(c, seed, dtype=torch.float32):
    rng = np.random.default_rng(seed)
    return {name: random_tensor(rng, name, shape, dtype) for name, shape in shapes_of(c).items()}


def save_random(path, c, seed, dtype):
    """random_weights in a file, one tensor at a time."""
    rng = np.random.default_rng(seed)
    save_each(path, [(name, dtype, shape, lambda name=name, shape=shape: random_tensor(rng, name, shape, dtype))
                     for name, shape in shapes_of(c).items()], {"format": "pt"})
