"""old_names.py IN OUT BLOCKS: a RRDBNet's safetensors file under the names of the original ESRGAN."""
import json
import re
import struct
import sys

source, target, blocks = sys.argv[1:]
data = open(source, "rb").read()
size = struct.unpack("<Q", data[:8])[0]
layers = {"conv_first": "0", "conv_body": f"1.sub.{blocks}", "conv_up1": "3", "conv_up2": "6", "conv_hr": "8", "conv_last": "10"}
header = {}
for name, tensor in json.loads(data[8 : 8 + size]).items():
    layer, _, kind = name.rpartition(".")
    inner = re.fullmatch(r"body\.(\d+)\.rdb(\d)\.conv(\d)", layer)
    if inner:
        name = "model.1.sub.{}.RDB{}.conv{}.0.{}".format(*inner.groups(), kind)
    elif layer in layers:
        name = f"model.{layers[layer]}.{kind}"
    header[name] = tensor
text = json.dumps(header).encode()
open(target, "wb").write(struct.pack("<Q", len(text)) + text + data[8 + size :])
