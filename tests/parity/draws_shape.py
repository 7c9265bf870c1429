"""Random calls, as draws.py has them, of operations on shapes, of factories and of products by many names."""
import math

import torch

import draws


def squeeze(d):
    shape = [d.one_of(1, 1, d.size()) for _ in range(d.between(0, 5))]
    dims = d.random.sample(range(len(shape)), d.between(0, len(shape)))
    dim = d.one_of(tuple(d.wrong(dims, dims + [5], dims + dims[:1])), d.dim(len(shape)))
    return (d.tensor(shape),) if d.chance(0.3) else (d.tensor(shape), dim), {}


def unsqueeze(d):
    shape = d.shape()
    return (d.tensor(shape), d.dim(len(shape) + 1)), {}


def with_dim(d):
    shape = d.shape()
    return (d.tensor(shape), d.dim(len(shape))), {}


def flatten(d):
    shape = d.shape()
    first, last = (d.dim(len(shape)), d.dim(len(shape)))
    return (d.tensor(shape), first, d.one_of(last, -1)), {}


def unflatten(d):
    shape = d.shape(d.between(1, 4))
    dim = d.between(-len(shape), len(shape) - 1)
    (_, sizes), _ = draws.reshape(d)
    if d.chance(0.8):
        shape[dim] = abs(math.prod(sizes))
    return (d.tensor(shape), d.wrong(dim, len(shape)), sizes), {}


def movedim(d):
    shape = d.shape()
    count = d.between(0, len(shape))
    source, target = (d.random.sample(range(len(shape)), count) for _ in range(2))
    source = [dim - len(shape) if d.chance(0.3) else dim for dim in source]
    return (d.tensor(shape), tuple(d.wrong(source, source[1:], source + source[:1])), tuple(target)), {}


def expand(d):
    shape = d.shape(elements=500)
    wanted = [-1 if d.chance(0.1) else size for size in shape]
    if d.chance(0.3):
        wanted = [d.wrong(d.between(0, 3), -1 if math.prod(shape) else 0)] + wanted
    return (d.tensor(d.broadcast(shape)), wanted), {}


def expand_as(d):
    (x, wanted), _ = expand(d)
    return (x, torch.zeros([max(size, 0) for size in wanted])), {}


def repeat(d):
    shape = d.shape(d.between(0, 4), 100)
    repeats = [d.one_of(1, 2, 3, 0) for _ in range(len(shape) + d.one_of(0, 0, 1, 2))]
    return (d.tensor(shape), d.wrong(repeats, repeats[1:], repeats + [-1 if math.prod(shape + repeats) else 0])), {}


def repeat_interleave(d):
    shape = d.shape(d.between(1, 4), 500)
    dim = d.one_of(None, d.dim(len(shape)))
    size = math.prod(shape) if dim is None else shape[dim] if -len(shape) <= dim < len(shape) else 1
    counts = torch.randint(0, 4, [d.wrong(size, size + 1)], generator=d.generator)
    return (d.tensor(shape), d.one_of(d.wrong(d.between(0, 4), -1), counts), dim), {}


def meshgrid(d):
    vectors = [d.tensor(d.wrong([d.size(most=9)], [], [2, 2])) for _ in range(d.between(1, 4))]
    return tuple(vectors), {"indexing": d.one_of("ij", "xy")}


def flip(d):
    shape = d.shape()
    dims = d.random.sample(range(len(shape)), d.between(0, len(shape)))
    dims = [dim - len(shape) if d.chance(0.3) else dim for dim in dims]
    return (d.tensor(shape), d.wrong(dims, dims + dims[:1], dims + [len(shape)])), {}


def roll(d):
    shape = d.shape()
    if d.chance(0.2):
        return (d.tensor(shape), d.between(-40, 40)), {}
    dims = [d.dim(len(shape)) for _ in range(d.between(1, 3))]
    shifts = [d.between(-40, 40) for _ in d.wrong(dims, dims + [0])]
    return (d.tensor(shape), tuple(shifts), tuple(dims)), {}


def triangle(d):
    return (d.tensor(d.shape(d.wrong(d.between(2, 4), 1))), d.between(-9, 9)), {}


