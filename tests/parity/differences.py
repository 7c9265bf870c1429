"""Where Karyon differs from PyTorch on purpose, as docs/reference/coming-from-pytorch.md tells."""
import dataclasses
import re
import typing

import torch


@dataclasses.dataclass
class Difference:
    """`applies` tells for which calls it can be seen, `explains` whether a problem of such a call is this one."""
    name: str
    applies: typing.Callable
    explains: typing.Callable


def refusal(name, pattern, applies=lambda case: True):
    """An error of Karyon's where PyTorch has a result."""
    return Difference(name, applies,
                      lambda case, problem: problem.kind == "refused" and re.search(pattern, problem.text))


def dtypes(case):
    return {x.dtype for x in case.call.inputs if x is not None}


def whole(case):
    return any(not dtype.is_floating_point for dtype in dtypes(case))


def scalar_of_another(case):
    inputs = [x for x in case.call.inputs if x is not None]
    return len(dtypes(case)) > 1 and 0 < sum(x.dim() == 0 for x in inputs) < len(inputs)


def called(*names):
    return lambda case: case.operator.name in names


CONVOLUTIONS = tuple(f"{name}{n}d" for name in ("conv", "conv_transpose") for n in (1, 2, 3))
POOLS = tuple(f"{name}_pool{n}d" for name in ("max", "avg", "adaptive_avg") for n in (1, 2, 3))
NORMS = ("group_norm", "layer_norm", "batch_norm", "instance_norm")
FUNCTIONS = called("reciprocal", "rsqrt", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "log1p",
                   "log2", "log10", "exp2", "expm1", "erf", "nll_loss", "huber_loss", "smooth_l1_loss", "kl_div",
                   "binary_cross_entropy", "cosine_similarity", "cosine_embedding_loss")
WIDENED = called("exp", "log", "sqrt", "pow", "sum", "mean", "amax", "max", "softmax", "log_softmax", "sum_to_size",
                 "bce_with_logits", "cross_entropy", "mse_loss", "l1_loss", "amin", "min", "prod", "logsumexp", "var",
                 "std", "var_mean", "norm", "cumsum", "cumprod", "histc")
PARAMETERS = called(*NORMS, "rms_norm", "cross_entropy", "bce_with_logits", "nll_loss", "binary_cross_entropy")
SHORT = {torch.bfloat16, torch.float16}
COMPARED = called("eq", "ne", "lt", "le", "gt", "ge")
MULTIPLIED = called("prod", "cumprod")
SUMMED = called(*CONVOLUTIONS, "interpolate", *NORMS)
IMAGES = called(*CONVOLUTIONS, *POOLS, *NORMS, "rms_norm", "interpolate", "pad", "unfold", "fold", "grid_sample")


def clamp_on_a_limit(case, problem):
    """The gradient is 1 there."""
    if problem.kind != "value" or problem.place != "grad 0":
        return False
    x = case.call.inputs[0].detach()[problem.wrong].double()
    on = (x == case.call.options["low"]) | (x == case.call.options["high"])
    return on.all() and torch.equal(problem.got[problem.wrong], case.upstreams[0][problem.wrong])


def not_finite(x):
    return x is not None and x.dtype.is_floating_point and not bool(x.detach().isfinite().all())


def gelu_tail(case, problem):
    """PyTorch's 1 + erf(x) has lost all digits there."""
    if problem.kind != "value":
        return False
    x = case.call.inputs[0].detach()[problem.wrong].double()
    upstream = case.upstreams[0][problem.wrong].double().abs() if problem.place == "grad 0" else 1
    double = case.call.inputs[0].dtype == torch.float64
    limit = -2 if double or case.call.options["tanh"] else -7
    allowed = upstream * x**2 * (1e-15 if double else 1e-6)
    error = (problem.got[problem.wrong].double() - problem.expected[problem.wrong].double()).abs()
    return bool((x < limit).all()) and bool((error <= allowed).all())


def at_nan(case, problem):
    """It differs between PyTorch's vectorized loops and what they leave over."""
    return problem.kind == "value" and problem.place == "grad 0" and \
        bool(case.call.inputs[0].detach()[problem.wrong].isnan().all())


