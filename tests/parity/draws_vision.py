"""Random calls of convolutions, pools, norms, borders and resampling of sequences, images and volumes."""
import math


def numbers(d, dims, low, high, *mistakes):
    """One number for all dimensions, or one for each."""
    one = d.between(low, high)
    value = one if d.chance(0.5) else tuple(d.between(low, high) for _ in range(dims))
    return d.wrong(value, *mistakes) if mistakes else value


def filters(d, dims):
    groups = d.one_of(1, 1, 1, 2, 3)
    inner, outer = d.one_of(1, 2, 3, 8, 16, 17), d.one_of(1, 2, 3, 8, 16)
    kernel = d.one_of([3] * dims, [1] * dims, [d.between(1, 4) for _ in range(dims)])
    size = [d.between(0, 2), groups * inner] + [d.between(0, 17 if dims == 1 else 7) for _ in range(dims)]
    options = {"stride": numbers(d, dims, 1, 3, 0, -1), "padding": numbers(d, dims, 0, 3, -1),
               "dilation": numbers(d, dims, 1, 2, 0), "groups": d.wrong(groups, 0, groups + 1, -1)}
    if d.chance(0.3):
        options.update(stride=1, dilation=1)
    return groups, inner, outer, kernel, size, options


def conv(dims):
    def draw(d):
        groups, inner, outer, kernel, size, options = filters(d, dims)
        weight = [groups * outer, d.wrong(inner, inner + 1)] + kernel
        return (d.tensor(size, special=0.05), d.tensor(weight, special=0.02), d.parameter([weight[0]])), options
    return draw


def conv_transpose(dims):
    def draw(d):
        groups, inner, outer, kernel, size, options = filters(d, dims)
        weight = [d.wrong(groups * inner, groups * inner + 1), outer] + kernel
        options["output_padding"] = numbers(d, dims, 0, 1)
        return (d.tensor(size, special=0.05), d.tensor(weight, special=0.02), d.parameter([groups * outer])), options
    return draw


