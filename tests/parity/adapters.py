"""Translates calls of PyTorch's functions to calls of Karyon's operations.

An adapter has the parameters of a PyTorch function and returns a Call. It raises NotExpressible for what Karyon has
no words for. It does not look for mistakes in the call: both sides are to find those.
"""
import dataclasses
import numbers

import torch

# In the order of karyon::DType.
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool,
          torch.float16, torch.int32)
REDUCTIONS = ("mean", "sum", "none")  # in the order of karyon::Reduction


class NotExpressible(Exception):
    """Karyon has no words for this call; the text says what it lacks."""


@dataclasses.dataclass
class Call:
    """A call of a Karyon operation. `channels_last` are the inputs whose dimension 1 is Karyon's last."""
    operation: str
    inputs: list
    options: dict = dataclasses.field(default_factory=dict)
    channels_last: tuple = ()
    result_channels_last: bool = False

    def __post_init__(self):
        for x in self.inputs:
            expressible(x is None or isinstance(x, torch.Tensor), "a number in place of a tensor")
            expressible(x is None or x.dtype in DTYPES, "another dtype")
            expressible(x is None or x.dim() <= 8, "more than 8 dimensions")
            expressible(x is None or x.layout == torch.strided, "another layout")


def to_channels_last(x):
    """The one place where PyTorch's order of dimensions becomes Karyon's: images, filters, features and classes."""
    return x.movedim(1, -1) if x.dim() > 2 else x


def from_channels_last(x):
    return x.movedim(-1, 1) if x.dim() > 2 else x


def expressible(condition, what):
    if not condition:
        raise NotExpressible(what)


def pair(value):
    values = [value, value] if isinstance(value, numbers.Number) else list(value)
    if len(values) == 1:
        values *= 2
    expressible(len(values) == 2, f"{len(values)} numbers for height and width")
    return values


def images(x):
    expressible(x.dim() == 4, f"images of {x.dim()} dimensions")


def dims_of(dim):
    return [] if dim is None else [dim] if isinstance(dim, int) else list(dim)


def reduction_of(name):
    expressible(name in REDUCTIONS, "another reduction")
    return REDUCTIONS.index(name)


def one_list(values):
    """f(1, 2) and f((1, 2)) are the same."""
    return list(values[0]) if values and not isinstance(values[0], int) else list(values)


def unary(operation):
    return lambda input: Call(operation, [input])


def number(value):
    expressible(not isinstance(value, complex), "a complex number")
    return float(value)


def binary(operation):
    """A function of two tensors, or of a tensor and a number."""
    def adapt(input, other, alpha=1):
        expressible(alpha == 1, "alpha")
        if isinstance(other, torch.Tensor):
            return Call(operation, [input, other])
        return Call(operation + "_number", [input], {"value": number(other)})
    return adapt


def two_tensors(operation):
    return lambda input, other: Call(operation, [input, other])


def reflected(operation):
    """The same with the sides exchanged: other - input."""
    def adapt(input, other, alpha=1):
        expressible(alpha == 1, "alpha")
        if isinstance(other, torch.Tensor):
            return Call(operation, [other, input])
        return Call("number_" + operation, [input], {"value": number(other)})
    return adapt


def clamp(input, min=None, max=None):
    expressible(not isinstance(min, torch.Tensor) and not isinstance(max, torch.Tensor), "limits that are tensors")
    expressible(min is not None or max is not None, "no limits")
    low = float("-inf") if min is None else number(min)
    return Call("clamp", [input], {"low": low, "high": float("inf") if max is None else number(max)})


def where(input, condition, other):
    return Call("where", [condition, input, other])


def leaky_relu(input, negative_slope=0.01, inplace=False):
    expressible(not inplace, "inplace")
    return Call("leaky_relu", [input], {"value": negative_slope})


def activation(operation):
    def adapt(input, inplace=False):
        expressible(not inplace, "inplace")
        return Call(operation, [input])
    return adapt


def softplus(input, beta=1, threshold=20):
    return Call("softplus", [input], {"beta": number(beta), "threshold": number(threshold)})


def dropout(input, p=0.5, training=True, inplace=False):
    expressible(not inplace, "inplace")
    expressible(not training or p in (0, 1) or not 0 <= p <= 1, "random numbers")
    return Call("dropout", [input], {"p": p, "training": training})


def to(input, dtype, *rest, memory_format=None, **kwargs):
    expressible(not rest and not kwargs and memory_format in (None, torch.contiguous_format, torch.preserve_format),
                "a device or memory format")
    expressible(dtype in DTYPES, "another dtype")
    return Call("to", [input], {"dtype": DTYPES.index(dtype)})


def to_type(dtype):
    return lambda input, memory_format=None: to(input, dtype, memory_format=memory_format)


def clone(input, *, memory_format=None):
    expressible(memory_format in (None, torch.contiguous_format, torch.preserve_format), "a memory format")
    return Call("clone", [input])


def sum_to_size(input, *size):
    expressible(input.dim() > 0 or input.dtype.is_floating_point, "a whole number that becomes i64")
    return Call("sum_to", [input], {"size": one_list(size)})


def cat(tensors, dim=0):
    return Call("cat", list(tensors), {"dim": dim})


def stack(tensors, dim=0):
    return Call("stack", list(tensors), {"dim": dim})


def narrow(input, dim, start, length):
    expressible(not isinstance(start, torch.Tensor), "a start that is a tensor")
    return Call("narrow", [input], {"dim": dim, "start": start, "length": length})


def split(input, split_size, dim=0):
    if isinstance(split_size, int):
        return Call("split", [input], {"size": split_size, "dim": dim})
    return Call("split_sizes", [input], {"sizes": list(split_size), "dim": dim})


