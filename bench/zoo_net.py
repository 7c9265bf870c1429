"""What bench/zoo_net.cpp times, elsewhere: PEER is torch, torch-compiled, onnxruntime or openvino.

    zoo_net.py PEER THREADS NETWORK SECONDS f32|bf16 BATCH...
    zoo_net.py export FOLDER NETWORK...                          writes FOLDER/NETWORK.onnx

Prints the same lines of JSON. PyTorch runs channels_last; bf16 is for PyTorch alone.
"""
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy
import torch
import torchvision

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "golden"))
import unet

torch.manual_seed(1)


class Logits(torch.nn.Module):
    """The one output of a network for segmentation."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)["out"]


def network(name):
    """The network of zoo.txt with random weights, and the height and width of its images."""
    size = 256 if name.startswith("unet") or name.endswith("_resnet50") else 224
    if name.startswith("unet_base"):
        net = unet.UNet(in_channels=3, out_channels=1, base_width=int(name.removeprefix("unet_base")), depth=4)
    elif name in ("fcn_resnet50", "deeplabv3_resnet50"):
        make = getattr(torchvision.models.segmentation, name)
        net = Logits(make(weights=None, weights_backbone=None, aux_loss=False))
    else:
        net = getattr(torchvision.models, name)(weights=None)
    return net.eval(), size


def export(net, size, path):
    """Writes an ONNX file for any number of images."""
    torch.onnx.export(net, (torch.rand(2, 3, size, size),), path, input_names=["x"], output_names=["y"],
                      dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, dynamo=False)


if sys.argv[1] == "export":
    for name in sys.argv[3:]:
        export(*network(name), str(Path(sys.argv[2]) / f"{name}.onnx"))
    sys.exit()

peer, threads, budget = sys.argv[1], int(sys.argv[2]), float(sys.argv[4])
model, size = network(sys.argv[3])
dtype = torch.bfloat16 if sys.argv[5] == "bf16" else torch.float32
torch.set_num_threads(threads)


def prepare(batch):
    """A function without arguments that runs the model once."""
    x = torch.rand(batch, 3, size, size)
    if peer.startswith("torch"):
        net = model.to(memory_format=torch.channels_last)
        net = torch.compile(net) if peer == "torch-compiled" else net
        x = x.to(memory_format=torch.channels_last)
        if dtype == torch.float32:
            return lambda: net(x)

        def mixed():
            with torch.autocast("cpu", dtype=dtype):
                net(x)

        return mixed
    if peer == "onnxruntime":
        import onnxruntime

        with tempfile.TemporaryDirectory() as folder:
            path = folder + "/net.onnx"
            export(model, size, path)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        array = x.numpy()
        return lambda: session.run(None, {"x": array})
    import openvino

    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"})
    compiled = core.compile_model(openvino.convert_model(model, example_input=x, input=list(x.shape)), "CPU")
    request = compiled.create_infer_request()
    array = x.numpy()
    return lambda: request.infer({0: array})


with torch.inference_mode():
    for batch in sys.argv[6:]:
        run = prepare(int(batch))
        seconds, begin = [], time.perf_counter()
        while len(seconds) < 4 or time.perf_counter() - begin < budget:
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        median = float(numpy.median(seconds[len(seconds) // 2:]))  # the first half warms up
        print(json.dumps({"case": f"batch {batch}", "seconds": round(median, 6)}), flush=True)