def pool(d, dims, **more):
    kernel = tuple(d.between(1, 4) for _ in range(dims))
    options = {"kernel_size": kernel[0] if d.chance(0.3) else kernel}
    if d.chance(0.6):
        options["stride"] = numbers(d, dims, 1, 3, 0)
    if d.chance(0.5):
        options["padding"] = numbers(d, dims, 0, min(kernel) // 2, 3, -1)
    options["ceil_mode"] = d.chance(0.4)
    shape = [d.between(0, 2), d.one_of(1, 2, 3, 8, 17)] + [d.between(0, 12 if dims < 3 else 7) for _ in range(dims)]
    return (d.tensor(shape),), {**options, **more}


def max_pool(dims):
    return lambda d: pool(d, dims, dilation=numbers(d, dims, 1, 2, 0)) if d.chance(0.3) else pool(d, dims)


def avg_pool(dims):
    return lambda d: pool(d, dims, count_include_pad=d.chance(0.5))


def adaptive_avg_pool(dims):
    def draw(d):
        shape = [d.between(0, 2), d.one_of(1, 2, 3, 8, 17)]
        shape += [d.between(0, 12 if dims < 3 else 7) for _ in range(dims)]
        return (d.tensor(shape), numbers(d, dims, 1, 9 if dims < 3 else 5, 0, -1)), {}
    return draw


def instance_norm(d):
    shape = [d.between(0, 2), d.size(1, 17)] + [d.size(0, 9) for _ in range(d.between(1, 3))]
    return (d.tensor(shape, special=0.1), None, None, d.parameter([shape[1]]), d.parameter([shape[1]])), {}


def some_images(d, dims, least=0):
    most = (33, 12, 7)[dims - 1]
    return [d.between(0, 2), d.one_of(1, 2, 3, 8, 17)] + [d.between(least, most) for _ in range(dims)]


def pad(d):
    mode = d.one_of("constant", "reflect", "replicate", "circular")
    dims = d.between(1, 3)
    shape = some_images(d, dims)
    padded = d.between(1, dims + 2) if mode == "constant" else dims
    most = 3 if d.chance(0.9) else 9
    border = [d.between(-1 if d.chance(0.01) else 0, most) for _ in range(2 * padded)]
    options = {"mode": mode, "value": d.one_of(0, 1, -2)} if mode == "constant" else {"mode": mode}
    return (d.tensor(shape), border), options


def interpolate(d):
    dims = d.between(1, 3)
    smooth = {1: ("linear",), 2: ("bilinear", "bicubic"), 3: ("trilinear",)}[dims]
    options = {"mode": d.one_of("nearest", "nearest-exact", "area", *smooth, *smooth)}
    if options["mode"] in smooth:
        options["align_corners"] = d.chance(0.5)
        if dims == 2 and d.chance(0.4):
            options["antialias"] = True
    size = [d.between(1, (40, 20, 9)[dims - 1]) for _ in range(dims)]
    size[0] = d.wrong(size[0], 0)
    return (d.tensor(some_images(d, dims)), size[0] if dims == 1 else size), options


# PyTorch's gradients of pixel_shuffle, and pixel_unshuffle itself, have wrong shapes where there are no elements.
def pixel_shuffle(d):
    factor = d.between(1, 3)
    shape = [d.between(1, 2), d.between(1, 5) * d.wrong(factor**2, 2), d.between(1, 7), d.between(1, 7)]
    return (d.tensor(shape), d.wrong(factor, -1)), {}


def pixel_unshuffle(d):
    factor = d.between(1, 3)
    shape = [d.between(1, 2), d.between(1, 5), d.wrong(factor, 2) * d.between(1, 4), factor * d.between(1, 4)]
    return (d.tensor(shape), d.wrong(factor, -1)), {}


def channel_shuffle(d):
    groups = d.between(1, 4)
    shape = [d.between(1, 2), d.wrong(groups, groups + 1) * d.between(1, 5)]
    return (d.tensor(shape + [d.between(1, 7) for _ in range(d.between(1, 3))]), d.wrong(groups, 0)), {}


def windows(d):
    return {"kernel_size": numbers(d, 2, 1, 4, 0), "dilation": numbers(d, 2, 1, 2, 0),
            "padding": numbers(d, 2, 0, 2, -1), "stride": numbers(d, 2, 1, 3, 0)}


def unfold(d):
    return (d.tensor(some_images(d, 2)),), windows(d)


def fold(d):
    options = windows(d)
    size = [d.between(1, 12), d.between(1, 12)]
    both = {name: (value, value) if isinstance(value, int) else value for name, value in options.items()}
    count = 1
    for i in range(2):
        reach = both["dilation"][i] * (both["kernel_size"][i] - 1) + 1
        count *= max((size[i] + 2 * both["padding"][i] - reach) // max(both["stride"][i], 1) + 1, 0)
    taps = math.prod(both["kernel_size"])
    shape = [d.between(0, 2), d.one_of(1, 2, 5) * d.wrong(max(taps, 1), 3), d.wrong(count, count + 1)]
    return (d.tensor(shape), size), options


def grid_sample(d):
    dims = d.between(2, 3)
    x = some_images(d, dims, 0 if d.chance(0.05) else 1)
    # Infinity and NaN in a grid make PyTorch read beyond its arrays.
    grid = d.tensor([x[0]] + [d.between(0, 6) for _ in range(dims)] + [d.wrong(dims, dims + 1)], special=0)
    options = {"mode": d.one_of("bilinear", "nearest"), "padding_mode": d.one_of("zeros", "border", "reflection"),
               "align_corners": d.chance(0.5)}
    return (d.tensor(x, special=0.05), grid), options


def affine_grid(d):
    dims = d.between(2, 3)
    size = [d.between(1, 3), d.between(1, 3)] + [d.between(1, 7) for _ in range(dims)]
    return (d.tensor([size[0], dims, d.wrong(dims + 1, dims)], special=0.05), size), {"align_corners": d.chance(0.5)}
