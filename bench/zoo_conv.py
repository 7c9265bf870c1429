"""What bench/zoo_conv.cpp times, in PyTorch: the faster of its two memory formats.

    zoo_conv.py FILE [BATCH] [f32|bf16] [NETWORK]
"""
import json
import os
import statistics
import sys
import time

import torch

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
names, batch = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
dtype = torch.bfloat16 if len(sys.argv) > 3 and sys.argv[3] == "bf16" else torch.float32
only = sys.argv[4] if len(sys.argv) > 4 else ""


def seconds_of(run):
    def timed(calls):
        begin = time.perf_counter()
        for _ in range(calls):
            run()
        return time.perf_counter() - begin

    run()
    calls = max(1, int(3e-3 / max(1e-7, timed(1))))
    return statistics.median(timed(calls) / calls for _ in range(7))


done = set()
for line in open(names):
    network, *words = line.split()
    shape = " ".join(words[:-1])
    if network.startswith("#") or shape in done or (only and network != only):
        continue
    done.add(shape)
    h, w, c, k, kh, kw, sh, sw, ph, pw, dh, dw, groups = map(int, words[:-1])
    best = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.rand(batch, c, h, w).to(dtype).to(memory_format=layout)
        weight = torch.rand(k, c // groups, kh, kw).to(dtype).to(memory_format=layout)
        options = ((sh, sw), (ph, pw), (dh, dw))
        with torch.no_grad():
            dy = torch.rand_like(torch.nn.functional.conv2d(x, weight, None, *options, groups))

            def gradient(data, filters):
                torch.ops.aten.convolution_backward(dy, x, weight, None, *options, False, (0, 0), groups,
                                                    (data, filters, False))

            times = {"forward": seconds_of(lambda: torch.nn.functional.conv2d(x, weight, None, *options, groups)),
                     "data": seconds_of(lambda: gradient(True, False)),
                     "weight": seconds_of(lambda: gradient(False, True))}
        for name, seconds in times.items():
            best[name] = min(best.get(name, seconds), seconds)
    print(json.dumps({"shape": shape, **best}), flush=True)
