#pragma once
#include <karyon/core/autocast.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/tensor.h>
#include <karyon/core/triple.h>

// Private: the checks that convolutions of 1, 2 and 3 dimensions share.
namespace karyon::convolution {

/// Whether all of them are `least` or more.
inline bool at_least(std::int64_t value, std::int64_t least) { return value >= least; }
inline bool at_least(Pair p, std::int64_t least) { return p.h >= least && p.w >= least; }
inline bool at_least(const Triple& t, std::int64_t least) {
  return t.d >= least && t.h >= least && t.w >= least;
}

/// "[N, H, W, C]" of so many dimensions.
inline const char* image_shape(int dims) {
  return dims == 3 ? "[N, L, C]" : dims == 4 ? "[N, H, W, C]" : "[N, D, H, W, C]";
}

inline void check_dtypes(const char* op, const Tensor& x, const Tensor& weight) {
  check_computed(op, x);
  check(
      x.dtype() == weight.dtype(), op, ": x is ", x.dtype(), " but weight is ", weight.dtype(),
      mixed(x, weight) && weight.dtype() != f16 ? "; cast one of them, or both by AutocastGuard(bf16)" : "");
}

/// A bias or scale [channels].
inline void check_per_channel(const char* op, const char* what, const Tensor& p, std::int64_t channels,
                              DType x) {
  if (!p.defined()) return;
  const DType dtype = parameter_dtype(x);
  check(p.shape() == Shape{channels} && p.dtype() == dtype, op, ": expects ", what, " ", dtype, " [",
        channels, "]", dtype == x ? "" : " beside bf16", ", got ", p.dtype(), " ", p.shape());
}

/// What both directions check: x and weight of `dims` dimensions. Sizes is std::int64_t, Pair or Triple.
template <class Sizes>
void check_arguments(const char* op, int dims, const Tensor& x, const Tensor& weight, const Tensor& bias,
                     std::int64_t out_channels, std::int64_t groups, const Sizes& stride,
                     const Sizes& padding, const Sizes& dilation) {
  check(x.dim() == dims, op, ": expects x ", image_shape(dims), ", got ", x.shape());
  check(weight.dim() == dims, op, ": expects a weight of ", dims, " dimensions, got ", weight.shape());
  for (int d = 1; d < dims - 1; ++d)
    check(weight.size(d) >= 1, op, ": the kernel of weight ", weight.shape(), " is empty");
  check_dtypes(op, x, weight);
  check(groups >= 1, op, ": expects groups >= 1, got ", groups);
  check(at_least(stride, 1), op, ": expects stride >= 1, got ", stride);
  check(at_least(dilation, 1), op, ": expects dilation >= 1, got ", dilation);
  check(at_least(padding, 0), op, ": expects padding >= 0, got ", padding);
  check_per_channel(op, "bias", bias, out_channels, x.dtype());
}

/// The channels of a convolution's x: those of weight [K, ..., C / groups] in all groups.
inline void check_channels(const char* op, const Tensor& x, const Tensor& weight, std::int64_t groups) {
  const std::int64_t channels = checked_mul(weight.size(-1), groups, op), k = weight.size(0);
  check(channels == x.size(-1) && x.size(-1) >= 1, op, ": weight ", weight.shape(), " with groups ", groups,
        " expects ", channels, " input channels, x ", x.shape(), " has ", x.size(-1));
  check(k >= 1 && k % groups == 0, op, ": ", k, " output channels do not divide into ", groups, " groups");
}

/// The output channels of a transposed convolution with weight [C, ..., K / groups]; 0 for a weight of other
/// dimensions, which check_arguments refuses.
inline std::int64_t transposed_channels(const char* op, int dims, const Tensor& weight, std::int64_t groups) {
  return weight.defined() && weight.dim() == dims ? checked_mul(weight.size(-1), groups, op) : 0;
}
inline void check_transposed_channels(const char* op, const Tensor& x, const Tensor& weight, std::int64_t k,
                                      std::int64_t groups) {
  check(weight.size(0) == x.size(-1) && x.size(-1) >= 1, op, ": weight ", weight.shape(), " expects ",
        weight.size(0), " input channels, x ", x.shape(), " has ", x.size(-1));
  check(k >= 1 && x.size(-1) % groups == 0, op, ": ", x.size(-1), " input channels do not divide into ",
        groups, " groups");
}

/// Whether the output_padding of one dimension tells outputs apart that a stride or a dilation leaves open.
inline bool output_padding_fits(std::int64_t padding, std::int64_t stride, std::int64_t dilation) {
  return padding >= 0 && (padding < stride || padding < dilation);
}

/// The outputs of a transposed convolution along one dimension, (size - 1) stride + dilation (kernel - 1) +
/// extra + 1 - 2 padding, which may be negative.
inline std::int64_t transposed_size(const char* op, std::int64_t size, std::int64_t stride,
                                    std::int64_t kernel, std::int64_t dilation, std::int64_t extra,
                                    std::int64_t padding) {
  const std::int64_t spread = checked_mul(size - 1, stride, op),
                     reach = checked_mul(kernel - 1, dilation, op);
  const std::int64_t padded = checked_add(checked_add(spread, reach, op), checked_add(extra, 1, op), op);
  return checked_add(padded, -checked_mul(padding, 2, op), op);
}

}  // namespace karyon::convolution
