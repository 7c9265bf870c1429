"""The training step of bench/unet_step.cpp in PyTorch, for bench/compare. Prints the same line of JSON.

    unet_step.py STEPS THREADS [MODE]

MODE: contiguous, channels_last, compiled (channels_last through torch.compile), bf16 (channels_last under
autocast) or bf16-compiled.
"""
import contextlib
import json
import resource
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "golden"))
import unet

unet.F.relu = torch.relu_  # in place, as most PyTorch U-Nets have it: it saves an activation per convolution

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 10
torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 2)
mode = sys.argv[3] if len(sys.argv) > 3 else "contiguous"
torch.manual_seed(1)
layout = torch.contiguous_format if mode == "contiguous" else torch.channels_last
model = unet.UNet(in_channels=3, out_channels=1, base_width=32, depth=4).to(memory_format=layout)
if "compiled" in mode:
    model = torch.compile(model)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_of = torch.nn.BCEWithLogitsLoss()
x = torch.rand(4, 3, 256, 256).to(memory_format=layout)
target = (torch.rand(4, 1, 256, 256) > 0.5).float()
precision = torch.autocast("cpu", dtype=torch.bfloat16) if "bf16" in mode else contextlib.nullcontext()
seconds = []
for i in range(steps + 2):
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    with precision:
        output = model(x)
    loss = loss_of(output.float(), target)
    loss.backward()
    optimizer.step()
    value = loss.item()
    if i >= 2:
        seconds.append(time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": sorted(seconds)[len(seconds) // 2], "peak_mib": round(peak), "loss": value,
                  "threads": torch.get_num_threads(), "torch": torch.__version__, "mode": mode}))
