"""Writes unet_batch.safetensors and unet_group.safetensors: what PyTorch makes of karyon::UNet.

Run by hand: /usr/bin/python3 tests/golden/unet.py   (PyTorch 1.13, numpy)

Each file holds the initial state dict ("state.NAME"), "input", "target", the logits of the first
forward in training mode ("output"), the gradient of the binary cross entropy in every parameter
("grad.NAME") and in the input ("grad_input"), the losses of ten steps of Adam ("losses") and the
logits in evaluation mode after them ("eval_output"). Computed in double precision from values that
are exact in single precision; stored as F32, the losses as F64; images and filters in PyTorch's order.
"""

import json
import math
import pathlib
import struct

import numpy
import torch
from torch import nn
from torch.nn import functional as F

LEARNING_RATE = 1e-2


def make_norm(kind, channels):
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels)
    return nn.Identity()


class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels, norm):
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
        self.norm1 = make_norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias)
        self.norm2 = make_norm(norm, out_channels)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)))


class UpBlock(DoubleConv):
    def __init__(self, in_channels, norm, mode):
        super().__init__(in_channels, in_channels // 2, norm)
        self.mode = mode
        if mode == "transposed":
            self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2)
        else:
            self.up = nn.Conv2d(in_channels, in_channels // 2, 1)

    def forward(self, x, skip):
        if self.mode == "bilinear":
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return super().forward(torch.cat([skip, self.up(x)], 1))


class UNet(nn.Module):
    def __init__(self, in_channels=3, out_channels=1, base_width=32, depth=4, norm="batch", up="transposed",
                 dropout=0.0):
        super().__init__()
        self.depth = depth
        widths = [base_width << i for i in range(depth + 1)]
        self.down = nn.ModuleList(
            DoubleConv(in_channels if i == 0 else widths[i - 1], widths[i], norm) for i in range(depth))
        self.bottom = DoubleConv(widths[depth - 1], widths[depth], norm)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(UpBlock(widths[depth - i], norm, up) for i in range(depth))
        self.head = nn.Conv2d(base_width, out_channels, 1)

    def forward(self, x):
        height, width = x.shape[2:]
        multiple = 1 << self.depth
        bottom, right = -height % multiple, -width % multiple
        if bottom or right:
            reflect = bottom < height and right < width
            x = F.pad(x, (0, right, 0, bottom), mode="reflect" if reflect else "constant")
        skips = []
        for block in self.down:
            skips.append(block(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.dropout(self.bottom(x))
        for block in self.up:
            x = block(x, skips.pop())
        return self.head(x)[:, :, :height, :width]


def write_safetensors(path, tensors):
    names = {"float32": "F32", "float64": "F64", "int64": "I64"}
    header, chunks, offset = {}, [], 0
    for name, value in sorted(tensors.items()):
        array = numpy.array(value, order="C")
        data = array.tobytes()
        header[name] = {"dtype": names[str(array.dtype)], "shape": list(array.shape),
                        "data_offsets": [offset, offset + len(data)]}
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))
    print(path.name, path.stat().st_size, "bytes")


def stored(x):
    x = x.detach()
    return (x.float() if x.is_floating_point() else x).numpy()


def golden(path, seed, shape, **options):
    torch.manual_seed(seed)
    model = UNet(**options)
    with torch.no_grad():  # norms start at 1 and 0, which would hide a mix-up
        for name, parameter in model.named_parameters():
            if ".norm" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
    tensors = {"state." + name: stored(x.clone()) for name, x in model.state_dict().items()}
    model.double()
    x = torch.randn(shape).double().requires_grad_()
    target = (torch.rand(shape[0], options["out_channels"], *shape[2:]) < 0.3).double()

    output = model(x)
    F.binary_cross_entropy_with_logits(output, target).backward()
    tensors.update(input=stored(x), target=stored(target), output=stored(output), grad_input=stored(x.grad))
    tensors.update({"grad." + name: stored(p.grad) for name, p in model.named_parameters()})

    model.load_state_dict({name[6:]: torch.tensor(x) for name, x in tensors.items() if name.startswith("state.")})
    adam = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    losses = []
    for _ in range(10):
        adam.zero_grad()
        loss = F.binary_cross_entropy_with_logits(model(x.detach()), target)
        loss.backward()
        adam.step()
        losses.append(loss.item())
    model.eval()
    tensors.update(losses=numpy.array(losses), eval_output=stored(model(x.detach())))
    print([round(loss, 5) for loss in losses])
    write_safetensors(path, tensors)


if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent
    golden(folder / "unet_batch.safetensors", 1, (2, 3, 21, 19), in_channels=3, out_channels=1, base_width=4,
           depth=2, norm="batch", up="transposed")
    golden(folder / "unet_group.safetensors", 2, (2, 2, 10, 13), in_channels=2, out_channels=2, base_width=4,
           depth=2, norm="group", up="bilinear")