def single_constant(case, problem):
    """PyTorch's constant is a float."""
    if problem.kind != "value" or problem.place != "grad 0" or case.call.inputs[0].dtype != torch.float64:
        return False
    got, expected = problem.got[problem.wrong], problem.expected[problem.wrong]
    x = case.call.inputs[0].detach()[problem.wrong]
    return bool((((got - expected).abs() <= 1e-6 * expected.abs()) | x.isnan()).all())


def wrapped_number(case):
    """-1 is 255 in PyTorch."""
    value = case.call.options.get("value", 0)
    return torch.uint8 in dtypes(case) and COMPARED(case) and not 0 <= value <= 255


def amax_of_nan(case, problem):
    if problem.kind != "value" or problem.place != "grad 0":
        return False
    return bool(problem.expected[problem.wrong].isnan().all())


def infinite_mean(case, problem):
    """NaN in PyTorch."""
    return problem.kind == "value" and problem.place == "result 1" and \
        bool((problem.got[problem.wrong].isinf() & problem.expected[problem.wrong].isnan()).all())


def tied_gradient(case, problem):
    """Its sum over equal elements is the same."""
    if problem.kind != "value" or problem.place != "grad 0":
        return False
    x = case.call.inputs[0].detach().double().nan_to_num(nan=1e300)
    ties = x[problem.wrong].unique()
    gap = sum((problem.got - problem.expected)[x == tie].double().sum().abs() for tie in ties)
    return all((x == tie).sum() > 1 for tie in ties) and gap <= 1e-2 * problem.expected.double().abs().sum()


def infinite_loss(case, problem):
    """PyTorch subtracts infinity from infinity."""
    return problem.kind == "value" and not_finite(case.call.inputs[0]) and \
        bool(problem.expected[problem.wrong].isnan().all())


def ignored_nan(case, problem):
    return problem.kind == "value" and problem.place == "grad 0" and \
        bool((problem.got[problem.wrong].eq(0) & problem.expected[problem.wrong].isnan()).all())


def zero_beside_infinity(case, problem):
    """0 times infinity: it depends on which zeros are skipped, and what is added first."""
    return problem.kind == "value" and any(map(not_finite, case.call.inputs)) and \
        bool((problem.got[problem.wrong].isnan() | problem.expected[problem.wrong].isnan()).all())


def nothing(case):
    return IMAGES(case) and any(x is not None and x.numel() == 0 for x in case.call.inputs + case.native.results)


def dropped_infinity(case, problem):
    """PyTorch multiplies by 0."""
    return problem.kind == "value" and case.call.options["p"] == 1 and problem.got[problem.wrong].eq(0).all()


def old_empty(case):
    """Beside [0] any other shape will do in PyTorch."""
    shapes = {x.shape for x in case.call.inputs if x is not None}
    return case.operator.name == "cat" and torch.Size([0]) in shapes and len(shapes) > 1


def empty_index(case):
    """PyTorch does not look at its shape."""
    return called("gather", "scatter", "scatter_add", "take_along_dim")(case) and case.call.inputs[1].numel() == 0


def nothing_read(case):
    """No element is read or written."""
    if case.operator.name != "index_put":
        return not any(y.numel() for y in case.native.results)
    x, indices = case.sample.args[:2]
    return x[tuple(indices) if isinstance(indices, list) else indices].numel() == 0


