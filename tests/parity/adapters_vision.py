"""Adapters of convolutions, pools, norms, borders and resampling of sequences, images and volumes."""
import numbers

from adapters import Call, expressible, images, pair


def sized(value, dims):
    """One number for each of the dimensions."""
    values = [value] * dims if isinstance(value, numbers.Number) else list(value)
    if len(values) == 1:
        values *= dims
    expressible(len(values) == dims, f"{len(values)} numbers for {dims} dimensions")
    return values


def spatial(x, dims):
    expressible(x.dim() == dims + 2, f"{x.dim()} dimensions")


def conv(dims):
    def adapt(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        spatial(input, dims)
        expressible(weight.dim() == dims + 2, f"filters of {weight.dim()} dimensions")
        expressible(not isinstance(padding, str), "padding by name")
        return Call(f"conv{dims}d", [input, weight, bias],
                    {"stride": sized(stride, dims), "padding": sized(padding, dims), "dilation": sized(dilation, dims),
                     "groups": groups}, (0, 1), True)
    return adapt


def conv_transpose(dims):
    def adapt(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        call = conv(dims)(input, weight, bias, stride, padding, dilation, groups)
        call.operation = f"conv_transpose{dims}d"
        call.options["output_padding"] = sized(output_padding, dims)
        return call
    return adapt


def pool(operation, dims, input, kernel_size, stride, padding, **more):
    spatial(input, dims)
    options = {"kernel_size": sized(kernel_size, dims), "padding": sized(padding, dims), **more}
    if stride is not None and stride != ():
        options["stride"] = sized(stride, dims)
    return Call(operation, [input], options, (0,), True)


def max_pool(dims):
    def adapt(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        expressible(not return_indices, "return_indices")
        return pool(f"max_pool{dims}d", dims, input, kernel_size, stride, padding, dilation=sized(dilation, dims),
                    ceil_mode=ceil_mode)
    return adapt


def avg_pool(dims):
    def adapt(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
              divisor_override=None):
        expressible(divisor_override is None, "divisor_override")
        return pool(f"avg_pool{dims}d", dims, input, kernel_size, stride, padding, ceil_mode=ceil_mode,
                    count_include_pad=count_include_pad)
    return adapt


def adaptive_avg_pool(dims):
    def adapt(input, output_size):
        spatial(input, dims)
        sizes = [size if wanted is None else wanted
                 for wanted, size in zip(sized(output_size, dims), input.shape[2:])]
        return Call(f"adaptive_avg_pool{dims}d", [input], {"size": sizes}, (0,), True)
    return adapt


def instance_norm(input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True,
                  momentum=0.1, eps=1e-5):
    expressible(running_mean is None and running_var is None and use_input_stats, "running statistics")
    return Call("instance_norm", [input, weight, bias], {"eps": eps}, (0,), True)


PAD_MODES = ("constant", "reflect", "replicate", "circular")  # in the order of karyon::PadMode
MODES = ("nearest", "bilinear", "linear", "trilinear", "bicubic", "nearest-exact", "area")  # of InterpolateMode


def pad(input, pad, mode="constant", value=None):
    expressible(mode in PAD_MODES, f"the mode {mode}")
    expressible(len(pad) % 2 == 0 and len(pad) <= 2 * input.dim(), "borders of more dimensions")
    expressible(mode == "constant" or input.dim() > 2, "images of two dimensions")
    # Pairs for the last dimension first; Karyon's dimension 1 is the last.
    borders = [[0, 0] for _ in range(input.dim() - len(pad) // 2)]
    borders += [list(pad[i:i + 2]) for i in range(len(pad) - 2, -1, -2)]
    if input.dim() > 2:
        borders.append(borders.pop(1))
    return Call("pad", [input], {"borders": [n for border in borders for n in border], "mode": PAD_MODES.index(mode),
                                 "value": 0 if value is None else float(value)}, (0,), True)


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None,
                recompute_scale_factor=None, antialias=False):
    expressible(3 <= input.dim() <= 5, f"images of {input.dim()} dimensions")
    expressible(mode in MODES, f"the mode {mode}")
    expressible(size is not None and scale_factor is None, "a scale factor in place of a size")
    options = {"size": sized(size, input.dim() - 2), "mode": MODES.index(mode), "align_corners": bool(align_corners),
               "antialias": antialias}
    return Call("interpolate", [input], options, (0,), True)


def pixel_shuffle(operation):
    def adapt(input, upscale_factor=None, downscale_factor=None):
        images(input)
        factor = downscale_factor if upscale_factor is None else upscale_factor
        return Call(operation, [input], {"factor": factor}, (0,), True)
    return adapt


def channel_shuffle(input, groups):
    expressible(input.dim() > 2, "images of two dimensions")
    return Call("channel_shuffle", [input], {"groups": groups}, (0,), True)


def windows(kernel_size, dilation, padding, stride):
    return {"kernel_size": pair(kernel_size), "dilation": pair(dilation), "padding": pair(padding),
            "stride": pair(stride)}


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    images(input)
    return Call("unfold", [input], windows(kernel_size, dilation, padding, stride), (0,), True)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    expressible(input.dim() == 3, f"windows of {input.dim()} dimensions")
    return Call("fold", [input], {"size": pair(output_size), **windows(kernel_size, dilation, padding, stride)}, (0,),
                True)


GRID_MODES = ("bilinear", "nearest")  # in the order of karyon::GridSampleMode
GRID_PADDINGS = ("zeros", "border", "reflection")  # of karyon::GridPadding


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    expressible(input.dim() in (4, 5), f"images of {input.dim()} dimensions")
    expressible(mode in GRID_MODES, f"the mode {mode}")
    return Call("grid_sample", [input, grid],
                {"mode": GRID_MODES.index(mode), "padding": GRID_PADDINGS.index(padding_mode),
                 "align_corners": bool(align_corners)}, (0,), True)


def affine_grid(theta, size, align_corners=None):
    return Call("affine_grid", [theta], {"size": list(size[2:]), "align_corners": bool(align_corners)})
