#!/usr/bin/env python3
"""Exports networks of torchvision with torch.onnx (random weights), runs them with Karyon and compares the outputs.

usage: networks.py NETWORK_RUNNER [NAME ...] [--keep FOLDER]

Exit code 77 (skipped) without torch and torchvision.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy
    import onnx  # noqa: F401: torch.onnx needs it
    import torch
    import torchvision
except ImportError as error:
    print(f'skipped: {error}')
    sys.exit(77)

NAMES = ('alexnet convnext_tiny densenet121 efficientnet_b0 googlenet inception_v3 mnasnet1_0 mobilenet_v2 '
         'mobilenet_v3_large regnet_y_400mf resnet18 resnet50 resnext50_32x4d shufflenet_v2_x1_0 squeezenet1_1 '
         'vgg11 vit_b_16 fcn_resnet50 deeplabv3_mobilenet_v3_large lraspp_mobilenet_v3_large').split()
SEGMENTATION = ('fcn', 'deeplab', 'lraspp')


class Out(torch.nn.Module):
    """A network of segmentation returns its outputs by name."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)['out']


def network(name):
    torch.manual_seed(1)
    kinds = torchvision.models.segmentation if name.startswith(SEGMENTATION) else torchvision.models
    options = {'weights': None}
    if name in ('googlenet', 'inception_v3'):
        options |= {'init_weights': True, 'aux_logits': False}
    if name.startswith(SEGMENTATION):
        options |= {'weights_backbone': None}
    net = getattr(kinds, name)(**options).eval()
    for module in net.modules():  # norms that do something
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    for parameter in net.parameters():  # the head of a ViT begins with zeros
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return Out(net) if name.startswith(SEGMENTATION) else net


def size_of(name):
    return {'vit_b_16': 224, 'alexnet': 224, 'vgg11': 224, 'inception_v3': 139}.get(name, 96)


def compare(name, runner, folder):
    net, size = network(name), size_of(name)
    model = folder / f'{name}.onnx'
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected = net(x).numpy()
    if not model.exists():
        axes = {'x': {0: 'n'}}
        torch.onnx.export(net, (x,), model, input_names=['x'], output_names=['y'], dynamic_axes=axes, dynamo=False)
    numpy.save(folder / 'x.npy', x.numpy())
    done = subprocess.run([runner, model, folder / 'x.npy', folder / 'y.npy'], capture_output=True, text=True)
    if done.returncode:
        return f'failed: {done.stderr.strip() or done.returncode}', False
    y = numpy.load(folder / 'y.npy')
    error = abs(y - expected).max() / max(abs(expected).max(), 1e-30)
    return f'{error:.1e}', bool(y.shape == expected.shape and error < 1e-4)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runner', type=pathlib.Path)
    parser.add_argument('names', nargs='*', default=NAMES)
    parser.add_argument('--keep', type=pathlib.Path, help='export to this folder; what is there is not exported again')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or pathlib.Path(temporary)
        for name in arguments.names:
            text, fine = compare(name, arguments.runner.resolve(), folder)
            failed += not fine
            print(f'{name}\t{"equal" if fine else "DIFFERS"}\t{text}', flush=True)
            if not arguments.keep:
                (folder / f'{name}.onnx').unlink(missing_ok=True)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
