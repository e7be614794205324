"""make_embeddings.py FOLDER: writes the embeddings of FOLDER/*.safetensors as torch.save writes them (.bin and .pt), and files
that ask for more than tensors. Without torch: its classes are named, not imported."""
import collections
import io
import json
import pickle
import struct
import sys
import types
import zipfile


def module(name):
    sys.modules[name] = m = types.ModuleType(name)
    return m


def named(where, name, value):
    value.__module__, value.__qualname__, value.__name__ = where.__name__, name, name
    setattr(where, name, value)
    return value


TORCH, UTILS = module("torch"), module("torch._utils")
STORAGES = {"F32": named(TORCH, "FloatStorage", type("FloatStorage", (), {})), "F16": named(TORCH, "HalfStorage", type("HalfStorage", (), {}))}
REBUILD = named(UTILS, "_rebuild_tensor_v2", lambda: None)
PARAMETER = named(UTILS, "_rebuild_parameter", lambda: None)


class Storage:
    def __init__(self, dtype, data):
        self.dtype, self.data = dtype, data


class Tensor:
    def __init__(self, storage, offset, shape, strides=None):
        steps = [1]
        for n in reversed(shape[1:]):
            steps.insert(0, steps[0] * n)
        self.arguments = (storage, offset, tuple(shape), strides or tuple(steps), False, collections.OrderedDict())

    def __reduce__(self):
        return REBUILD, self.arguments


class Parameter(Tensor):
    def __reduce__(self):
        return PARAMETER, (Tensor(*self.arguments[:4]), False, collections.OrderedDict())


def save(path, value, protocol=2, order="little"):
    storages = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, x):
            if not isinstance(x, Storage):
                return None
            if x not in storages:
                storages.append(x)
            return ("storage", STORAGES[x.dtype], str(storages.index(x)), "cpu", len(x.data) // (4 if x.dtype == "F32" else 2))

    text = io.BytesIO()
    Pickler(text, protocol).dump(value)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
        def add(name, data):
            z.writestr(zipfile.ZipInfo("archive/" + name), data)
        add("data.pkl", text.getvalue())
        add("byteorder", order)
        for i, s in enumerate(storages):
            add(f"data/{i}", s.data)
        add("version", "3\n")


def read(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8:8 + n])
    head.pop("__metadata__", None)
    return {k: (v["dtype"], v["shape"], raw[8 + n:][slice(*v["data_offsets"])]) for k, v in head.items()}


def tensor(t, before=b""):
    return Tensor(Storage(t[0], before + t[2]), len(before) // 4, t[1])


class Call:
    def __reduce__(self):
        import os
        return os.system, ("true",)


folder = sys.argv[1]
style = read(f"{folder}/learned_embeds-3.safetensors")["<style>"]
hand = read(f"{folder}/a1111-3.safetensors")["emb_params"]
pair = read(f"{folder}/sdxl-3.safetensors")
# a row of a larger table, as a view of it is saved
save(f"{folder}/learned_embeds-3.bin", {"<style>": tensor(style, bytes(640))})
save(f"{folder}/a1111-3.pt", {"string_to_token": {"*": 265}, "string_to_param": {"*": Parameter(Storage("F32", hand[2]), 0, hand[1])},
                              "name": "BadHand", "step": 1500, "sd_checkpoint": None, "sd_checkpoint_name": "v1-5"}, protocol=4)
save(f"{folder}/sdxl-3.pt", collections.OrderedDict((k, tensor(t)) for k, t in pair.items()))
save(f"{folder}/tensor.pt", tensor(style))
save(f"{folder}/transposed.pt", {"<t>": Tensor(Storage("F32", style[2]), 0, (16, 3), (1, 16))})
save(f"{folder}/short.pt", {"<t>": Tensor(Storage("F32", style[2][:-4]), 0, (3, 16))})
save(f"{folder}/call.pt", {"<t>": Call()})
save(f"{folder}/big-endian.pt", {"<t>": tensor(style)}, order="big")
