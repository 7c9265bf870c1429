"""Runs calls in PyTorch and judges what Karyon made of them.

A value is right if it is near PyTorch's own, or near what PyTorch makes of the same inputs in f64: an error of
PyTorch's rounding is not one of Karyon's. How near is in proportion to what Operator.forward and .backward name:

  f64   1e-11  a few thousand roundings of 2^-53
  f32   3e-6   some fifty roundings of 2^-24: sums of some hundred values, exponentials of 2 units in the last place
  bf16  2^-7   a rounding of the input of a formula, and one of its result, of 2^-8 each
  f16   2^-10  likewise, of 2^-11 each

NaN and infinities have to be in the same places. Dtypes and shapes have to be the same.
"""
import dataclasses
import inspect
import zlib

import torch
from torch.utils import _pytree as pytree

import adapters

RELATIVE = {torch.float64: 1e-11, torch.float32: 3e-6, torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}


@dataclasses.dataclass
class Outcome:
    """What PyTorch made of a call: results and gradients, the latter by the place of the tensor in the arguments."""
    results: list = dataclasses.field(default_factory=list)
    grads: dict = dataclasses.field(default_factory=dict)
    seconds: dict = dataclasses.field(default_factory=dict)  # gradients of the gradients
    error: str = ""


@dataclasses.dataclass
class Problem:
    """One thing in which Karyon differs: `kind` is accepted, refused, failed, dtype, shape, value or missing."""
    kind: str
    place: str  # "result 0", "grad 1" or ""
    text: str
    got: torch.Tensor = None
    expected: torch.Tensor = None
    wrong: torch.Tensor = None  # where they differ


