#pragma once
#include <vector>

#include <karyon/models/onnx/call.h>

namespace karyon::onnx {

/// A window that slides over images of any number of dimensions, as the attributes of convolutions and pools
/// say.
struct Window {
  std::vector<std::int64_t> kernel, stride, dilation, before, after;  // for each dimension of the image
  bool ceil = false;

  /// The attributes beside a kernel and an image of [N, ..., C].
  Window(const Node& node, std::vector<std::int64_t> kernel_size, const Shape& image);
  std::size_t dims() const { return kernel.size(); }
  std::int64_t reach(std::size_t d) const { return dilation[d] * (kernel[d] - 1) + 1; }
  std::int64_t positions(std::size_t d, std::int64_t size) const;
  bool symmetric() const { return before == after; }
};

/// Why convolutions and pools of this node cannot run, or "".
std::string window_refuses(const Node& node, const Facts& facts);

}  // namespace karyon::onnx
