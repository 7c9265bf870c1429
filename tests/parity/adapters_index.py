"""Adapters of what reads and writes elements by their index."""
import torch

from adapters import Call, expressible, number

OPEN = 2**52  # an open end of a slice, in a list of numbers


def index_options(indices):
    """What stands in the brackets, as lists of kinds and numbers, and its tensors."""
    kinds, numbers, tensors = [], [], []
    for one in indices if isinstance(indices, tuple) else (indices,):
        expressible(not isinstance(one, (list, bool, range)), "a list or a truth value as an index")
        if one is None or one is Ellipsis:
            kinds.append(0 if one is None else 1)
        elif isinstance(one, int):
            kinds.append(2)
            numbers.append(one)
        elif isinstance(one, slice):
            expressible(not any(isinstance(end, torch.Tensor) for end in (one.start, one.stop, one.step)),
                        "a tensor as the end of a slice")
            kinds.append(3)
            numbers += [OPEN if end is None else end for end in (one.start, one.stop, one.step)]
        else:
            kinds.append(4)
            tensors.append(one)
    return {"kinds": kinds, "numbers": numbers}, tensors


def index(input, indices):
    options, tensors = index_options(indices)
    return Call("index", [input, *tensors], options)


def index_put(input, indices, values, accumulate=False):
    expressible(not accumulate, "accumulate")
    options, tensors = index_options(tuple(indices) if isinstance(indices, list) else indices)
    if isinstance(values, torch.Tensor):
        return Call("index_put", [input, *tensors, values], options)
    return Call("index_put_number", [input, *tensors], {"value": number(values), **options})


def index_select(input, dim, index):
    return Call("index_select", [input, index], {"dim": dim})


def gather(input, dim, index, *, sparse_grad=False):
    return Call("gather", [input, index], {"dim": dim})


def scatter(input, dim, index, src=None, value=None, *, reduce=None):
    expressible(reduce is None, "reduce")
    src = value if src is None else src
    if isinstance(src, torch.Tensor):
        return Call("scatter", [input, index, src], {"dim": dim})
    return Call("scatter_number", [input, index], {"dim": dim, "value": number(src)})


def scatter_add(input, dim, index, src):
    return Call("scatter_add", [input, index, src], {"dim": dim})


def take_along_dim(input, indices, dim=None):
    return Call("take_along_dim", [input, indices], {} if dim is None else {"dim": dim})


def masked_fill(input, mask, value):
    if isinstance(value, torch.Tensor):
        return Call("masked_fill", [input, mask, value])
    return Call("masked_fill_number", [input, mask], {"value": number(value)})


def nonzero(input, *, as_tuple=False):
    expressible(not as_tuple, "as_tuple")
    return Call("nonzero", [input])
