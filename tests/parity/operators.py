"""The functions of PyTorch that Karyon has too, with how exact Karyon's results have to be."""
import dataclasses
import typing

import torch
from torch.nn import functional as F

import adapters
import adapters_attention
import adapters_index
import adapters_pointwise
import adapters_shape
import adapters_vision
import draws
import draws_attention
import draws_index
import draws_pointwise
import draws_shape
import draws_vision


@dataclasses.dataclass
class Operator:
    """A function of PyTorch, its adapter and its random calls. `opinfo` are the names of OpInfos with samples of it.

    Errors are allowed in proportion to
      exact     nothing: the values are chosen or moved
      value     the value itself: one formula for each element
      slope     the value or the upstream gradient: one formula for each element, in which numbers near 1 cancel
      upstream  what the gradient is if no upstream gradient is negative: sums of them
      terms     what the result is if no input and no upstream gradient is negative: sums of products
      scale     the largest value of the result, or `gain` times the largest input (the norm of the upstream
                gradients): differences of such sums
    """
    name: str
    function: typing.Callable
    adapter: typing.Callable
    draw: typing.Callable
    opinfo: tuple = ()
    forward: str = "value"
    backward: str = "upstream"
    loose: dict = dataclasses.field(default_factory=dict)  # relative tolerances of its own, by dtype
    gain: typing.Callable = lambda call: 1.0


def index_put(input, indices, values, accumulate=False):
    """x[indices] = values, of a copy."""
    y = input.clone()
    y[tuple(indices) if isinstance(indices, list) else indices] = values
    return y


def batch_norm(input, running_mean, running_var, *rest, **options):
    """The running statistics are results, too."""
    y = F.batch_norm(input, running_mean, running_var, *rest, **options)
    return tuple(x for x in (y, running_mean, running_var) if x is not None)


def norm_gain(call):
    """How much a norm can enlarge its input's errors: weight / sqrt(variance + eps), at most."""
    weight = call.inputs[1]
    largest = 1.0
    if weight is not None and weight.numel():
        largest = max(largest, torch.nan_to_num(weight.detach(), 0, 0, 0).abs().max().item())
    return largest * max(call.options["eps"], 1e-12) ** -0.5


def direction_gain(call):
    """How much the direction of a vector can change with an element: 1 / its length, at most."""
    sizes = torch.cat([torch.nan_to_num(x.detach().double(), 0, 0, 0).abs().flatten() for x in call.inputs])
    return max(1.0, 1 / sizes[sizes > 0].min().item()) if (sizes > 0).any() else 1.0


def arithmetic(name, opinfo, draw=draws.binary):
    return Operator(name, getattr(torch, name), adapters.binary(name), draw, opinfo, backward="terms")


def activation(name, function, opinfo, adapter=None, draw=draws.special_unary, **more):
    return Operator(name, function, adapter or adapters.activation(name), draw, opinfo, backward="slope", **more)


def moves(name, function, adapter, draw, *opinfo):
    return Operator(name, function, adapter, draw, opinfo or (name,), forward="exact")


def spreads(name, function, adapter, draw, *opinfo):
    """Values move to several places."""
    return Operator(name, function, adapter, draw, opinfo or (name,), forward="exact", backward="terms")


def sums(name, function, adapter, draw, *opinfo, **more):
    return Operator(name, function, adapter, draw, opinfo or (name,), forward="terms", backward="terms", **more)


def differences(name, function, adapter, draw, *opinfo, **more):
    return Operator(name, function, adapter, draw, opinfo or (name,), forward="scale", backward="scale", **more)


def square_gain(call):
    """Errors of a variance grow with the square of the values."""
    x = call.inputs[0].detach()
    return max(1.0, torch.nan_to_num(x.double(), 0, 0, 0).abs().max().item()) if x.numel() else 1.0


# Of equals the first comes first.
def sort(input, dim=-1, descending=False, stable=True):
    return torch.sort(input, dim=dim, descending=descending, stable=True)


def argsort(input, dim=-1, descending=False, stable=True):
    return torch.argsort(input, dim=dim, descending=descending, stable=True)


