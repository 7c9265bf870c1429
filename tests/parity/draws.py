"""Random calls of PyTorch's functions: odd shapes, all options, special values, and now and then a mistake."""
import math
import random

import torch

SIZES = (0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 5, 7, 8, 9, 15, 16, 17, 31, 33)
SPECIALS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0)


class Draw:
    """Random choices that depend on the seed only."""

    def __init__(self, seed, dtype):
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(self.random.getrandbits(62))
        self.dtype = dtype

    def chance(self, p):
        return self.random.random() < p

    def one_of(self, *values):
        return self.random.choice(values)

    def between(self, low, high):
        return self.random.randint(low, high)

    def size(self, least=0, most=33):
        return self.one_of(*(size for size in SIZES if least <= size <= most))

    def shape(self, dims=None, elements=3000):
        shape = [self.size() for _ in range(self.between(0, 5) if dims is None else dims)]
        while math.prod(shape) > elements:
            shape[shape.index(max(shape))] = self.between(1, 3)
        return shape

    def dim(self, dims):
        """A dimension, seldom one too many."""
        return self.between(-dims - 1, dims) if dims == 0 or self.chance(0.04) else self.between(-dims, dims - 1)

    def broadcast(self, shape):
        """A shape that broadcasts to this one, seldom another."""
        other = [1 if self.chance(0.25) else size for size in shape]
        if self.chance(0.3):
            other = other[self.between(0, len(other)):]
        if other and self.chance(0.04):
            other[self.between(0, len(other) - 1)] += 1
        return other

    def tensor(self, shape, dtype=None, grad=0.8, special=0.3):
        """Normally distributed, of small whole numbers (which tie), or with special values among them."""
        dtype = dtype or self.dtype
        if dtype == torch.bool:
            return torch.rand(shape, generator=self.generator) < 0.5
        if not dtype.is_floating_point:
            large = 2**30 if dtype == torch.int32 else 2**40
            low, high = (0, 256) if dtype == torch.uint8 else self.one_of((-3, 4), (-1000, 1000), (-large, large))
            return torch.randint(low, high, shape, generator=self.generator, dtype=dtype)
        kind = self.one_of("normal", "normal", "whole")
        x = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        x = (x * 2).round() if kind == "whole" else x * self.one_of(1, 1, 0.01, 10)
        if x.numel() and self.chance(special):
            flat = x.view(-1)
            for _ in range(self.between(1, 3)):
                flat[self.between(0, x.numel() - 1)] = self.one_of(*SPECIALS)
        return x.to(dtype).requires_grad_(self.chance(grad))

    def parameter(self, shape, chance=0.7):
        return self.tensor(shape, special=0.05) if self.chance(chance) else None

    def wrong(self, value, *others):
        """The value, seldom one of the others."""
        return self.one_of(*others) if self.chance(0.02) else value

    def pair(self, low, high, *mistakes):
        one = self.between(low, high)
        value = one if self.chance(0.5) else (one, self.between(low, high))
        return self.wrong(value, *mistakes) if mistakes else value


def unary(d):
    return (d.tensor(d.shape()),), {}


def special_unary(d):
    """Also values at which functions overflow, underflow and change their formula."""
    x = d.tensor(d.shape(), grad=0)
    if d.dtype.is_floating_point and d.chance(0.4):
        x = x * d.one_of(20.0, 100.0, 1e4, 1e30, 1e-30)
    return (x.requires_grad_(d.dtype.is_floating_point and d.chance(0.8)),), {}


def binary(d):
    shape = d.shape()
    if d.chance(0.3):
        whole = not d.dtype.is_floating_point
        value = d.between(-5, 5)
        if not whole:
            value = d.one_of(value, value, -1.5, 0, 1, 2, 0.5, 3, 1e-3, math.inf, math.nan)
        return (d.tensor(shape), value), {}
    return pair_of_tensors(d, shape)


def pair_of_tensors(d, shape=None):
    shape = d.shape() if shape is None else shape
    sides = [d.tensor(shape), d.tensor(d.broadcast(shape))]
    if d.chance(0.05):
        sides[1] = sides[1].detach().to(d.one_of(torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.float16,
                                                  torch.int32))
    d.random.shuffle(sides)
    return tuple(sides), {}


def change(d):
    """The second broadcasts to the first, which is changed in place."""
    shape = d.shape()
    args, _ = binary(d) if d.chance(0.3) else ((d.tensor(shape), d.tensor(d.broadcast(shape))), None)
    return tuple(x.detach() if isinstance(x, torch.Tensor) else x for x in args), {}


