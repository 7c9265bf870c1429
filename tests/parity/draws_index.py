"""Random calls of what reads and writes elements by their index."""
import math

import torch


def indices_into(d, shape, size, low=0):
    """Numbers from `low` to below `size`, seldom one that is outside."""
    x = torch.randint(min(low, size - 1), max(size, low + 1, 1), shape, generator=d.generator)
    if x.numel() and d.chance(0.03):
        x.view(-1)[d.between(0, x.numel() - 1)] = d.one_of(size, low - 1)
    return x


def one_slice(d, size):
    end = lambda: d.one_of(None, d.between(-size - 1, size + 1), d.between(-size - 1, size + 1))
    return slice(end(), end(), d.wrong(d.one_of(None, None, 1, 2, 3, 40), 0, -1))


def brackets(d, shape):
    """What may stand in the brackets behind a tensor of this shape."""
    common = d.one_of([], [1], [d.size(0, 9)], [2, d.size(0, 5)])  # of the index tensors
    indices, dim, tensors = [], 0, d.chance(0.5)
    while dim < len(shape) and not d.chance(0.15):
        size = shape[dim]
        kind = d.one_of("number", "slice", "slice", "none", "ellipsis", *["tensor", "tensor", "mask"] * tensors)
        dim += 1
        if kind == "number":
            indices.append(d.wrong(d.between(-size, max(size - 1, 0)), size, -size - 1))
        elif kind == "slice":
            indices.append(one_slice(d, size))
        elif kind == "tensor":
            indices.append(indices_into(d, d.broadcast(common), size, -size))
        elif kind == "mask":
            covered = shape[dim - 1:dim + d.between(0, 1)]
            indices.append(d.tensor(d.wrong(covered, [n + 1 for n in covered]), torch.bool))
            dim += len(covered) - 1
        else:
            dim -= 1
            if kind == "none":
                indices.append(None)
            elif Ellipsis not in [one for one in indices if not isinstance(one, torch.Tensor)]:
                indices.append(Ellipsis)
                dim = max(dim, len(shape) - d.between(0, 2))
    return tuple(indices + d.wrong([], [0] * len(shape), [None]))


def index(d):
    shape = d.shape(d.between(0, 5), 600)
    return (d.tensor(shape), brackets(d, shape)), {}


def distinct(x):
    """Whether no index tensor of the brackets has a number twice: of equal ones any may win."""
    return all(one.dtype == torch.bool or one.unique().numel() == one.numel()
               for one in x if isinstance(one, torch.Tensor))


def index_put(d):
    (x, indices), _ = index(d)
    while not distinct(indices):
        (x, indices), _ = index(d)
    try:
        shape = list(x[indices].shape)
    except (IndexError, RuntimeError, ValueError):
        shape = []
    if d.chance(0.3):
        return (x, indices, d.between(0, 5)), {}
    return (x, indices, d.tensor(d.broadcast(shape))), {}


def index_select(d):
    shape = d.shape(d.between(0, 4))
    dim = d.dim(len(shape))
    size = shape[dim] if -len(shape) <= dim < len(shape) else 1
    index = indices_into(d, d.wrong(d.one_of([], [d.size()], [d.size()]), [2, 2]), size)
    return (d.tensor(shape), dim, index), {}


def gather(d, distinct=False):
    """The index is seldom larger than it may be. If `distinct`, it names no element twice."""
    shape = d.shape(d.between(0, 4), 600)
    dim = d.dim(len(shape))
    inside = -len(shape) <= dim < len(shape)
    size = shape[dim] if inside else 1
    index = [d.between(0, n) if d.chance(0.3) else d.wrong(n, n + 1) for n in shape]
    if inside and not distinct:
        index[dim] = d.size(0, 9)
    if not distinct or not inside:
        return (d.tensor(shape), dim, indices_into(d, index, size)), {}
    index[dim] = min(index[dim], size)
    order = torch.rand([size if at == dim % len(shape) else n for at, n in enumerate(index)], generator=d.generator)
    return (d.tensor(shape), dim, order.argsort(dim).narrow(dim, 0, index[dim]).contiguous()), {}


def source(d, index):
    return d.tensor([d.wrong(n, n - 1) if n and not d.chance(0.2) else n + 1 for n in index.shape])


def scatter(d):
    args, _ = gather(d, distinct=True)
    return (*args, d.between(0, 5) if d.chance(0.3) else source(d, args[2])), {}


def scatter_add(d):
    args, _ = gather(d)
    return (*args, source(d, args[2])), {}


def take_along_dim(d):
    shape = d.shape(d.between(1, 4), 600)
    dim = d.between(-len(shape), len(shape) - 1)
    if d.chance(0.2):
        return (d.tensor(shape), indices_into(d, d.shape(elements=100), math.prod(shape))), {}
    x, index = d.broadcast(shape), d.broadcast(shape)
    x, index = ([1] * (len(shape) - len(sizes)) + sizes for sizes in (x, index))
    x[dim] = shape[dim]
    return (d.tensor(x), indices_into(d, index, shape[dim])), {"dim": dim}


def masked_fill(d):
    shape = d.shape()
    value = d.tensor([], special=0) if d.chance(0.3) else d.between(0, 5)
    return (d.tensor(d.broadcast(shape)), d.tensor(d.broadcast(shape), torch.bool), value), {}


def masked_select(d):
    shape = d.shape()
    return (d.tensor(d.broadcast(shape)), d.tensor(d.broadcast(shape), torch.bool)), {}
