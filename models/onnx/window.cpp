#include <algorithm>

#include <karyon/models/onnx/window.h>

namespace karyon::onnx {

Window::Window(const Node& node, std::vector<std::int64_t> kernel_size, const Shape& image)
    : kernel(std::move(kernel_size)), ceil(node.integer("ceil_mode", 0) != 0) {
  const std::size_t n = kernel.size();
  check(n >= 1 && image.dims() == static_cast<int>(n) + 2, "a window of ", n,
        " dimensions does not fit images of ", image.dims() - 2);
  stride = node.integers("strides", std::vector<std::int64_t>(n, 1));
  dilation = node.integers("dilations", std::vector<std::int64_t>(n, 1));
  const std::vector<std::int64_t> pads = node.integers("pads", std::vector<std::int64_t>(2 * n, 0));
  check(stride.size() == n && dilation.size() == n && pads.size() == 2 * n,
        "expects strides, dilations and pads of ", n, " dimensions");
  constexpr std::int64_t most = std::int64_t{1} << 31;
  for (const auto* numbers : {&kernel, &stride, &dilation})
    for (const std::int64_t v : *numbers) check(v >= 1 && v < most, "a kernel, stride or dilation of ", v);
  for (const std::int64_t v : pads) check(v >= 0 && v < most, "a padding of ", v);
  before.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(n));
  after.assign(pads.begin() + static_cast<std::ptrdiff_t>(n), pads.end());
  const std::string mode = node.text_of("auto_pad", "NOTSET");
  if (mode == "VALID") {
    before.assign(n, 0);
    after.assign(n, 0);
  }
  for (std::size_t d = 0; d < n && mode.starts_with("SAME"); ++d) {
    const std::int64_t size = image[static_cast<int>(d) + 1], wanted = (size + stride[d] - 1) / stride[d];
    const std::int64_t total = std::max<std::int64_t>((wanted - 1) * stride[d] + reach(d) - size, 0);
    before[d] = mode == "SAME_LOWER" ? total - total / 2 : total / 2;
    after[d] = total - before[d];
  }
}

std::int64_t Window::positions(std::size_t d, std::int64_t size) const {
  const std::int64_t room = size + before[d] + after[d] - reach(d);
  check(room >= 0, "a window of ", reach(d), " does not fit a size of ", size, " with its borders");
  if (!ceil) return room / stride[d] + 1;
  std::int64_t count = (room + stride[d] - 1) / stride[d] + 1;
  if ((count - 1) * stride[d] >= size + before[d]) --count;  // a window begins inside
  return count;
}

std::string window_refuses(const Node& node, const Facts& facts) {
  const std::string mode = node.text_of("auto_pad", "NOTSET");
  if (mode != "NOTSET" && mode != "VALID" && !mode.starts_with("SAME")) return "with auto_pad " + mode;
  const int dims = dims_of(facts, node, 0);
  return dims > 5 ? "of " + std::to_string(dims - 2) + "-D images" : "";
}

}  // namespace karyon::onnx