class Case:
    """A sample, its translation and PyTorch's outcome."""

    def __init__(self, sample, second=False):
        self.sample, self.operator, self.name = sample, sample.operator, sample.name
        flat, self.spec = pytree.tree_flatten((tuple(sample.args), sample.kwargs))
        self.flat = [fresh(x) for x in flat]
        args, kwargs = pytree.tree_unflatten(self.flat, self.spec)
        try:
            inspect.signature(self.operator.adapter).bind(*args, **kwargs)
        except TypeError as error:
            raise adapters.NotExpressible(str(error)) from None
        self.call = self.operator.adapter(*args, **kwargs)
        self.places = [next((i for i, y in enumerate(self.flat) if y is x), None) for x in self.call.inputs]
        self.upstreams, self.weights = None, {}
        self.second = second and smooth(self.flat)
        self.native = self.run()

    def run(self, double=False, positive=False):
        """PyTorch's outcome; in double precision, with absolute values of all inputs."""
        leaves = [fresh(x, double, positive) for x in self.flat]
        args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        outcome = Outcome()
        try:
            results = self.operator.function(*args, **kwargs)
            results = list(results) if isinstance(results, (tuple, list)) else [results]
            if self.upstreams is None:
                generator = torch.Generator().manual_seed(zlib.crc32(self.name.encode()))
                self.upstreams = [torch.randn(y.shape, generator=generator).to(y.dtype) if y.requires_grad else None
                                  for y in results]
            outcome.grads, outcome.seconds = self.gradients(results, leaves, positive)
            outcome.results = [y.detach() for y in results]
        except Exception as error:  # PyTorch's errors have many types
            outcome.error = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return outcome

    def gradients(self, results, leaves, positive):
        wanted = {i: x for i, x in enumerate(leaves) if isinstance(x, torch.Tensor) and x.requires_grad}
        followed = [(y, dy) for y, dy in zip(results, self.upstreams) if dy is not None]
        if not wanted or not followed:
            return {}, {}
        upstreams = [(dy.abs() if positive else dy).to(y.dtype) for y, dy in followed]
        second = self.second and not positive and set(wanted) <= set(self.places)
        grads = torch.autograd.grad([y for y, _ in followed], list(wanted.values()), upstreams, allow_unused=True,
                                    create_graph=second)
        found = {i: dx for i, dx in zip(wanted, grads) if dx is not None}
        seconds = self.second_gradients(found, wanted) if second else {}
        return {i: dx.detach() for i, dx in found.items()}, seconds

    def second_gradients(self, grads, wanted):
        """Those of the gradients, where they are finite and PyTorch has them."""
        if not all(dx.isfinite().all() for dx in grads.values()):
            return {}
        if not self.weights:
            generator = torch.Generator().manual_seed(zlib.crc32(self.name.encode()) + 1)
            self.weights = {i: torch.randn(dx.shape, generator=generator, dtype=dx.dtype) for i, dx in grads.items()}
        followed = [i for i, dx in grads.items() if dx.requires_grad]
        if not followed:
            return {}
        try:
            found = torch.autograd.grad([grads[i] for i in followed], list(wanted.values()),
                                        [self.weights[i] for i in followed], allow_unused=True)
        except RuntimeError:  # not implemented
            return {}
        found = {i: torch.zeros_like(wanted[i]) if dx is None else dx for i, dx in zip(wanted, found)}
        return found if all(dx.isfinite().all() for dx in found.values()) else {}

    def elements(self):
        return sum(x.numel() for x in self.call.inputs + self.native.results if x is not None)

    def write(self, tensors, metadata):
        """Adds the call to a file of calls."""
        call = self.call
        for i, x in enumerate(call.inputs):
            if x is not None:
                tensors[f"{self.name}.input.{i}"] = adapters.to_channels_last(x) if i in call.channels_last else x
        for i, dy in enumerate(self.upstreams or ()):
            if dy is not None:
                if call.result_channels_last:
                    dy = adapters.to_channels_last(dy)
                tensors[f"{self.name}.upstream.{i}"] = dy
        grad = [i for i, x in enumerate(call.inputs) if x is not None and x.requires_grad]
        options = {"inputs": len(call.inputs), "grad": grad, **call.options}
        for i, place in enumerate(self.places if self.native.seconds else ()):
            if place in self.weights:
                weight = self.weights[place]
                tensors[f"{self.name}.weight.{i}"] = (
                    adapters.to_channels_last(weight) if i in call.channels_last else weight)
        metadata[self.name] = " ".join([call.operation] + [f"{key}={as_text(value)}" for key, value in options.items()])

    def judge(self, tensors, state):
        """The problems of Karyon's answer."""
        if state.startswith("failed") or not state:
            return [Problem("failed", "", state or "no answer")]
        refused = state.startswith("refused")
        if refused or self.native.error:
            if refused and self.native.error:
                return []
            return [Problem("refused", "", state) if refused else Problem("accepted", "", self.native.error)]
        exact, bound = self.run(double=True), None
        if {self.operator.forward, self.operator.backward} & {"terms", "upstream"}:
            bound = self.bounds()
        problems = []
        for i, y in enumerate(self.native.results):
            got = tensors.get(f"{self.name}.result.{i}")
            if got is not None and self.call.result_channels_last:
                got = adapters.from_channels_last(got)
            allowed = self.allowance(self.operator.forward, exact.results, bound and bound.results, i, False)
            problems += compare(f"result {i}", got, y, part(exact.results, i), allowed, self.operator.loose)
        for i, place in enumerate(self.places):
            x = self.call.inputs[i]
            got = tensors.get(f"{self.name}.grad.{i}")
            expected = self.native.grads.get(place)
            if x is None or not x.requires_grad or (got is None and expected is None):
                continue
            if got is not None and i in self.call.channels_last:
                got = adapters.from_channels_last(got)
            allowed = self.allowance(self.operator.backward, exact.grads, bound and bound.grads, place, True)
            problems += compare(f"grad {i}", got, expected, part(exact.grads, place), allowed, self.operator.loose)
        return problems + self.judge_seconds(tensors)

    def judge_seconds(self, tensors):
        """Errors are in proportion to the largest value."""
        problems, seconds = [], self.native.seconds
        size = max([1.0] + [largest(x) for x in seconds.values()])
        for i, place in enumerate(self.places):
            if place in seconds:
                expected = seconds[place]
                got = tensors.get(f"{self.name}.second.{i}")
                if got is not None and i in self.call.channels_last:
                    got = adapters.from_channels_last(got)
                got = torch.zeros_like(expected) if got is None else got
                problems += compare(f"second {i}", got, expected, None, size, {torch.float64: 1e-8})
        return problems

    def bounds(self):
        """Sums of magnitudes, for errors in proportion to what was added up."""
        if "upstream" == self.operator.backward and self.operator.forward != "terms":
            return self.run_upstream()
        return self.run(double=True, positive=True)

    def run_upstream(self):
        kept = self.upstreams
        self.upstreams = [None if dy is None else dy.abs() for dy in kept]
        outcome = self.run(double=True)
        self.upstreams = kept
        return outcome

    def allowance(self, kind, exact, bound, key, backward):
        """What errors are in proportion to, beside the value: a tensor, a number or None for no error at all."""
        if kind == "exact":
            return None
        if kind in ("terms", "upstream"):
            return part(bound, key)
        if kind == "scale":
            gain = self.operator.gain(self.call)
            sources = [dy for dy in self.upstreams if dy is not None] if backward else \
                [x for x in self.call.inputs[:1] if x is not None]
            sizes = [norm(x) if backward else largest(x) for x in sources]
            return max([gain * size for size in sizes] + [largest(part(exact, key))])
        if kind == "slope" and exact is not None and self.upstreams[0] is not None:
            return self.upstreams[0].abs()
        return 0.0