def power(d):
    (a, *rest), kwargs = binary(d)
    if a.is_floating_point() and d.chance(0.8):
        a = a.detach().abs().requires_grad_(a.requires_grad)
    return (a, *rest), kwargs


def clamp(d):
    low, high = sorted((d.between(-3, 3), d.between(-3, 3)))
    low, high = d.wrong((low, high), (high, low - 1), (math.nan, high))
    return (d.tensor(d.shape()),), d.one_of({"min": low, "max": high}, {"min": low}, {"max": high})


def where(d):
    shape = d.shape()
    return (d.tensor(d.broadcast(shape)), d.tensor(d.broadcast(shape), torch.bool), d.tensor(shape)), {}


def leaky_relu(d):
    return (d.tensor(d.shape()), d.one_of(0.01, 0.2, 0, 1, -0.5)), {}


def softplus(d):
    args, _ = special_unary(d)
    return args, d.one_of({}, {"beta": d.one_of(0.5, 2, -1), "threshold": d.one_of(1, 20)})


def dropout(d):
    training = d.chance(0.5)
    return (d.tensor(d.shape()), d.wrong(d.one_of(0, 1) if training else 0.3, -0.5, 1.5), training), {}


def conversion(d):
    x = d.tensor(d.shape(), special=0.1)
    if d.dtype.is_floating_point:  # what does not fit in the other type is undefined in C++
        x = torch.nan_to_num(x.detach()).clamp(0, 200).requires_grad_(x.requires_grad)
    return (x, d.one_of(torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool,
                         torch.float16, torch.int32)), {}


def sum_to_size(d):
    shape = d.shape()
    return (d.tensor(shape), d.broadcast(shape)), {}


def cat(d):
    shape = d.shape(d.between(1, 4), 500)
    dim = d.dim(len(shape))
    shapes = [list(shape) for _ in range(d.between(1, 4))]
    for one in shapes:
        if -len(shape) <= dim < len(shape):
            one[dim] = d.size(0, 9)
        if d.chance(0.02):
            one[0] += 1
    return ([d.tensor(one) for one in shapes], dim), {}


def stack(d):
    shape = d.shape(elements=500)
    shapes = [d.wrong(shape, shape + [2]) for _ in range(d.between(1, 4))]
    return ([d.tensor(one) for one in shapes], d.dim(len(shape) + 1)), {}


def narrow(d):
    shape = d.shape(d.between(1, 4))
    dim = d.between(-len(shape), len(shape) - 1)
    start = d.between(0, shape[dim])
    length = d.wrong(d.between(0, shape[dim] - start), shape[dim] + 1, -1)
    start = d.wrong(start, -1, -shape[dim] - 1, shape[dim] + 1)
    return (d.tensor(shape), d.wrong(dim, len(shape)), start, length), {}


def split(d):
    shape = d.shape(d.between(1, 4))
    dim = d.between(-len(shape), len(shape) - 1)
    if d.chance(0.5):
        return (d.tensor(shape), d.wrong(d.between(1, 5), 0, -1), dim), {}
    sizes, rest = [], shape[dim]
    while rest > 0 and len(sizes) < 4:
        sizes.append(d.between(0, rest))
        rest -= sizes[-1]
    return (d.tensor(shape), sizes + [d.wrong(rest, rest + 1, -1)], dim), {}


def permute(d):
    shape = d.shape()
    order = list(range(len(shape)))
    d.random.shuffle(order)
    order = [dim - len(shape) if d.chance(0.2) else dim for dim in order]
    return (d.tensor(shape), d.wrong(order, order + [0], order[1:], [len(shape)] + order[1:])), {}


def transpose(d):
    shape = d.shape()
    return (d.tensor(shape), d.dim(len(shape)), d.dim(len(shape))), {}


def select(d):
    shape = d.shape(d.between(1, 5))
    dim = d.between(-len(shape), len(shape) - 1)
    size = shape[dim]
    index = d.wrong(d.between(-size, max(size - 1, 0)), size)
    return (d.tensor(shape), d.wrong(dim, len(shape)), index), {}


def reshape(d):
    shape = d.shape()
    other, rest = [], math.prod(shape)
    while rest > 1 and len(other) < 4:
        divisor = d.one_of(*(n for n in range(1, rest + 1) if rest % n == 0))
        other.append(divisor)
        rest //= divisor
    other.append(rest)
    if d.chance(0.4):
        other[d.between(0, len(other) - 1)] = -1
    return (d.tensor(shape), d.wrong(other, other + [2], other + [-1], other + [-2])), {}


