#!/usr/bin/env python3
"""Compares networks with torchvision's and with segmentation_models_pytorch's U-Nets: the same random weights and
statistics, the same input, outputs equal to 1e-4 of the largest.

usage: check.py MODELS_DRIVER --library torchvision|segmentation_models_pytorch [--networks NAME,...]

Exit code 77 (skipped) without the library.
"""
import argparse
import importlib
import pathlib
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('driver', type=pathlib.Path)
parser.add_argument('--library', choices=['torchvision', 'segmentation_models_pytorch'], required=True)
parser.add_argument('--networks', help='only these')
args = parser.parse_args()

try:
    import numpy
    import torch
    library = importlib.import_module(args.library)
except ImportError as error:
    print(f'skipped: {error}')
    sys.exit(77)

# One of each kind of layer, and the networks of the benchmark.
NETWORKS = {
    'torchvision': 'resnet18 resnet34 resnet50 resnet101 resnext50_32x4d wide_resnet50_2 mobilenet_v2 '
                   'mobilenet_v3_large mobilenet_v3_small efficientnet_b0 efficientnet_b1 efficientnet_b5 convnext_tiny '
                   'convnext_small regnet_y_400mf regnet_y_800mf regnet_y_1_6gf regnet_x_400mf vgg11 vgg16 vgg11_bn '
                   'densenet121 densenet161 shufflenet_v2_x0_5 shufflenet_v2_x1_0 fcn_resnet50 deeplabv3_resnet50',
    'segmentation_models_pytorch': 'resnet18 resnet50 resnext50_32x4d mobilenet_v2 vgg11_bn vgg16 densenet121'}
FOLDER = pathlib.Path(tempfile.mkdtemp())


def randomize(net):
    """Statistics and norms that are not those of a new network, and outputs that are not near 0."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
            if isinstance(module, (torch.nn.modules.batchnorm._BatchNorm, torch.nn.LayerNorm)):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
            if hasattr(module, 'layer_scale') and isinstance(module.layer_scale, torch.nn.Parameter):
                module.layer_scale.uniform_(0.2, 0.8)
    return net.eval()


def build(name):
    if 'fcn' in name or 'deeplab' in name:
        make = getattr(importlib.import_module('torchvision.models.segmentation'), name)
        return make(weights=None, weights_backbone=None, num_classes=10, aux_loss=True), name
    if args.library == 'torchvision':
        return getattr(library.models, name)(weights=None, num_classes=10), name
    return library.Unet(name, encoder_weights=None, classes=2), f'unet-{name}'


def difference(got, expected):
    if got.shape != expected.shape:
        sys.exit(f'failed: shape {got.shape}, expected {expected.shape}')
    return float(numpy.abs(got - expected).max() / numpy.abs(expected).max())


def check(name):
    net, ours = build(name)
    randomize(net)
    sizes = [(2, 3, 64, 96)] if args.library != 'torchvision' or 'vgg' in name else [(2, 3, 64, 96), (1, 3, 75, 70)]
    worst = 0
    for size in sizes:
        x = torch.randn(size)
        with torch.no_grad():
            expected = net(x)
        expected = (expected['out'] if isinstance(expected, dict) else expected).numpy()
        torch.save(net.state_dict(), FOLDER / 'weights.pt')
        numpy.save(FOLDER / 'in.npy', x.numpy())
        done = subprocess.run([args.driver, ours, FOLDER / 'weights.pt', FOLDER / 'in.npy', FOLDER / 'out.npz'],
                              capture_output=True, text=True)
        if done.returncode:
            sys.exit(f'failed: {name}: {done.stdout}{done.stderr}')
        with numpy.load(FOLDER / 'out.npz') as results:
            for way in ('plain', 'folded'):
                worst = max(worst, difference(results[way], expected))
    print(f'{name}: {worst:.1e}', flush=True)
    return worst <= 1e-4


torch.manual_seed(1)
names = (args.networks or NETWORKS[args.library].replace(' ', ',')).split(',')
failed = [name for name in names if not check(name)]
if failed:
    sys.exit(f'failed: {", ".join(failed)}')
print(f'{len(names)} networks agree')