def diagonal(d):
    shape = d.shape(d.between(2, 4))
    first, second = d.random.sample(range(len(shape)), 2)
    return (d.tensor(shape), d.between(-9, 9), first, d.wrong(second - len(shape), first, len(shape))), {}


def chunk(d):
    shape = d.shape(d.between(1, 4))
    return (d.tensor(shape), d.wrong(d.between(1, 7), 0, -1), d.dim(len(shape))), {}


def stacked(d):
    shape = d.shape(d.between(0, 3), 300)
    return ([d.tensor(shape if d.chance(0.9) else d.shape(len(shape), 300)) for _ in range(d.between(1, 4))],), {}


def arange(d):
    if d.chance(0.5):
        start, end, step = d.between(-40, 40), d.between(-40, 40), d.wrong(d.one_of(1, 2, 3, 7, -1, -2, -5), 0)
    else:
        start, end, step = d.random.uniform(-9, 9), d.random.uniform(-9, 9), d.one_of(0.5, 0.1, 1 / 3, -0.7, 3.0)
    return (start, end, step), {"dtype": d.one_of(None, d.dtype)}


def linspace(d):
    return (d.random.uniform(-9, 9), d.random.uniform(-9, 9), d.wrong(d.size(), -1)), {"dtype": d.one_of(None, d.dtype)}


def eye(d):
    return d.one_of((d.size(),), (d.size(), d.wrong(d.size(), -1))), {"dtype": d.one_of(None, d.dtype)}


def full_like(d):
    return (d.tensor(d.shape(), grad=0), d.between(0, 9)), {}


EQUATIONS = ("ij,jk->ik", "bij,bjk->bik", "ij,kj->ki", "i,i->", "i,j->ji", "ij,ij->ij", "ij,ij->j", "ijk,jil->kl",
             "ij->ji", "ij->", "ii->i", "ii", "iji->j", "ij,jk", "ba", "...ij->...ji", "...ij,...jk->...ik", "...i,i",
             "a...b,b...->...a", "i,ij,j->", "ij,jk,kl->li", "...,...->...", "ii,ij->j", "Ab,bA->A")


def einsum(d):
    """One size for each letter, seldom 1 or another; the ellipsis has 0 to 2 dimensions."""
    equation = d.wrong(d.one_of(*EQUATIONS), "ij,jk->iz", "i1->i", "ij->ii", "i..j->i", "ij")
    size = {letter: d.size(1, 9) for letter in equation if letter.isalpha()}
    rest = [d.size(1, 5) for _ in range(d.between(0, 2))]
    tensors = []
    for term in equation.split("->")[0].split(","):
        named = [size[letter] if letter.isalpha() else 0 for letter in term.replace("...", "0")]
        shape = [n for one in named for n in ([one] if one else d.broadcast(rest))]
        shape = [1 if d.chance(0.02) else n + d.wrong(0, 1) for n in shape]
        tensors.append(d.tensor(shape, special=0.05))
    return (tensors, equation), {}


def mm(d):
    m, k, n = d.size(), d.size(), d.size()
    return (d.tensor([m, k], special=0.1), d.tensor([d.wrong(k, k + 1), n], special=0.1)), {}


def bmm(d):
    b, m, k, n = d.between(0, 3), d.size(), d.size(), d.size()
    return (d.tensor([b, m, k], special=0.1), d.tensor([d.wrong(b, b + 1), d.wrong(k, k + 1), n], special=0.1)), {}


def mv(d):
    m, k = d.size(), d.size()
    return (d.tensor([m, k], special=0.1), d.tensor([d.wrong(k, k + 1)], special=0.1)), {}


def dot(d):
    k = d.size()
    return (d.tensor([k], special=0.1), d.tensor([d.wrong(k, k + 1)], special=0.1)), {}


def outer(d):
    return (d.tensor([d.size()], special=0.1), d.tensor(d.wrong([d.size()], [2, 2]), special=0.1)), {}


def add_product(matrices):
    def draw(d):
        (a, b), _ = matrices(d)
        x = d.tensor(d.broadcast(list(a.shape[:-1]) + [b.shape[-1]]), special=0.1)
        return (x, a, b), {"beta": d.one_of(1, 1, 2, 0), "alpha": d.one_of(1, 1, 3)}
    return draw