def permute(input, *dims):
    return Call("permute", [input], {"order": one_list(dims)})


def transpose(input, dim0, dim1):
    return Call("transpose", [input], {"dim0": dim0, "dim1": dim1})


def select(input, dim, index):
    return Call("select", [input], {"dim": dim, "index": index})


def reshape(input, shape):
    return Call("reshape", [input], {"size": list(shape)})


def reduction(operation):
    def adapt(input, dim=None, keepdim=False, *, dtype=None):
        expressible(dtype is None, "a dtype for the result")
        return Call(operation, [input], {"dims": dims_of(dim), "keepdim": keepdim})
    return adapt


def max_of_all(input):
    return Call("amax", [input], {"dims": [], "keepdim": False})


def min_of_all(input):
    return Call("amin", [input], {"dims": [], "keepdim": False})


def position(operation):
    def adapt(input, dim=None, keepdim=False):
        expressible(dim is not None, "no dimension")
        return Call(operation, [input], {"dim": dim, "keepdim": keepdim})
    return adapt


argmax = position("argmax")


def along(operation):
    """Values and indices."""
    return lambda input, dim, keepdim=False: Call(operation, [input], {"dim": dim, "keepdim": keepdim})


def running(operation):
    return lambda input, dim: Call(operation, [input], {"dim": dim})


def count_nonzero(input, dim=None):
    return Call("count_nonzero", [input], {"dims": dims_of(dim)})


def moments(operation):
    def adapt(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
        if isinstance(dim, bool):  # var(input, unbiased)
            dim, unbiased = None, dim
        if correction is None:
            correction = 0 if unbiased is False else 1
        return Call(operation, [input], {"dims": dims_of(dim), "correction": number(correction), "keepdim": keepdim})
    return adapt


def norm(x, ord=2, dim=None, keepdim=False, *, dtype=None):
    expressible(dtype is None, "a dtype for the result")
    return Call("norm", [x], {"p": number(ord), "dims": dims_of(dim), "keepdim": keepdim})


def scan(operation):
    def adapt(input, dim, *, dtype=None):
        expressible(dtype is None, "a dtype for the result")
        return Call(operation, [input], {"dim": dim})
    return adapt


def sort(operation):
    def adapt(input, dim=-1, descending=False, stable=True):
        return Call(operation, [input], {"dim": dim, "descending": descending})
    return adapt


def topk(input, k, dim=-1, largest=True, sorted=True):
    expressible(sorted, "an order that is not sorted")
    return Call("topk", [input], {"k": k, "dim": dim, "largest": largest})


def kthvalue(input, k, dim=-1, keepdim=False):
    return Call("kthvalue", [input], {"k": k, "dim": dim, "keepdim": keepdim})


def median(input, dim=None, keepdim=False):
    if dim is None:
        return Call("median", [input])
    return Call("median_along", [input], {"dim": dim, "keepdim": keepdim})


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    expressible(dim is None, "slices along a dimension")
    return Call("unique", [input], {"inverse": return_inverse, "counts": return_counts})


def bincount(input, weights=None, minlength=0):
    return Call("bincount", [input, weights], {"minlength": minlength})


def histc(input, bins=100, min=0, max=0):
    return Call("histc", [input], {"bins": bins, "min": number(min), "max": number(max)})


def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None):
    expressible(not out_int32 and sorter is None, "int32 or a sorter")
    expressible(side is None or not right, "a side that contradicts")
    return Call("searchsorted", [sorted_sequence, input], {"right": right or side == "right"})


def softmax(operation):
    def adapt(input, dim, dtype=None):
        expressible(dtype is None, "a dtype for the result")
        return Call(operation, [input], {"dim": dim})
    return adapt


def matmul(input, other):
    return Call("matmul", [input, other])


def reflected_matmul(input, other):
    return matmul(other, input)


def linear(input, weight, bias=None):
    expressible(weight.dim() != 1, "a vector in a matrix product")
    return Call("linear", [input, weight, bias])


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    images(input)
    expressible(weight.dim() == 4, f"filters of {weight.dim()} dimensions")
    expressible(not isinstance(padding, str), "padding by name")
    return Call("conv2d", [input, weight, bias],
                {"stride": pair(stride), "padding": pair(padding), "dilation": pair(dilation), "groups": groups},
                (0, 1), True)


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    call = conv2d(input, weight, bias, stride, padding, dilation, groups)
    call.operation = "conv_transpose2d"
    call.options["output_padding"] = pair(output_padding)
    return call


def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    return Call("batch_norm", [input, weight, bias, running_mean, running_var],
                {"training": training, "momentum": momentum, "eps": eps}, (0,), True)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    return Call("group_norm", [input, weight, bias], {"num_groups": num_groups, "eps": eps}, (0,), True)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    return Call("layer_norm", [input, weight, bias], {"normalized_shape": list(normalized_shape), "eps": eps})


def bce_with_logits(input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None):
    expressible(size_average is None and reduce is None, "size_average and reduce")
    return Call("bce_with_logits", [input, target, weight, pos_weight], {"reduction": reduction_of(reduction)})


def cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean",
                  label_smoothing=0.0):
    expressible(size_average is None and reduce is None, "size_average and reduce")
    expressible(not target.dtype.is_floating_point, "probabilities as targets")
    return Call("cross_entropy", [input, target, weight],
                {"ignore_index": ignore_index, "reduction": reduction_of(reduction),
                 "label_smoothing": number(label_smoothing)}, (0,))


def difference_loss(operation):
    def adapt(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
        expressible(size_average is None and reduce is None, "size_average and reduce")
        expressible(weight is None, "a weight of each element")
        return Call(operation, [input, target], {"reduction": reduction_of(reduction)})
    return adapt
