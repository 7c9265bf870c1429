"""Random calls of attention and of tables."""
import math

import torch

import draws
from draws_index import indices_into


def scaled_dot_product_attention(d):
    queries, keys = d.size(1), d.size(1)
    size, value_size = d.size(1, 17), d.size(1, 17)
    batch = d.one_of([], [2], [d.between(1, 3), 2], [2, 1, 3])
    heads = d.chance(0.1) and len(batch) > 1
    few = batch[:-1] + [1] if heads else batch
    query = d.tensor(batch + [queries, size], special=0)
    key = d.tensor(few + [d.wrong(keys, keys + 1), d.wrong(size, size + 1)], special=0)
    value = d.tensor(few + [keys, value_size], special=0)
    options = {"is_causal": d.chance(0.3), "enable_gqa": heads}
    if not options["is_causal"] and d.chance(0.6) or d.chance(0.02):
        shape = d.broadcast(batch + [queries, keys])
        options["attn_mask"] = d.tensor(shape, d.one_of(torch.bool, d.dtype), special=0)
    if d.chance(0.3):
        options["scale"] = d.one_of(0.5, 1.0, 0.0, -1.0)
    return (query, key, value), options


def embedding(d):
    rows, size = d.size(1), d.size(0, 17)
    weight = d.tensor(d.wrong([rows, size], [rows]))
    padding = d.one_of({}, {"padding_idx": d.wrong(d.between(-rows, rows - 1), rows, -rows - 1)})
    return (indices_into(d, d.shape(elements=60), rows), weight), padding


def one_hot(d):
    classes = d.size(1, 17)
    x = d.wrong(indices_into(d, d.shape(elements=60), classes), d.tensor([3]))
    return (x,), d.one_of({}, {"num_classes": d.wrong(classes, -1, -2, 0)})


def rms_norm(d):
    (x, normalized, weight, _), _ = draws.layer_norm(d)
    return (x, normalized, weight), d.one_of({}, {"eps": d.one_of(1e-5, 0.1)})


def attention_gain(call):
    """Errors of scores are errors of the weights, in proportion to the scores."""
    query, key, value = (torch.nan_to_num(x.detach().double(), 0, 0, 0).abs() for x in call.inputs[:3])
    largest = [x.max().item() if x.numel() else 0.0 for x in (query, key, value)]
    scale = abs(call.options.get("scale", query.shape[-1] ** -0.5))
    score = largest[0] * largest[1] * query.shape[-1] * max(1.0, scale)
    return max(1.0, (1 + score) * max(1.0, math.prod(largest)))
