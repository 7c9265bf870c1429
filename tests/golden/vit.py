"""Writes vit.safetensors: what torchvision makes of a small vision transformer.

Run by hand: python3 tests/golden/vit.py   (PyTorch, torchvision, numpy)

The file holds the state dict ("state.NAME"), "input", the logits ("output"), and the gradients of the sum of their
squares in every parameter ("grad.NAME"). Computed in double precision from values that are exact in single
precision; stored as F32; images and filters in PyTorch's order.
"""

import pathlib

import torch
from torchvision.models.vision_transformer import VisionTransformer

from unet import stored, write_safetensors

if __name__ == "__main__":
    torch.manual_seed(3)
    model = VisionTransformer(image_size=16, patch_size=8, num_layers=2, num_heads=2, hidden_dim=12, mlp_dim=20,
                              num_classes=5, representation_size=7)
    with torch.no_grad():  # what begins at 0 or 1 would hide a mix-up
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    tensors = {"state." + name: stored(x.clone()) for name, x in model.state_dict().items()}
    x = torch.randn(3, 3, 16, 16)
    output = model.double()(x.double())
    output.square().sum().backward()
    tensors.update(input=stored(x), output=stored(output))
    tensors.update({"grad." + name: stored(p.grad) for name, p in model.named_parameters()})
    write_safetensors(pathlib.Path(__file__).parent / "vit.safetensors", tensors)