def reduction(d):
    shape = d.shape()
    dims = d.random.sample(range(len(shape)), d.between(0, len(shape)))
    dims = [dim - len(shape) if d.chance(0.3) else dim for dim in dims]
    if dims and d.chance(0.03):
        dims.append(d.one_of(dims[0], len(shape)))
    return (d.tensor(shape), dims), {"keepdim": d.chance(0.5)}


def argmax(d):
    shape = d.shape()
    return (d.tensor(shape), d.dim(len(shape))), {"keepdim": d.chance(0.5)}


def some_dims(d):
    """At least one dimension: PyTorch is of two minds about none."""
    (x, dims), kwargs = reduction(d)
    return (x, dims or list(range(x.dim()))), kwargs


def count_nonzero(d):
    return some_dims(d)[0], {}


def prod(d):
    """PyTorch reduces one dimension, or all."""
    shape = d.shape()
    return ((d.tensor(shape),), {}) if d.chance(0.3) else ((d.tensor(shape), d.dim(len(shape))), {"keepdim": d.chance(0.5)})


def moments(d):
    args, kwargs = some_dims(d)
    return args, {**kwargs, "correction": d.one_of(0, 1, 1, 1, 0.5)}


def norm(d):
    (x, dims), kwargs = reduction(d)
    return (x, d.one_of(2, 2, 1, 0, 3, 0.5, -1, math.inf, -math.inf), dims or None), kwargs


def sort(d):
    shape = d.shape()
    return (d.tensor(shape), d.dim(len(shape)), d.chance(0.5)), {}


def along(d):
    """A tensor, a dimension of it and the size there."""
    shape = d.shape()
    dim = d.dim(len(shape))
    return d.tensor(shape), dim, shape[dim] if -len(shape) <= dim < len(shape) else 1


def topk(d):
    x, dim, size = along(d)
    k = d.between(0, size) if x.dim() else 1
    return (x, d.wrong(k, size + 1, -1), dim, d.chance(0.5)), {}


def kthvalue(d):
    x, dim, size = along(d)
    return (x, d.wrong(d.between(min(1, size), size), size + 1, 0), dim), {"keepdim": d.chance(0.5)}


def median(d):
    x, dim, _ = along(d)
    return ((x,), {}) if d.chance(0.3) else ((x, dim), {"keepdim": d.chance(0.5)})


def unique(d):
    return (d.tensor(d.shape(), grad=0),), {"return_inverse": d.chance(0.7), "return_counts": d.chance(0.7)}


def bincount(d):
    dtype = d.one_of(torch.int64, torch.int64, torch.uint8, d.dtype)
    x = d.tensor([d.size()], dtype, grad=0).abs() if dtype != torch.bool else d.tensor([d.size()], dtype)
    x = x % 50 if dtype in (torch.int64, torch.uint8, torch.int32) else x
    if dtype == torch.int64 and d.chance(0.05):
        x = x - 1
    weights = d.tensor(list(x.shape), d.one_of(torch.float32, torch.float64), grad=0) if d.chance(0.5) else None
    return (x, weights), {"minlength": d.one_of(0, 0, 3, 60)}


def histc(d):
    low, high = sorted((d.between(-3, 3), d.between(-3, 3)))
    return (d.tensor(d.shape(), grad=0, special=0.1),), {"bins": d.one_of(1, 2, 7, 100), **d.one_of({}, {"min": low, "max": high})}


def searchsorted(d):
    shape = d.shape(d.between(1, 3))
    edges = d.tensor(shape, grad=0).sort().values
    values = d.tensor(d.shape() if len(shape) == 1 else shape[:-1] + [d.size()], grad=0)
    return (edges, values), {"right": d.chance(0.5)}


def softmax(d):
    shape = d.shape()
    return (d.tensor(shape), d.dim(len(shape))), {}


def matmul(d):
    m, k, n = d.size(), d.size(), d.size()
    batch = d.one_of([], [], [d.between(0, 3)], [2, 3])
    left, right = d.broadcast(batch) + [m, k], batch + [d.wrong(k, k + 1), n]
    if d.chance(0.5):
        left[:-2], right[:-2] = right[:-2], left[:-2]
    left, right = left[-1:] if d.chance(0.1) else left, right[-2:-1] if d.chance(0.1) else right
    return (d.tensor(left, special=0.1), d.tensor(right, special=0.1)), {}


