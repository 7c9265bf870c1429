"""Where calls come from: the samples of PyTorch's own tests (OpInfo), and random ones."""
import dataclasses
import random
import zlib

import torch

import adapters
import draws
from operators import Operator

DTYPE_NAMES = {torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16", torch.int64: "i64",
               torch.uint8: "u8", torch.bool: "bool", torch.float16: "f16", torch.int32: "i32"}


@dataclasses.dataclass
class Sample:
    """A call of operator.function(*args, **kwargs). Its name has all that is needed to make it again."""
    name: str
    operator: Operator
    args: tuple
    kwargs: dict


def random_samples(operator, seed, count, second=False):
    """The dtypes take turns, the floating ones more often. Gradients of gradients are compared in f64."""
    dtypes = [torch.float64] if second else [torch.float32, torch.float64, torch.bfloat16, torch.float32, *DTYPE_NAMES]
    for index in range(count):
        dtype = dtypes[index % len(dtypes)]
        name = f"{operator.name}/random/{DTYPE_NAMES[dtype]}/{index}"
        args, kwargs = operator.draw(draws.Draw(f"{seed}/{name}", dtype))
        yield Sample(name, operator, args, kwargs)


def opinfo_samples(operator, seed, most):
    """What torch.testing has for this function: at most so many samples of each dtype and kind, chosen at random."""
    infos = opinfos()
    for opinfo in operator.opinfo:
        for kind, make in kinds(infos[opinfo]) if opinfo in infos else ():
            stem = f"{operator.name}/{opinfo}/{kind}"
            torch.manual_seed(zlib.crc32(f"{seed}/{stem}".encode()))
            made = list(enumerate(make()))
            if len(made) > most:
                made = sorted(random.Random(f"{seed}/{stem}").sample(made, most), key=lambda one: one[0])
            for index, sample in made:
                yield Sample(f"{stem}/{index}", operator, (sample.input, *sample.args), dict(sample.kwargs))


def opinfos():
    from torch.testing._internal.common_methods_invocations import op_db
    return {info.full_name: info for info in op_db}


def kinds(info):
    """For each kind of samples its name and a function that makes them."""
    for dtype in adapters.DTYPES:
        if dtype in info.supported_dtypes("cpu"):
            grad = info.supports_autograd and dtype.is_floating_point
            yield DTYPE_NAMES[dtype], lambda dtype=dtype, grad=grad: inputs(info, dtype, grad)
    if info.error_inputs_func is not None:
        yield "errors", lambda: [error.sample_input for error in info.error_inputs("cpu")]


def inputs(info, dtype, grad):
    try:
        return list(info.reference_inputs("cpu", dtype, requires_grad=grad))
    except (ValueError, RuntimeError):  # some have whole numbers among them, to promote, and cannot give them gradients
        return list(info.sample_inputs("cpu", dtype, requires_grad=grad))
