#!/usr/bin/env python3
"""Writes files with PyTorch and NumPy, lets Karyon read them, and compares what comes back.

usage: check.py INTEROP_DRIVER

Exit code 77 (skipped) without torch or numpy.
"""
import argparse
import collections
import itertools
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy
    import torch
    from torch import nn
except ImportError as error:
    print(f'skipped: {error}')
    sys.exit(77)

DRIVER = pathlib.Path(sys.argv[1]).resolve()
FOLDER = pathlib.Path(tempfile.mkdtemp())
checks = 0


def driver(*arguments):
    done = subprocess.run([DRIVER, *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout.strip()


def expect(holds, message):
    global checks
    checks += 1
    if not holds:
        sys.exit(f'failed: {message}')


def converted(path):
    code, message = driver('convert', path, FOLDER / 'out.npz')
    expect(code == 0, f'{path.name}: {message}')
    with numpy.load(FOLDER / 'out.npz') as arrays:
        return dict(arrays)


def expect_same(name, got, array):
    array = numpy.asarray(array)
    expect(got.shape == array.shape, f'{name}: shape {got.shape}, expected {array.shape}')
    expect(numpy.array_equal(got, array, equal_nan=array.dtype.kind == 'f'), f'{name}: {got}, expected {array}')


def expect_refused(path, *words):
    code, message = driver('convert', path, FOLDER / 'out.npz')
    expect(code == 1 and path.name in message and all(w in message for w in words), f'{path.name}: {code}, {message}')


def check_arrays():
    random = numpy.random.default_rng(1)
    path = FOLDER / 'a.npy'
    for kind, order, endian in itertools.product('f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1'.split(), 'CF', '<>'):
        for shape in [(), (0, 3), (5,), (3, 4), (2, 3, 4)]:
            values = numpy.asarray(random.random(shape) * 200 - 100).astype('i8').astype(kind)
            if kind in ('u4', 'u8'):
                values = numpy.asarray(random.random(shape) * 2**31).astype(kind)
            numpy.save(path, numpy.asarray(values.astype(endian + kind), order=order))
            got = converted(path)['x']
            expect_same(f'{endian}{kind} {order} {shape}', got, values)
            stays = kind in ('f2', 'f4', 'f8', 'i4', 'i8', 'u1', 'b1')
            expect(got.dtype == (kind if stays else 'i8'), f'{endian}{kind}: {got.dtype}')
    arrays = {'a': random.random((40, 50)), 'b': numpy.zeros(10000, 'i4'), 'c': numpy.int8(-3),
              'text': numpy.frombuffer(b'hello world, ' * 300, 'u1'), 'none': numpy.zeros((0, 2))}
    for save in (numpy.savez, numpy.savez_compressed):
        save(FOLDER / 'a.npz', **arrays)
        got = converted(FOLDER / 'a.npz')
        expect(got.keys() == arrays.keys(), f'names {got.keys()}')
        for name, array in arrays.items():
            expect_same(f'{save.__name__} {name}', got[name], array)
    for name, array in {'complex': numpy.zeros(2, 'c8'), 'text': numpy.array(['a']),
                        'record': numpy.zeros(2, [('x', 'f4')])}.items():
        numpy.save(FOLDER / f'{name}.npy', array)
        expect_refused(FOLDER / f'{name}.npy', 'expected')


def check_state_dicts():
    base = torch.randn(4, 6)
    tensors = {'t': base.t(), 'part': base[1:, ::2], 'expanded': torch.randn(3, 1).expand(3, 2), 'scalar': torch.tensor(2.5),
               'none': torch.zeros(0, 3), 'parameter': nn.Parameter(base), 'again': base}
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.int16, torch.int32,
                  torch.int64, torch.uint8, torch.bool, getattr(torch, 'uint16', torch.uint8)):
        tensors[str(dtype)] = (torch.randn(3, 5).abs() * 9).to(dtype)[:, 1:]
    path = FOLDER / 'a.pt'
    for protocol in (2, 3, 4, 5):
        torch.save({'state_dict': collections.OrderedDict(tensors), 'epoch': 3, 'rate': 1e-3, 'more': [base, (base,)]},
                   path, pickle_protocol=protocol)
        got = converted(path)
        expect(len(got) == len(tensors) + 2, f'names {got.keys()}')
        for name, x in tensors.items():
            x = x.detach()
            expect_same(name, got[f'state_dict.{name}'], x.float() if x.dtype == torch.bfloat16 else x)
        expect_same('more', got['more.1.0'], base)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LSTM(4, 2))
    torch.save(model.state_dict(), path)
    got = converted(path)
    expect(got.keys() == model.state_dict().keys(), f'names {got.keys()}')
    for name, x in model.state_dict().items():
        expect_same(name, got[name], x)
    x = torch.randn(2)
    for name, value, word in [('module', model, 'torch.nn'), ('arguments', {'args': argparse.Namespace(), 'x': x}, 'argparse.Namespace'),
                              ('complex', torch.zeros(2, dtype=torch.complex64), 'Complex'),
                              ('sparse', torch.eye(2).to_sparse(), 'sparse'),
                              ('expanded', torch.zeros(1).expand(10**8), 'times the file')]:
        torch.save(value, FOLDER / f'{name}.pt')
        expect_refused(FOLDER / f'{name}.pt', word)
    torch.save({'x': x}, FOLDER / 'legacy.pt', _use_new_zipfile_serialization=False)
    expect_refused(FOLDER / 'legacy.pt', 'before 1.6')


class DoubleConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inputs, 2 * inputs))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, stride=2)
        self.conv = DoubleConv(inputs, inputs // 2)

    def forward(self, x, skip):
        return self.conv(torch.cat([skip, self.up(x)], dim=1))


class Out(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x):
        return self.conv(x)


class UNet(nn.Module):
    """A network with the structure and the names of milesial's Pytorch-UNet."""

    def __init__(self, width):
        super().__init__()
        self.inc = DoubleConv(3, width)
        for i in range(4):
            setattr(self, f'down{i + 1}', Down(width << i))
            setattr(self, f'up{i + 1}', Up(width << (4 - i)))
        self.outc = Out(width, 2)

    def forward(self, x):
        levels = [self.inc(x)]
        for i in range(4):
            levels.append(getattr(self, f'down{i + 1}')(levels[-1]))
        x = levels.pop()
        for i in range(4):
            x = getattr(self, f'up{i + 1}')(x, levels.pop())
        return self.outc(x)


def check_unet():
    net = UNet(8)
    x = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        net(x)  # statistics that are not those of a new network
        expected = net.eval()(x).numpy()
    expect_output('unet', {**net.state_dict(), 'mask_values': [0, 1]}, x, expected, 1e-5)


def expect_output(name, state, x, expected, tolerance):
    """The driver's network or module `name`, with these weights, makes `expected` of x."""
    torch.save(state, FOLDER / 'weights.pth')
    numpy.save(FOLDER / 'in.npy', x.numpy())
    code, message = driver(name, FOLDER / 'weights.pth', FOLDER / 'in.npy', FOLDER / 'out.npy')
    expect(code == 0, message)
    difference = numpy.abs(numpy.load(FOLDER / 'out.npy') - expected).max()
    expect(difference <= tolerance * numpy.abs(expected).max(), f'{name}: a difference of {difference}')


def check_modules():
    x = torch.randn(7, 3, 8)
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=24)
    modules = {'attention': nn.MultiheadAttention(8, 2),
               'encoder': nn.TransformerEncoder(layer, 3, enable_nested_tensor=False),
               **{name: kind(8, 5, num_layers=2, bidirectional=True)
                  for name, kind in (('lstm', nn.LSTM), ('gru', nn.GRU), ('rnn', nn.RNN))}}
    for name, module in modules.items():
        with torch.no_grad():
            module.eval()
            y = module(x, x, x, need_weights=False) if name == 'attention' else module(x)
        expect_output(name, module.state_dict(), x, (y if name == 'encoder' else y[0]).numpy(), 1e-5)


def check_vit():
    try:
        from torchvision.models import vit_b_32
    except ImportError as error:
        return print(f'left out: {error}')
    net = vit_b_32().eval()
    with torch.no_grad():
        net.heads.head.weight.normal_()  # 0 in a new network
        x = torch.randn(2, 3, 224, 224)
        state = {name.replace('mlp.0.', 'mlp.linear_1.').replace('mlp.3.', 'mlp.linear_2.'): value
                 for name, value in net.state_dict().items()}  # the older names of its files
        expect_output('vit_b_32', state, x, net(x).numpy(), 1e-4)


torch.manual_seed(1)
check_arrays()
check_state_dicts()
check_unet()
check_modules()
check_vit()
print(f'{checks} checks passed')