def untied(name):
    """Which of equal elements PyTorch names is not documented: without the indices."""
    def values(*args, **kwargs):
        result = getattr(torch, name)(*args, **kwargs)
        return result if isinstance(result, torch.Tensor) else result[0]
    return values


# Changes in place, of a copy.
CHANGES = {"iadd": lambda x, y: x.clone().add_(y), "isub": lambda x, y: x.clone().sub_(y),
           "imul": lambda x, y: x.clone().mul_(y), "idiv": lambda x, y: x.clone().div_(y)}

# 3x3 convolutions by Winograd; docs/explanation/numerics.md has the errors.
WINOGRAD = {torch.float32: 3e-5, torch.bfloat16: 2.0**-6}

OPERATORS = [
    arithmetic("add", ("add", "__radd__")),
    arithmetic("sub", ("sub",)),
    arithmetic("mul", ("mul", "__rmul__")),
    arithmetic("div", ("div.no_rounding_mode", "true_divide")),
    arithmetic("pow", ("pow",), draws.power),
    Operator("rsub", torch.rsub, adapters.reflected("sub"), draws.binary, ("rsub", "__rsub__"), backward="terms"),
    Operator("rdiv", lambda input, other: other / input, adapters.reflected("div"), draws.binary, ("__rdiv__",), backward="terms"),
    moves("maximum", torch.maximum, adapters.two_tensors("maximum"), draws.pair_of_tensors, "maximum", "max.binary"),
    moves("minimum", torch.minimum, adapters.two_tensors("minimum"), draws.pair_of_tensors, "minimum", "min.binary"),
    *(moves(name, getattr(torch, name), adapters.binary(name), draws.binary)
      for name in ("eq", "ne", "lt", "le", "gt", "ge")),
    *(activation(name, getattr(torch, name), (name,), adapters.unary(name))
      for name in ("neg", "exp", "log", "sqrt", "abs", "sigmoid", "tanh")),
    *(activation(name, getattr(torch, name), (name,), adapters.unary(name))
      for name in ("floor", "ceil", "round", "trunc", "sign", "square", "reciprocal", "rsqrt", "sin", "cos", "tan",
                   "asin", "acos", "atan", "sinh", "cosh", "log1p", "log2", "log10", "exp2", "expm1", "erf")),
    *(moves(name, getattr(torch, name), adapters.unary(name), draws.unary)
      for name in ("isnan", "isinf", "isfinite", "logical_not")),
    *(moves(name, getattr(torch, name), adapters.two_tensors(name), draws.pair_of_tensors)
      for name in ("logical_and", "logical_or", "logical_xor")),
    differences("remainder", torch.remainder, adapters.binary("remainder"), draws.binary),
    differences("fmod", torch.fmod, adapters.binary("fmod"), draws.binary),
    differences("atan2", torch.atan2, adapters.two_tensors("atan2"), draws.pair_of_tensors),
    differences("lerp", torch.lerp, adapters_pointwise.lerp, draws_pointwise.lerp),
    *(Operator(name, change, adapters.binary(name), draws.change) for name, change in CHANGES.items()),
    activation("relu", F.relu, ("nn.functional.relu",)),
    activation("leaky_relu", F.leaky_relu, ("nn.functional.leaky_relu",), adapters.leaky_relu, draws.leaky_relu),
    activation("silu", F.silu, ("nn.functional.silu",)),
    activation("gelu", F.gelu, ("nn.functional.gelu",), adapters_pointwise.gelu, draws_pointwise.gelu,
               loose={torch.float32: 2e-5}),
    *(activation(name, getattr(F, name), ("nn.functional." + name,))
      for name in ("relu6", "hardsigmoid", "hardswish", "selu", "mish", "logsigmoid", "softsign")),
    activation("hardtanh", F.hardtanh, ("nn.functional.hardtanh",), adapters_pointwise.hardtanh,
               draws_pointwise.hardtanh),
    *(activation(name, getattr(F, name), ("nn.functional." + name,), adapters_pointwise.elu(name), draw)
      for name, draw in (("elu", draws_pointwise.elu), ("celu", draws_pointwise.celu))),
    sums("prelu", F.prelu, adapters_pointwise.prelu, draws_pointwise.prelu, "nn.functional.prelu"),
    differences("glu", F.glu, adapters_pointwise.glu, draws_pointwise.glu, "nn.functional.glu"),
    activation("softplus", F.softplus, ("nn.functional.softplus",), adapters.softplus, draws.softplus),
    activation("clamp", torch.clamp, ("clamp",), adapters.clamp, draws.clamp),
    activation("dropout", F.dropout, ("nn.functional.dropout",), adapters.dropout, draws.dropout),
    moves("where", torch.Tensor.where, adapters.where, draws.where),
    moves("to", lambda x, *args, **kwargs: x.to(*args, **kwargs), adapters.to, draws.conversion),
    *(moves(name, getattr(torch.Tensor, name), adapters.to_type(dtype), draws.unary)
      for name, dtype in (("bfloat16", torch.bfloat16), ("float", torch.float32), ("double", torch.float64))),
    moves("clone", torch.clone, adapters.clone, draws.unary),
    moves("cat", torch.cat, adapters.cat, draws.cat),
    moves("stack", torch.stack, adapters.stack, draws.stack),
    moves("narrow", torch.narrow, adapters.narrow, draws.narrow),
    moves("split", torch.split, adapters.split, draws.split, "split", "split.list_args", "split_with_sizes"),
    moves("permute", torch.permute, adapters.permute, draws.permute),
    moves("transpose", torch.transpose, adapters.transpose, draws.transpose),
    moves("select", torch.select, adapters.select, draws.select),
    moves("index", torch.Tensor.__getitem__, adapters_index.index, draws_index.index, "__getitem__"),
    moves("index_put", index_put, adapters_index.index_put, draws_index.index_put),
    moves("index_select", torch.index_select, adapters_index.index_select, draws_index.index_select),
    moves("gather", torch.gather, adapters_index.gather, draws_index.gather),
    moves("scatter", torch.scatter, adapters_index.scatter, draws_index.scatter),
    sums("scatter_add", torch.scatter_add, adapters_index.scatter_add, draws_index.scatter_add),
    moves("take_along_dim", torch.take_along_dim, adapters_index.take_along_dim, draws_index.take_along_dim),
    moves("masked_fill", torch.masked_fill, adapters_index.masked_fill, draws_index.masked_fill),
    moves("masked_select", torch.masked_select, adapters.two_tensors("masked_select"), draws_index.masked_select),
    moves("nonzero", torch.nonzero, adapters_index.nonzero, draws.unary),
    moves("reshape", torch.reshape, adapters.reshape, draws.reshape),
    moves("squeeze", torch.squeeze, adapters_shape.squeeze, draws_shape.squeeze, "squeeze", "squeeze.multiple"),
    moves("unsqueeze", torch.unsqueeze, adapters_shape.with_dim("unsqueeze"), draws_shape.unsqueeze),
    moves("flatten", torch.flatten, adapters_shape.flatten, draws_shape.flatten),
    moves("unflatten", torch.unflatten, adapters_shape.unflatten, draws_shape.unflatten),
    moves("swapaxes", torch.swapaxes, adapters_shape.swapaxes, draws.transpose, "transpose"),
    moves("movedim", torch.movedim, adapters_shape.movedim, draws_shape.movedim),
    spreads("expand", torch.Tensor.expand, adapters_shape.expand, draws_shape.expand),
    spreads("expand_as", torch.Tensor.expand_as, adapters_shape.expand_as, draws_shape.expand_as),
    spreads("broadcast_to", torch.broadcast_to, adapters_shape.expand, draws_shape.expand),
    spreads("repeat", torch.Tensor.repeat, adapters_shape.repeated("repeat"), draws_shape.repeat),
    spreads("tile", torch.tile, adapters_shape.repeated("tile"), draws_shape.repeat),
    spreads("repeat_interleave", torch.repeat_interleave, adapters_shape.repeat_interleave,
            draws_shape.repeat_interleave),
    spreads("meshgrid", torch.meshgrid, adapters_shape.meshgrid, draws_shape.meshgrid, "meshgrid.variadic_tensors",
            "meshgrid.list_of_tensors"),
    moves("flip", torch.flip, adapters_shape.flip, draws_shape.flip),
    moves("roll", torch.roll, adapters_shape.roll, draws_shape.roll),
    moves("tril", torch.tril, adapters_shape.triangle("tril"), draws_shape.triangle),
    moves("triu", torch.triu, adapters_shape.triangle("triu"), draws_shape.triangle),
    moves("diagonal", torch.diagonal, adapters_shape.diagonal, draws_shape.diagonal),
    moves("chunk", torch.chunk, adapters_shape.chunk, draws_shape.chunk),
    moves("unbind", torch.unbind, adapters_shape.unbind, draws_shape.with_dim),
    moves("hstack", torch.hstack, adapters_shape.stacked("hstack"), draws_shape.stacked),
    moves("vstack", torch.vstack, adapters_shape.stacked("vstack"), draws_shape.stacked),
    Operator("arange", torch.arange, adapters_shape.arange, draws_shape.arange, ("arange",), forward="scale"),
    Operator("linspace", torch.linspace, adapters_shape.linspace, draws_shape.linspace, ("linspace",),
             forward="scale"),
    moves("eye", torch.eye, adapters_shape.eye, draws_shape.eye),
    moves("full_like", torch.full_like, adapters_shape.full_like, draws_shape.full_like),
    sums("sum_to_size", torch.Tensor.sum_to_size, adapters.sum_to_size, draws.sum_to_size),
    sums("sum", torch.sum, adapters.reduction("sum"), draws.reduction),
    sums("mean", torch.mean, adapters.reduction("mean"), draws.reduction),
    moves("amax", torch.amax, adapters.reduction("amax"), draws.reduction),
    moves("max", torch.max, adapters.max_of_all, draws.unary, "max.reduction_no_dim"),
    moves("argmax", torch.argmax, adapters.argmax, draws.argmax),
    moves("amin", torch.amin, adapters.reduction("amin"), draws.reduction),
    moves("min", torch.min, adapters.min_of_all, draws.unary, "min.reduction_no_dim"),
    moves("argmin", torch.argmin, adapters.position("argmin"), draws.argmax),
    moves("max_along", torch.max, adapters.along("max_along"), draws.argmax, "max.reduction_with_dim"),
    moves("min_along", torch.min, adapters.along("min_along"), draws.argmax, "min.reduction_with_dim"),
    moves("any", torch.any, adapters.reduction("any"), draws.some_dims),
    moves("all", torch.all, adapters.reduction("all"), draws.some_dims),
    moves("count_nonzero", torch.count_nonzero, adapters.count_nonzero, draws.count_nonzero),
    sums("prod", torch.prod, adapters.reduction("prod"), draws.prod),
    differences("logsumexp", torch.logsumexp, adapters.reduction("logsumexp"), draws.some_dims),
    differences("var", torch.var, adapters.moments("var"), draws.moments, "var", "var_unbiased", gain=square_gain),
    differences("std", torch.std, adapters.moments("std"), draws.moments, "std", "std_unbiased"),
    differences("var_mean", torch.var_mean, adapters.moments("var_mean"), draws.moments, "var_mean",
                "var_mean_unbiased", gain=square_gain),
    sums("norm", torch.linalg.vector_norm, adapters.norm, draws.norm, "linalg.vector_norm"),
    differences("cumsum", torch.cumsum, adapters.scan("cumsum"), draws.softmax),
    sums("cumprod", torch.cumprod, adapters.scan("cumprod"), draws.softmax),
    moves("cummax", torch.cummax, adapters.running("cummax"), draws.softmax),
    moves("cummin", torch.cummin, adapters.running("cummin"), draws.softmax),
    moves("sort", sort, adapters.sort("sort"), draws.sort, "sort"),
    moves("argsort", argsort, adapters.sort("argsort"), draws.sort, "argsort"),
    moves("topk", untied("topk"), adapters.topk, draws.topk),
    moves("kthvalue", untied("kthvalue"), adapters.kthvalue, draws.kthvalue),
    moves("median", untied("median"), adapters.median, draws.median),
    moves("unique", torch.unique, adapters.unique, draws.unique),
    moves("bincount", torch.bincount, adapters.bincount, draws.bincount),
    moves("histc", torch.histc, adapters.histc, draws.histc),
    moves("searchsorted", torch.searchsorted, adapters.searchsorted, draws.searchsorted),
    differences("softmax", F.softmax, adapters.softmax("softmax"), draws.softmax),
    differences("log_softmax", F.log_softmax, adapters.softmax("log_softmax"), draws.softmax),
    sums("matmul", torch.matmul, adapters.matmul, draws.matmul, "matmul", "mm", "bmm"),
    sums("rmatmul", torch.Tensor.__rmatmul__, adapters.reflected_matmul, draws.matmul, "__rmatmul__"),
    sums("einsum", lambda tensors, equation: torch.einsum(equation, *tensors), adapters_shape.einsum,
         draws_shape.einsum),
    *(sums(name, getattr(torch, name), adapters.two_tensors(name), getattr(draws_shape, name))
      for name in ("mm", "bmm", "mv", "dot", "outer")),
    sums("addmm", torch.addmm, adapters_shape.add_product("addmm"), draws_shape.add_product(draws_shape.mm),
         "addmm", "addmm.decomposed"),
    sums("baddbmm", torch.baddbmm, adapters_shape.add_product("baddbmm"), draws_shape.add_product(draws_shape.bmm)),
    sums("linear", F.linear, adapters.linear, draws.linear, "nn.functional.linear"),
    sums("conv2d", F.conv2d, adapters.conv2d, draws.conv2d, "nn.functional.conv2d", loose=WINOGRAD),
    sums("conv_transpose2d", F.conv_transpose2d, adapters.conv_transpose2d, draws.conv_transpose2d,
         "nn.functional.conv_transpose2d", loose=WINOGRAD),
    *(sums(f"conv{n}d", getattr(F, f"conv{n}d"), adapters_vision.conv(n), draws_vision.conv(n),
           f"nn.functional.conv{n}d", loose=WINOGRAD) for n in (1, 3)),
    *(sums(f"conv_transpose{n}d", getattr(F, f"conv_transpose{n}d"), adapters_vision.conv_transpose(n),
           draws_vision.conv_transpose(n), f"nn.functional.conv_transpose{n}d", loose=WINOGRAD) for n in (1, 3)),
    *(moves(f"max_pool{n}d", getattr(F, f"max_pool{n}d"), adapters_vision.max_pool(n), draws_vision.max_pool(n),
            f"nn.functional.max_pool{n}d") for n in (1, 2, 3)),
    *(sums(f"avg_pool{n}d", getattr(F, f"avg_pool{n}d"), adapters_vision.avg_pool(n), draws_vision.avg_pool(n),
           f"nn.functional.avg_pool{n}d") for n in (1, 2, 3)),
    *(sums(f"adaptive_avg_pool{n}d", getattr(F, f"adaptive_avg_pool{n}d"), adapters_vision.adaptive_avg_pool(n),
           draws_vision.adaptive_avg_pool(n), f"nn.functional.adaptive_avg_pool{n}d") for n in (1, 2, 3)),
    differences("instance_norm", F.instance_norm, adapters_vision.instance_norm, draws_vision.instance_norm,
                "nn.functional.instance_norm", gain=norm_gain),
    spreads("pad", F.pad, adapters_vision.pad, draws_vision.pad,
            *("nn.functional.pad." + mode for mode in ("constant", "reflect", "replicate", "circular"))),
    # PyTorch computes places in f32.
    differences("interpolate", F.interpolate, adapters_vision.interpolate, draws_vision.interpolate,
                *("nn.functional.interpolate." + mode
                  for mode in ("nearest", "nearest-exact", "area", "linear", "bilinear", "bicubic", "trilinear")),
                loose={torch.float32: 1e-4}),
    moves("pixel_shuffle", F.pixel_shuffle, adapters_vision.pixel_shuffle("pixel_shuffle"), draws_vision.pixel_shuffle,
          "nn.functional.pixel_shuffle"),
    moves("pixel_unshuffle", F.pixel_unshuffle, adapters_vision.pixel_shuffle("pixel_unshuffle"),
          draws_vision.pixel_unshuffle, "nn.functional.pixel_unshuffle"),
    moves("channel_shuffle", F.channel_shuffle, adapters_vision.channel_shuffle, draws_vision.channel_shuffle,
          "nn.functional.channel_shuffle"),
    spreads("unfold", F.unfold, adapters_vision.unfold, draws_vision.unfold, "nn.functional.unfold"),
    sums("fold", F.fold, adapters_vision.fold, draws_vision.fold, "nn.functional.fold"),
    # OpInfo's samples crash PyTorch.
    Operator("grid_sample", F.grid_sample, adapters_vision.grid_sample, draws_vision.grid_sample, (),
             forward="scale", backward="scale"),
    Operator("affine_grid", F.affine_grid, adapters_vision.affine_grid, draws_vision.affine_grid, (),
             forward="scale", backward="scale"),
    differences("batch_norm", batch_norm, adapters.batch_norm, draws.batch_norm, "nn.functional.batch_norm",
                gain=norm_gain),
    differences("group_norm", F.group_norm, adapters.group_norm, draws.group_norm, "nn.functional.group_norm",
                gain=norm_gain),
    differences("scaled_dot_product_attention", F.scaled_dot_product_attention,
                adapters_attention.scaled_dot_product_attention, draws_attention.scaled_dot_product_attention,
                "nn.functional.scaled_dot_product_attention", gain=draws_attention.attention_gain),
    spreads("embedding", F.embedding, adapters_attention.embedding, draws_attention.embedding,
            "nn.functional.embedding"),
    moves("one_hot", F.one_hot, adapters_attention.one_hot, draws_attention.one_hot, "nn.functional.one_hot"),
    differences("rms_norm", F.rms_norm, adapters_attention.rms_norm, draws_attention.rms_norm,
                "nn.functional.rms_norm", gain=norm_gain),
    differences("layer_norm", F.layer_norm, adapters.layer_norm, draws.layer_norm, "nn.functional.layer_norm",
                gain=norm_gain),
    differences("bce_with_logits", F.binary_cross_entropy_with_logits, adapters.bce_with_logits, draws.bce_with_logits,
                "nn.functional.binary_cross_entropy_with_logits"),
    differences("cross_entropy", F.cross_entropy, adapters.cross_entropy, draws_pointwise.smoothed_cross_entropy,
                "nn.functional.cross_entropy"),
    differences("nll_loss", F.nll_loss, adapters_pointwise.nll_loss, draws.cross_entropy, "nn.functional.nll_loss"),
    *(differences(name, getattr(F, name), getattr(adapters_pointwise, name), draw, "nn.functional." + name)
      for name, draw in (("huber_loss", draws_pointwise.limited_loss("delta", 0)),
                         ("smooth_l1_loss", draws_pointwise.limited_loss("beta", -1)),
                         ("kl_div", draws_pointwise.kl_div),
                         ("binary_cross_entropy", draws_pointwise.binary_cross_entropy),
                         ("cosine_embedding_loss", draws_pointwise.cosine_embedding_loss))),
    differences("cosine_similarity", F.cosine_similarity, adapters_pointwise.cosine_similarity,
                draws_pointwise.cosine_similarity, "nn.functional.cosine_similarity", gain=direction_gain),
    differences("mse_loss", F.mse_loss, adapters.difference_loss("mse_loss"), draws.difference_loss,
                "nn.functional.mse_loss"),
    differences("l1_loss", F.l1_loss, adapters.difference_loss("l1_loss"), draws.difference_loss,
                "nn.functional.l1_loss"),
]
