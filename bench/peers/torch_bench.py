"""A network in torch: exports it for onnxruntime, or times it.

  torch_bench.py export NETWORK BATCH OUT.onnx    weights beyond 2 GB go into files of their own beside OUT.onnx, so give it a folder
  torch_bench.py time NETWORK BATCH PRECISION MODE THREADS RUNS

NETWORK is a module of this folder; PRECISION f32 or bf16; MODE one of MODES below. Time prints one JSON object: median and minimum milliseconds.
"""
import importlib
import json
import os
import sys
import time

import torch

MODES = ("eager", "eager-contiguous", "jit")


def prepared(model, mode, inputs):
    """eager: channels last; jit: that, traced, frozen, convolutions handed to oneDNN with what follows them fused."""
    if mode == "eager-contiguous":
        return model
    model = model.to(memory_format=torch.channels_last)
    if mode == "eager":
        return model
    with torch.no_grad():
        return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, inputs, check_trace=False)))


def timed(network, batch, precision, mode, runs):
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    model = network.Model().eval().to(dtype)
    # times of the sampler stay f32, whatever the network computes in
    inputs = [x.to(dtype) if x.is_floating_point() and x.dim() > 1 else x for x in network.inputs(batch)]
    if mode != "eager-contiguous":
        inputs = [x.to(memory_format=torch.channels_last) if x.dim() == 4 else x for x in inputs]
    model = prepared(model, mode, tuple(inputs))
    times = []
    with torch.inference_mode():
        for _ in range(2):
            model(*inputs)
        for _ in range(runs):
            start = time.perf_counter()
            model(*inputs)
            times.append(1e3 * (time.perf_counter() - start))
    times.sort()
    return {"median_ms": times[len(times) // 2], "min_ms": times[0]}


def export(network, batch, path):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with torch.no_grad():
        torch.onnx.export(network.Model().eval(), network.inputs(batch), path, opset_version=17,
                          input_names=list(network.INPUT_NAMES), output_names=["out"])


def main():
    torch.manual_seed(0)
    network = importlib.import_module(sys.argv[2])
    batch = int(sys.argv[3])
    if sys.argv[1] == "export":
        export(network, batch, sys.argv[4])
        return
    precision, mode = sys.argv[4:6]
    torch.set_num_threads(int(sys.argv[6]))
    print(json.dumps(timed(network, batch, precision, mode, int(sys.argv[7]))))


main()
