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

}  // namespace karyon::cpu
