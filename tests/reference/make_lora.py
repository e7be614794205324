"""LoRA files in every style of naming for the small goldens and for shapes-128, and what PyTorch makes of them.

    python3 make_lora.py      writes ../goldens/lora

The factors are random, of ranks 2 to 4. The merge here is the definition, module by module: a LoRA layer is a linear layer or
convolution down to few channels (k x k), perhaps one between them (k x k), and one up (1 x 1); composed, that is one filter.
"""
import json
import os

import torch

import clip
import pictures
import unet
from pipelines import System
from safetensors_io import Weights, load, load_component, save

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDENS = os.path.join(HERE, "..", "goldens")
OUT = os.path.join(GOLDENS, "lora")
ROWS = 5  # every fifth row of a merged weight is kept

# module in diffusers' names, in the original implementation's; rank, rank of the middle (0: none), alpha (None: not said)
UNET = [
    ("conv_in", "input_blocks.0.0", 2, 0, 1.0),
    ("time_embedding.linear_2", "time_embed.2", 3, 0, None),
    ("down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q", "input_blocks.2.1.transformer_blocks.0.attn1.to_q", 4, 0, 2.0),
    ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op", 2, 0, 2.0),
    ("down_blocks.1.resnets.0.conv1", "input_blocks.4.0.in_layers.2", 3, 0, 4.5),
    ("down_blocks.1.resnets.0.conv_shortcut", "input_blocks.4.0.skip_connection", 2, 0, 1.0),
    ("down_blocks.1.attentions.0.proj_in", "input_blocks.4.1.proj_in", 4, 0, 4.0),
    ("mid_block.resnets.1.time_emb_proj", "middle_block.2.emb_layers.1", 2, 0, 1.0),
    ("mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0", "middle_block.1.transformer_blocks.0.attn2.to_out.0", 2, 0, 1.0),
    ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.1.conv", 2, 0, 1.0),
    ("up_blocks.1.attentions.2.transformer_blocks.0.ff.net.0.proj", "output_blocks.5.1.transformer_blocks.0.ff.net.0.proj", 3, 0, None),
    ("up_blocks.1.upsamplers.0.conv", "output_blocks.5.2.conv", 2, 0, 1.0),
    ("up_blocks.2.resnets.1.conv2", "output_blocks.7.0.out_layers.3", 3, 3, 1.5),
    ("conv_out", "out.2", 2, 0, 1.0),
]
ATTENTION = ["%s.transformer_blocks.0.%s.%s" % (b, a, p) for b in ("down_blocks.1.attentions.0", "up_blocks.2.attentions.2")
             for a in ("attn1", "attn2") for p in ("to_q", "to_k", "to_v", "to_out.0")]
