"""Adapters of attention and of tables."""
import torch

from adapters import Call, expressible, number


def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
                                 enable_gqa=False):
    expressible(dropout_p == 0, "random results")
    options = {"is_causal": is_causal, "enable_gqa": enable_gqa}
    if scale is not None:
        options["scale"] = number(scale)
    return Call("scaled_dot_product_attention", [query, key, value, attn_mask], options)


def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    expressible(max_norm is None, "max_norm")
    expressible(not scale_grad_by_freq and not sparse, "scale_grad_by_freq and sparse gradients")
    return Call("embedding", [input, weight], {} if padding_idx is None else {"padding_idx": padding_idx})


def one_hot(input, num_classes=-1):
    return Call("one_hot", [input], {"num_classes": num_classes})


def rms_norm(input, normalized_shape, weight=None, eps=None):
    if eps is None:
        eps = torch.finfo(torch.float64 if input.dtype == torch.float64 else torch.float32).eps
    return Call("rms_norm", [input, weight], {"normalized_shape": list(normalized_shape), "eps": number(eps)})
