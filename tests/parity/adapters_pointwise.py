"""Adapters, as adapters.py has them, of functions of each element, of activations and of losses."""
import torch

from adapters import Call, expressible, number, reduction_of


def lerp(input, end, weight):
    if isinstance(weight, torch.Tensor):
        return Call("lerp", [input, end, weight])
    return Call("lerp_number", [input, end], {"value": number(weight)})


def gelu(input, *, approximate="none"):
    expressible(approximate in ("none", "tanh"), "another approximation")
    return Call("gelu", [input], {"tanh": approximate == "tanh"})


def elu(operation):
    def adapt(input, alpha=1.0, inplace=False):
        expressible(not inplace, "inplace")
        return Call(operation, [input], {"value": number(alpha)})
    return adapt


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    expressible(not inplace, "inplace")
    return Call("hardtanh", [input], {"low": number(min_val), "high": number(max_val)})


def prelu(input, weight):
    return Call("prelu", [input, weight], {}, (0,), True)


def glu(input, dim=-1):
    return Call("glu", [input], {"dim": dim})


def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    expressible(size_average is None and reduce is None, "size_average and reduce")
    return Call("nll_loss", [input, target, weight],
                {"ignore_index": ignore_index, "reduction": reduction_of(reduction)}, (0,))


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    expressible(weight is None, "a weight of each element")
    return Call("huber_loss", [input, target], {"delta": number(delta), "reduction": reduction_of(reduction)})


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    expressible(size_average is None and reduce is None, "size_average and reduce")
    return Call("smooth_l1_loss", [input, target], {"beta": number(beta), "reduction": reduction_of(reduction)})


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    expressible(size_average is None and reduce is None, "size_average and reduce")
    batchmean = reduction == "batchmean"
    return Call("kl_div", [input, target], {"log_target": log_target, "batchmean": batchmean,
                                            "reduction": 0 if batchmean else reduction_of(reduction)})


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    expressible(size_average is None and reduce is None, "size_average and reduce")
    return Call("binary_cross_entropy", [input, target, weight], {"reduction": reduction_of(reduction)})


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    return Call("cosine_similarity", [x1, x2], {"dim": dim, "eps": eps})


def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    expressible(size_average is None and reduce is None, "size_average and reduce")
    return Call("cosine_embedding_loss", [input1, input2, target],
                {"margin": number(margin), "reduction": reduction_of(reduction)})