TEXT = ["text_model.encoder.layers.%d.%s" % (i, p) for i in (0, 2)
        for p in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")]


def layer(weight, rank, middle, strength):
    """(up, down, mid or None) whose product has about `strength` times the rms of the weight."""
    n, k, window = weight.shape[0], weight.shape[1], tuple(weight.shape[2:])
    point = (1,) * len(window)
    up = torch.randn((n, rank) + point)
    mid = torch.randn((rank, middle) + window) if middle else None
    down = torch.randn((middle, k) + point) if middle else torch.randn((rank, k) + window)
    product = compose(up, down, mid)
    up *= strength * weight.pow(2).mean().sqrt() / product.pow(2).mean().sqrt()
    return up, down, mid


def compose(up, down, mid):
    up, down = up.float(), down.float()
    if mid is not None:  # 1x1 into k x k
        down = torch.einsum("rsij,sk->rkij", mid.float(), down[:, :, 0, 0])
    return torch.einsum("nr,rk->nk", up.flatten(1), down.flatten(1)).reshape((up.shape[0],) + tuple(down.shape[1:]))


def make(weights, modules, seed, strength=0.5, dtype=torch.float32):
    """{module: (up, down, mid, alpha)}, rounded to the type of the file."""
    torch.manual_seed(seed)
    layers = {}
    for m in modules:
        name, rank, middle, alpha = (m[0], m[2], m[3], m[4]) if isinstance(m, tuple) else (m, 3, 0, None)
        factors = layer(weights.tensors[name + ".weight"].float(), rank, middle, strength)
        layers[name] = tuple(None if f is None else f.to(dtype) for f in factors) + (alpha,)
    return layers


def merged(tensors, layers, scale, default_alpha=None):
    result = dict(tensors)
    for name, (up, down, mid, alpha) in layers.items():
        rank = up.shape[1]
        alpha = alpha if alpha is not None else default_alpha if default_alpha is not None else rank
        w = result[name + ".weight"].float()
        result[name + ".weight"] = w + scale * alpha / rank * compose(up, down, mid).reshape(w.shape)
    return result


def write(name, layers, spell, up="lora_up.weight", down="lora_down.weight", metadata=None, extra=None):
    tensors = {}
    for module, (u, d, m, alpha) in layers.items():
        stem = spell(module)
        tensors[stem + up] = u
        tensors[stem + down] = d
        if m is not None:
            tensors[stem + "lora_mid.weight"] = m
        if alpha is not None:
            tensors[stem + "alpha"] = torch.tensor(alpha)
    tensors.update(extra or {})
    save(os.path.join(OUT, name), tensors, metadata)


def expect(name, tensors, layers):
    save(os.path.join(OUT, name), {m + ".weight": tensors[m + ".weight"][::ROWS].clone() for m in layers})


def under(prefix):
    return lambda module: prefix + module.replace(".", "_") + "."


def processor(module):
    head, tail = module.rsplit(".attn", 1)
    return "%s.attn%s.processor.%s_lora." % (head, tail[0], tail[2:].replace(".0", ""))


def make_unet():
    folder = os.path.join(GOLDENS, "unet-sd1")
    weights, config = load_component(folder)
    io = load(os.path.join(folder, "io.safetensors"))
    inputs = {n[3:]: t for n, t in io.items() if n.startswith("in.")}

    full = make(weights, UNET, 1, dtype=torch.float16)
    original = {name: other for name, other, *_ in UNET}
    text = {"lora_te_text_model_encoder_layers_0_mlp_fc1." + k: torch.zeros(s) for k, s in
            (("lora_up.weight", (8, 2)), ("lora_down.weight", (2, 4)))}  # of a component that is not there
    write("unet-kohya.safetensors", full, under("lora_unet_"), extra=text, metadata={"ss_network_dim": "4"})
    write("unet-original.safetensors", full, lambda m: under("lora_unet_")(original[m]))
    result = merged(weights.tensors, full, 0.75)
    expect("unet-full-expected.safetensors", result, full)
    save(os.path.join(OUT, "unet-full-io.safetensors"),
         dict({n: t for n, t in io.items() if n.startswith("in.")},
              **{"out.sample": unet.unet2d_condition(Weights(result), config, **inputs)}))

    attention = make(weights, ATTENTION, 2, dtype=torch.bfloat16)
    write("unet-peft.safetensors", attention, lambda m: "unet." + m + ".", "lora_B.weight", "lora_A.weight")
    write("unet-peft-named.safetensors", attention, lambda m: "base_model.model." + m + ".", "lora_B.default.weight",
          "lora_A.default.weight")
    write("unet-peft-metadata.safetensors", attention, lambda m: "unet." + m + ".", "lora_B.weight", "lora_A.weight",
          {"format": "pt", "lora_adapter_metadata": json.dumps({"unet.r": 3, "unet.lora_alpha": 6, "unet.use_rslora": False,
                                                                "unet.alpha_pattern": {}, "unet.target_modules": ["to_q"]})})
    write("unet-old.safetensors", attention, lambda m: "unet." + processor(m), "up.weight", "down.weight")
    write("unet-oldest.safetensors", attention, processor, "up.weight", "down.weight")
    expect("unet-attention-expected.safetensors", merged(weights.tensors, attention, 1.0), attention)
    expect("unet-metadata-expected.safetensors", merged(weights.tensors, attention, 1.0, 6.0), attention)
    both = merged(result, attention, -0.5)
    expect("unet-both-expected.safetensors", both, {**full, **attention})


def make_text():
    folder = os.path.join(GOLDENS, "text-quickgelu")
    weights, config = load_component(folder)
    io = load(os.path.join(folder, "io.safetensors"))
    layers = make(weights, TEXT, 3)
    write("text-kohya.safetensors", layers, under("lora_te_"))
    write("text-kohya-1.safetensors", layers, under("lora_te1_"))
    write("text-peft.safetensors", layers, lambda m: "text_encoder." + m + ".", "lora_B.weight", "lora_A.weight")
    write("text-diffusers.safetensors", layers, lambda m: "text_encoder." + m + ".", "lora_linear_layer.up.weight",
          "lora_linear_layer.down.weight")
    spell = {"q_proj": "to_q_lora.", "k_proj": "to_k_lora.", "v_proj": "to_v_lora.", "out_proj": "to_out_lora.",
             "fc1": "fc1.lora_linear_layer.", "fc2": "fc2.lora_linear_layer."}
    write("text-old.safetensors", layers, lambda m: "text_encoder." + m.rsplit(".", 1)[0] + "." + spell[m.rsplit(".", 1)[1]],
          "up.weight", "down.weight")
    result = merged(weights.tensors, layers, -1.5)
    expect("text-expected.safetensors", result, layers)
    out = clip.text_model(Weights(result), config, io["in.input_ids"])
    save(os.path.join(OUT, "text-io.safetensors"),
         dict({n: t for n, t in io.items() if n.startswith("in.")}, **{n: out[n[4:]] for n in io if n.startswith("out.")}))


def make_picture():
    """A LoRA of both networks of shapes-128 in one file, and what it paints."""
    system = System(os.path.join(HERE, "..", "..", "models", "shapes-128"))
    (text, _), _ = system.texts[0]
    attention = sorted(n[:-7] for n in system.unet.tensors if ".attn" in n and n.endswith("weight") and "norm" not in n)
    u = make(system.unet, [(m, "", 2, 0, 1.0) for m in attention + ["conv_out"]], 4, 0.6, torch.float16)
    t = make(text, [(m, "", 2, 0, 2.0) for m in TEXT], 5, 0.4, torch.float16)
    write("shapes-128.safetensors", {**{"unet." + m: v for m, v in u.items()}, **{"te." + m: v for m, v in t.items()}},
          under("lora_"))
    system.unet.tensors = merged(system.unet.tensors, u, 0.8)
    text.tensors = merged(text.tensors, t, 0.8)
    image = system.paint("a red circle on a white background", "", 25, 4.0, [5])
    pictures.write(os.path.join(OUT, "shapes-128.png"), image[0])


def main():
    os.makedirs(OUT, exist_ok=True)
    make_unet()
    make_text()
    make_picture()


if __name__ == "__main__":
    with torch.no_grad():
        main()