DIFFERENCES = [
    refusal("whole numbers and truth values are not computed with", r"expects .*(got|and) (i64|i32|u8|bool)\b", whole),
    refusal("dtypes are not promoted", r"got \w+ and \w+$", lambda case: len(dtypes(case)) > 1),
    Difference("a tensor without dimensions counts for the dtype", scalar_of_another,
               lambda case, problem: problem.kind == "dtype"),
    Difference("functions and sums of bf16 and f16 are f32",
               lambda case: (WIDENED(case) or FUNCTIONS(case)) and SHORT & dtypes(case),
               lambda case, problem: problem.kind == "dtype" and problem.got.dtype == torch.float32
               and problem.expected.dtype in SHORT),
    refusal("f16 is for storage", r"got f16; cast it", lambda case: torch.float16 in dtypes(case)),
    refusal("parameters beside bf16 and f16 are f32", r"expects f32(\[[\d, ]*\])?, got b?f16",
            lambda case: SHORT & dtypes(case) and PARAMETERS(case)),
    refusal("targets get no gradient", r"target requires a gradient",
            lambda case: called("bce_with_logits", "kl_div", "binary_cross_entropy")(case)
            and case.call.inputs[1].requires_grad),
    refusal("output_padding is below the stride or the dilation", r"output_padding .* must be below",
            called("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")),
    refusal("borders are not negative", r"expects borders of at least 0",
            lambda case: called("pad")(case) and min(case.call.options["borders"]) < 0),
    refusal("[0] joins with [0] only", r"cat: ", old_empty),
    refusal("an index of no elements has to fit", r"expects (an index|indices|src)|do not broadcast", empty_index),
    Difference("an index is in range even where no element is read",
               called("index", "index_put", "index_select", "gather"),
               lambda case, problem: problem.kind == "refused" and "out of range" in problem.text
               and nothing_read(case)),
    refusal("take_along_dim does not wrap its indices", r"take_along_dim: index .* is out of range",
            called("take_along_dim")),
    Difference("a source larger than the index has a gradient", called("scatter", "scatter_add"),
               lambda case, problem: problem.kind == "accepted" and "invalid gradient at index 1" in problem.text),
    Difference("truth values have an argmax, an order and a mirror",
               lambda case: called("argmax", "argmin", "topk", "kthvalue", "median", "pad")(case) and torch.bool in dtypes(case),
               lambda case, problem: problem.kind == "accepted"),
    Difference("the gradient of clamp on a limit is 1", called("clamp"), clamp_on_a_limit),
    Difference("dropout with p = 1 gives 0 for infinity and NaN", called("dropout"), dropped_infinity),
    Difference("a number beside u8 does not wrap", wrapped_number, lambda case, problem: problem.kind == "value"),
    Difference("the gradient of amax and amin is shared by the NaNs", called("amax", "amin"), amax_of_nan),
    Difference("gradients of products without an element beside infinity", MULTIPLIED,
               lambda case, problem: problem.place == "grad 0" and zero_beside_infinity(case, problem)),
    Difference("the mean of var_mean can be infinite", called("var_mean"), infinite_mean),
    Difference("which of equal elements gets the gradient", called("topk", "kthvalue", "median"), tied_gradient),
    refusal("there is no median of nothing", r"median: expects something to choose from", called("median")),
    Difference("gelu keeps its digits far below 0", called("gelu"), gelu_tail),
    Difference("the gradient of some activations at NaN",
               called("relu6", "hardtanh", "hardswish", "elu", "selu", "celu"), at_nan),
    Difference("the gradients of hardsigmoid and celu in f64", called("hardsigmoid", "celu"), single_constant),
    refusal("the limits of clamp are in order", r"expects low <= high", called("clamp")),
    refusal("losses do not broadcast", r"expects a target like the input",
            called("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "kl_div")),
    Difference("the binary cross entropy of infinity is not NaN", called("bce_with_logits"), infinite_loss),
    Difference("zeros beside infinity and NaN", SUMMED, zero_beside_infinity),
    Difference("which images of no elements are refused", nothing,
               lambda case, problem: problem.kind in ("accepted", "refused")),
    Difference("avg_pool3d takes, with ceil_mode, windows larger than what they pool", called("avg_pool3d"),
               lambda case, problem: problem.kind == "accepted" and "smaller than kernel size" in problem.text),
    Difference("types that PyTorch has no kernel for", called("avg_pool3d", "interpolate", "unfold", "affine_grid"),
               lambda case, problem: problem.kind == "accepted" and "not implemented for" in problem.text),
    Difference("one value can be a group", called("group_norm"), lambda case, problem: problem.kind == "accepted"
               and "more than 1 value" in problem.text),
    Difference("ignored targets beside NaN get no gradient", lambda case: called("cross_entropy")(case)
               and not_finite(case.call.inputs[0]), ignored_nan),
]
