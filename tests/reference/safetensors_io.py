"""Safetensors files and component folders (config.json + weights) as torch tensors.

A file is a u64 header length, a JSON header {name: {dtype, shape, data_offsets}, "__metadata__": {...}} and the data.
"""
import json
import math
import os
import struct

import numpy as np
import torch

_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
_NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
          torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8"}


def load(path, with_metadata=False):
    """{name: tensor} with the file's own types; the data stays mapped until it is used."""
    with open(path, "rb") as f:
        length = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(length))
    metadata = header.pop("__metadata__", {})
    data = np.memmap(path, np.uint8, "c", 8 + length) if os.path.getsize(path) > 8 + length else np.empty(0, np.uint8)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = data[begin:end]
        if entry["dtype"] == "BF16":
            t = torch.from_numpy(np.array(raw).view("<i2")).view(torch.bfloat16)
        else:
            if begin % 8:
                raw = np.array(raw)
            t = torch.from_numpy(raw.view(_NUMPY[entry["dtype"]]))
        tensors[name] = t.reshape(entry["shape"])
    return (tensors, metadata) if with_metadata else tensors


def save(path, tensors, metadata=None):
    save_each(path, [(name, t.dtype, tuple(t.shape), lambda t=t: t) for name, t in tensors.items()], metadata)


def save_each(path, entries, metadata=None):
    """entries: [(name, dtype, shape, function giving the tensor)]; only one tensor is held at a time."""
    header, at = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, dtype, shape, _ in entries:
        size = math.prod(shape) * torch.empty(0, dtype=dtype).element_size()
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, _, _, make in entries:
            t = make().detach().contiguous()
            f.write((t.view(torch.int16) if t.dtype == torch.bfloat16 else t).numpy().tobytes())


def load_json(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def load_component(folder):
    """(weights, config) of a component folder, its weights in one file or in shards."""
    config = load_json(os.path.join(folder, "config.json"))
    for stem in ("diffusion_pytorch_model", "model"):
        index = os.path.join(folder, stem + ".safetensors.index.json")
        if os.path.exists(index):
            tensors = {}
            for shard in sorted(set(load_json(index)["weight_map"].values())):
                tensors.update(load(os.path.join(folder, shard)))
            return Weights(tensors), config
        single = os.path.join(folder, stem + ".safetensors")
        if os.path.exists(single):
            return Weights(load(single)), config
    raise FileNotFoundError(folder + ": no safetensors weights")


class Weights:
    """A state dict seen from a prefix: w["down_blocks", 0] is the view below it; .weight and .bias are tensors, in f32."""

    def __init__(self, tensors, prefix=""):
        self.tensors, self.prefix = tensors, prefix

    def __getitem__(self, path):
        path = path if isinstance(path, tuple) else (path,)
        return Weights(self.tensors, self.prefix + "".join("%s." % p for p in path))

    def tensor(self, name):
        return self.tensors[self.prefix + name].float()

    def has(self, name):
        return self.prefix + name in self.tensors

    @property
    def weight(self):
        return self.tensor("weight")

    @property
    def bias(self):
        return self.tensor("bias") if self.has("bias") else None