def linear(d):
    inner, outer = d.size(), d.size()
    x = d.shape(d.between(0, 3), 60) + [d.wrong(inner, inner + 1)]
    bias = d.parameter([d.wrong(outer, outer + 1)])
    return (d.tensor(x, special=0.1), d.tensor([outer, inner], special=0.05), bias), {}


def filters(d):
    groups = d.one_of(1, 1, 1, 2, 3)
    inner, outer = d.one_of(1, 2, 3, 4, 8, 9, 16, 17), d.one_of(1, 2, 3, 4, 8, 9, 16)
    kernel = d.one_of([3, 3], [1, 1], [d.between(1, 5), d.between(1, 5)])
    size = [d.between(0, 2), groups * inner, d.between(0, 17), d.between(0, 17)]
    common = {"stride": d.pair(1, 3, 0, -1), "padding": d.pair(0, 3, -1), "dilation": d.pair(1, 2, 0),
              "groups": d.wrong(groups, 0, groups + 1, -1)}
    if d.chance(0.3):
        common.update(stride=1, dilation=1)
    return groups, inner, outer, kernel, size, common


def conv2d(d):
    groups, inner, outer, kernel, size, options = filters(d)
    weight = [groups * outer, d.wrong(inner, inner + 1)] + kernel
    return (d.tensor(size, special=0.05), d.tensor(weight, special=0.02), d.parameter([weight[0]])), options


def conv_transpose2d(d):
    groups, inner, outer, kernel, size, options = filters(d)
    weight = [d.wrong(groups * inner, groups * inner + 1), outer] + kernel
    options["output_padding"] = d.pair(0, 1)
    return (d.tensor(size, special=0.05), d.tensor(weight, special=0.02), d.parameter([groups * outer])), options


def features(d):
    shape = d.shape(d.between(2, 4))
    return shape, shape[1]


def batch_norm(d):
    shape, channels = features(d)
    x = d.tensor(shape, special=0.1)
    statistics = [d.tensor([channels], grad=0, special=0), target_like(d, [channels])]
    training = d.chance(0.5)
    if training and d.chance(0.3):
        statistics = [None, None]
    return (x, *statistics, d.parameter([channels]), d.parameter([channels]), training, d.one_of(0.1, 0, 1, 0.3),
            d.one_of(1e-5, 1e-3)), {}


def group_norm(d):
    shape, channels = features(d)
    divisors = [n for n in range(1, channels + 1) if channels % n == 0] or [1]
    groups = d.wrong(d.one_of(*divisors), 0, channels + 1, -1)
    return (d.tensor(shape, special=0.1), groups, d.parameter([channels]), d.parameter([channels])), {}


def layer_norm(d):
    shape = d.shape(d.between(1, 4))
    normalized = shape[d.between(0, len(shape) - 1):]
    normalized = d.wrong(normalized, [], normalized + [2], [normalized[0] + 1] + normalized[1:])
    return (d.tensor(shape, special=0.1), normalized, d.parameter(normalized), d.parameter(normalized)), {}


def target_like(d, shape):
    """Probabilities."""
    return torch.rand(shape, generator=d.generator, dtype=torch.float64).round(decimals=1).to(d.dtype)


def bce_with_logits(d):
    shape = d.shape()
    options = {"reduction": d.one_of("mean", "sum", "none")}
    for weight in ("weight", "pos_weight"):
        if d.chance(0.3):
            options[weight] = target_like(d, d.broadcast(shape)) * 3
    return (d.tensor(shape, special=0.15), target_like(d, d.wrong(shape, shape + [1]))), options


def cross_entropy(d):
    shape = d.one_of([d.size(0), d.size(1)], [d.size(0, 4), d.size(1, 9), d.size(0, 9)], [d.size(1)],
                     [d.between(0, 2), d.size(1, 9), d.size(0, 7), d.size(0, 7)])
    classes = shape[1] if len(shape) > 1 else shape[0]
    target = torch.randint(0, d.wrong(classes, classes + 2), shape[:1] * (len(shape) > 1) + shape[2:],
                           generator=d.generator)
    options = {"reduction": d.one_of("mean", "sum", "none")}
    if d.chance(0.4):
        options["weight"] = target_like(d, [d.wrong(classes, classes + 1)])
    if d.chance(0.4):
        options["ignore_index"] = d.between(0, classes)
    return (d.tensor(shape, special=0.1), target), options


def difference_loss(d):
    shape = d.shape()
    other = shape if d.chance(0.95) else d.broadcast(shape)
    return (d.tensor(shape), d.tensor(other)), {"reduction": d.one_of("mean", "sum", "none")}
