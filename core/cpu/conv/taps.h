#pragma once
#include <cstdint>
#include <vector>

// Private to core/cpu/conv: where a filter reads, along one axis.
namespace karyon::cpu {

/// Filter position `index`, which reads the input at an offset from the output's position.
struct AxisTap {
  std::int64_t offset, index;
};

/// The taps of a convolution, by ascending offset.
std::vector<AxisTap> forward_taps(std::int64_t kernel, std::int64_t padding, std::int64_t dilation);

/// The taps through which the inputs at phase, phase + stride, ... meet outputs, by ascending offset: those
/// of the gradient in the input.
std::vector<AxisTap> phase_taps(std::int64_t phase, std::int64_t kernel, std::int64_t stride,
                                std::int64_t padding, std::int64_t dilation);

/// Neighbouring outputs that the same taps reach: where begin <= i < end, 0 <= i * step + tap.offset < in for
/// `taps` and no others.
struct Stretch {
  std::int64_t begin, end;
  std::vector<AxisTap> taps;
};
/// Outputs 0, ..., n - 1 cut into stretches.
std::vector<Stretch> stretches(const std::vector<AxisTap>& taps, std::int64_t step, std::int64_t in,
                               std::int64_t n);

/// Without the taps that no output reaches: all they would read is beyond the input.
std::vector<AxisTap> reached(std::vector<AxisTap> taps, std::int64_t step, std::int64_t in, std::int64_t n);

/// The share of the pairs of an output and a tap in which the tap reads inside the input.
double share_inside(const std::vector<AxisTap>& taps, std::int64_t step, std::int64_t in, std::int64_t n);

}  // namespace karyon::cpu