def part(values, key):
    if isinstance(values, dict):
        return values.get(key)
    return values[key] if values is not None and key is not None and key < len(values) else None


def fresh(x, double=False, positive=False):
    """A copy that is a leaf of its own."""
    if not isinstance(x, torch.Tensor):
        return x
    y = x.detach().clone()
    if y.dtype.is_floating_point:
        y = y.abs() if positive else y
        y = y.double() if double else y
        y.requires_grad_(x.requires_grad)
    return y


def smooth(flat):
    """Whether all numbers are finite and the floating ones are f64."""
    tensors = [x for x in flat if isinstance(x, torch.Tensor) and x.dtype.is_floating_point]
    return all(x.dtype == torch.float64 and x.isfinite().all() for x in tensors)


def finite(x):
    return torch.nan_to_num(x.detach().double(), 0, 0, 0)


def largest(x):
    return finite(x).abs().max().item() if x is not None and x.numel() else 0.0


def norm(x):
    return finite(x).norm().item()


def as_text(value):
    if isinstance(value, (list, tuple)):
        return ",".join(as_text(one) for one in value)
    return str(int(value)) if isinstance(value, (bool, int)) else repr(float(value))


def compare(place, got, expected, exact, allowed, loose):
    if got is None or expected is None:
        return [Problem("missing", place, f"{'Karyon' if got is None else 'PyTorch'} has none", got, expected)]
    problems = []
    if got.dtype != expected.dtype:
        problems.append(Problem("dtype", place, f"{got.dtype}, expected {expected.dtype}", got, expected))
    if got.shape != expected.shape:
        text = f"{list(got.shape)}, expected {list(expected.shape)}"
        return problems + [Problem("shape", place, text, got, expected)]
    wrong = ~near(got, expected, allowed, loose)
    if exact is not None and exact.shape == got.shape:
        wrong &= ~near(got, overflowed(exact, got.dtype), allowed, loose)
    if wrong.any():
        at = tuple(int(i) for i in wrong.nonzero()[0])
        text = (f"{int(wrong.sum())} of {wrong.numel()}: {got[at].item()!r} at {list(at)}, "
                f"expected {expected[at].item()!r}")
        problems.append(Problem("value", place, text, got, expected, wrong))
    return problems


def overflowed(exact, dtype):
    """Values in f64, but infinite where the dtype does not hold them."""
    rounded = exact.to(dtype)
    return torch.where(rounded.isinf(), rounded.double(), exact) if dtype.is_floating_point else exact


def near(got, expected, allowed, loose):
    """Where two tensors agree."""
    if not got.dtype.is_floating_point and not expected.dtype.is_floating_point:
        return got == expected
    relative = loose.get(got.dtype, RELATIVE.get(got.dtype, 0))
    tiny = torch.finfo(got.dtype).tiny if got.dtype.is_floating_point else 0
    got, expected = got.double(), expected.double()
    same = (got == expected) | (got.isnan() & expected.isnan())
    if allowed is None:
        return same
    allowed = finite(allowed).abs() if isinstance(allowed, torch.Tensor) else allowed
    size = torch.maximum(finite(expected).abs(), torch.as_tensor(allowed, dtype=torch.float64))
    return same | ((got - expected).abs() <= relative * size + tiny)
