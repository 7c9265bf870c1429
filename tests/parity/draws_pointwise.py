"""Random calls, as draws.py has them, of functions of each element, of activations and of losses."""
import math

import torch

import draws


def lerp(d):
    shape = d.shape()
    weight = d.one_of(0.3, 0, 1, -2, 0.7, d.tensor(d.broadcast(shape)), d.tensor([]))
    return (d.tensor(shape), d.tensor(d.broadcast(shape)), weight), {}


def elu(d):
    args, _ = draws.special_unary(d)
    return args, d.one_of({}, {"alpha": d.one_of(0.5, 2, -1.5)})


def celu(d):
    args, _ = draws.special_unary(d)
    return args, d.one_of({}, {"alpha": d.wrong(d.one_of(0.5, 2, -1.5), 0)})


def gelu(d):
    args, _ = draws.special_unary(d)
    return args, d.one_of({}, {"approximate": "tanh"})


def hardtanh(d):
    args, _ = draws.special_unary(d)
    return args, d.one_of({}, {"min_val": d.one_of(-2, 0), "max_val": d.wrong(d.one_of(0.5, 6), -3)})


def prelu(d):
    shape = d.shape()
    channels = shape[1] if len(shape) > 1 and d.chance(0.7) else 1
    return (d.tensor(shape), d.tensor([d.wrong(channels, channels + 2)])), {}


def glu(d):
    shape = d.shape(d.between(1, 4))
    dim = d.between(-len(shape), len(shape) - 1)
    if d.chance(0.95):
        shape[dim] = 2 * min(shape[dim], 9)
    return (d.tensor(shape), d.wrong(dim, len(shape))), {}


def smoothed_cross_entropy(d):
    args, options = draws.cross_entropy(d)
    if d.chance(0.4):
        options["label_smoothing"] = d.wrong(d.one_of(0.1, 0.5, 1.0), 1.5)
    return args, options


def limited_loss(name, mistake):
    def draw(d):
        args, options = draws.difference_loss(d)
        if d.chance(0.6):
            options[name] = d.wrong(d.one_of(0.5, 2.0, 0.1), mistake)
        return args, options
    return draw


def kl_div(d):
    shape = d.shape()
    log_target = d.chance(0.5)
    target = d.tensor(shape, grad=0, special=0.05) if log_target else draws.target_like(d, shape)
    options = {"reduction": d.one_of("mean", "sum", "none", "batchmean"), "log_target": log_target}
    return (d.tensor(shape, special=0.1), target), options


def binary_cross_entropy(d):
    shape = d.shape()
    options = {"reduction": d.one_of("mean", "sum", "none")}
    if d.chance(0.3):
        options["weight"] = draws.target_like(d, d.broadcast(shape)) * 3
    x = draws.target_like(d, shape)
    if x.numel() and d.dtype.is_floating_point and d.chance(0.05):
        x.view(-1)[0] = d.one_of(1.5, -0.5, math.nan)
    return (x.requires_grad_(d.dtype.is_floating_point and d.chance(0.8)), draws.target_like(d, d.wrong(shape, shape + [1]))), options


def cosine_similarity(d):
    shape = d.shape(d.between(1, 4))
    return (d.tensor(shape, special=0.05), d.tensor(d.broadcast(shape), special=0.05)), {"dim": d.dim(len(shape))}


def cosine_embedding_loss(d):
    rows = d.one_of([], [d.size()])
    shape = rows + [d.size(1)]
    target = torch.randint(0, 2, rows, generator=d.generator) * 2 - 1
    options = {"margin": d.one_of(0.0, 0.3, -0.2), "reduction": d.one_of("mean", "sum", "none")}
    return (d.tensor(shape, special=0.05), d.tensor(shape, special=0.05), target), options
