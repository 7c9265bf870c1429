"""The inference of bench/unet_inference.cpp elsewhere: PEER is torch, onnxruntime or openvino.

    unet_inference.py PEER THREADS SECONDS BATCHxSIZE...

Prints the same lines of JSON. All run f32; torch runs channels_last, compiled where it can.
"""
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "golden"))
import unet

peer, threads, budget = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(1)
model = unet.UNet(in_channels=3, out_channels=1, base_width=32, depth=4).eval()


def prepare(batch, size):
    """A function without arguments that runs the model once."""
    x = torch.rand(batch, 3, size, size)
    if peer.startswith("torch"):
        net = model.to(memory_format=torch.channels_last)
        net = torch.compile(net) if peer == "torch-compiled" else net
        x = x.to(memory_format=torch.channels_last)
        return lambda: net(x)
    if peer == "onnxruntime":
        import onnxruntime

        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/unet.onnx"
            torch.onnx.export(model, (x,), path, input_names=["x"], dynamo=False)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": x.numpy()})
    import openvino

    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"})
    compiled = core.compile_model(openvino.convert_model(model, example_input=x, input=list(x.shape)), "CPU")
    request = compiled.create_infer_request()
    array = x.numpy()
    return lambda: request.infer({0: array})


with torch.inference_mode():
    for case in sys.argv[4:]:
        run = prepare(*map(int, case.split("x")))
        seconds, begin = [], time.perf_counter()
        while len(seconds) < 4 or time.perf_counter() - begin < budget:
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        measured = sorted(seconds[2:])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"case": case, "seconds": round(measured[len(measured) // 2], 5), "peak_mib": round(peak)}), flush=True)
