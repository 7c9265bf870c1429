"""Adapters, as adapters.py has them, of operations on shapes, of factories and of products by many names."""
import torch

from adapters import DTYPES, Call, dims_of, expressible, number, one_list


def sizes_of(values):
    sizes = one_list(values)
    expressible(len(sizes) <= 8, "more than 8 dimensions")
    return sizes


def squeeze(input, dim=None):
    return Call("squeeze", [input], {} if dim is None else {"dims": dims_of(dim)})


def with_dim(operation):
    return lambda input, dim: Call(operation, [input], {"dim": dim})


def unbind(input, dim=0):
    return Call("unbind", [input], {"dim": dim})


def flatten(input, start_dim=0, end_dim=-1):
    return Call("flatten", [input], {"start": start_dim, "end": end_dim})


def unflatten(input, dim, sizes):
    return Call("unflatten", [input], {"dim": dim, "sizes": sizes_of([sizes])})


def swapaxes(input, axis0, axis1):
    return Call("swapaxes", [input], {"dim0": axis0, "dim1": axis1})


def movedim(input, source, destination):
    return Call("movedim", [input], {"from": dims_of(source), "to": dims_of(destination)})


def expand(input, *size):
    return Call("expand", [input], {"size": sizes_of(size)})


def expand_as(input, other):
    return Call("expand", [input], {"size": sizes_of([other.shape])})


def repeated(operation):
    return lambda input, *repeats: Call(operation, [input], {"repeats": sizes_of(repeats)})


def repeat_interleave(input, repeats, dim=None, *, output_size=None):
    options = {} if dim is None else {"dim": dim}
    if isinstance(repeats, int):
        return Call("repeat_interleave", [input], {"count": repeats, **options})
    expressible(repeats.dim() == 1, "counts of other dimensions")
    if repeats.numel() == 1:
        return Call("repeat_interleave", [input], {"count": repeats.item(), **options})
    return Call("repeat_each", [input], {"counts": repeats.tolist(), **options})


def meshgrid(*tensors, indexing="ij"):
    tensors = list(tensors[0]) if tensors and not isinstance(tensors[0], torch.Tensor) else list(tensors)
    expressible(len(tensors) <= 8, "more than 8 dimensions")
    expressible(indexing in ("ij", "xy"), "another indexing")
    return Call("meshgrid", tensors, {"xy": indexing == "xy"})


def flip(input, dims):
    return Call("flip", [input], {"dims": dims_of(dims)})


def roll(input, shifts, dims=None):
    shifts = dims_of(shifts)
    if dims is None or dims == ():
        expressible(len(shifts) == 1, "several shifts without dimensions")
        return Call("roll", [input], {"shifts": shifts})
    return Call("roll", [input], {"shifts": shifts, "dims": dims_of(dims)})


def triangle(operation):
    return lambda input, diagonal=0: Call(operation, [input], {"diagonal": diagonal})


def diagonal(input, offset=0, dim1=0, dim2=1):
    return Call("diagonal", [input], {"offset": offset, "dim1": dim1, "dim2": dim2})


def chunk(input, chunks, dim=0):
    return Call("chunk", [input], {"chunks": chunks, "dim": dim})


def stacked(operation):
    return lambda tensors: Call(operation, list(tensors))


def dtype_of(dtype):
    expressible(dtype in DTYPES, "another dtype")
    return DTYPES.index(dtype)


def arange(start, end=None, step=1, *, dtype=None, device=None):
    start, end = (0, start) if end is None else (start, end)
    whole = all(isinstance(x, int) for x in (start, end, step))
    expressible(whole or dtype is None or dtype.is_floating_point, "whole numbers between others")
    options = {"start": start, "end": end, "step": step,
               "dtype": dtype_of(dtype or (torch.int64 if whole else torch.float32))}
    return Call("arange" if whole else "arange_real", [], options)


def linspace(start, end, steps, *, dtype=None, device=None):
    expressible(not isinstance(start, torch.Tensor) and not isinstance(end, torch.Tensor), "ends that are tensors")
    expressible(isinstance(steps, int), "a number of steps that is not whole")
    expressible(dtype is None or dtype.is_floating_point, "whole numbers between others")
    return Call("linspace", [], {"start": number(start), "end": number(end), "steps": steps,
                                 "dtype": dtype_of(dtype or torch.float32)})


def eye(n, m=None, *, dtype=None, device=None, requires_grad=False):
    return Call("eye", [], {"rows": n, "columns": n if m is None else m, "dtype": dtype_of(dtype or torch.float32)})


def full_like(input, fill_value, *, dtype=None, device=None):
    expressible(dtype in (None, input.dtype), "another dtype than the tensor's")
    return Call("full_like", [input.detach()], {"value": number(fill_value)})


def einsum(tensors, equation):
    expressible(isinstance(equation, str), "lists of dimensions")
    return Call("einsum", list(tensors), {"equation": [ord(letter) for letter in equation]})


def add_product(operation):
    def adapt(input, mat1, mat2, *, beta=1, alpha=1):
        return Call(operation, [input, mat1, mat2], {"beta": number(beta), "alpha": number(alpha)})
    return adapt
