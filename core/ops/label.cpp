#include <karyon/core/ops/label.h>

namespace karyon {
namespace {

// Gives the component of the pixel `first` its number; `open` is room for pixels whose neighbours wait.
void fill_component(const bool* inside, std::int64_t* labels, std::int64_t first, std::int64_t number,
                    Pair size, int connectivity, std::vector<std::int64_t>& open) {
  labels[first] = number;
  open.push_back(first);
  while (!open.empty()) {
    const std::int64_t y = open.back() / size.w, x = open.back() % size.w;
    open.pop_back();
    for (std::int64_t i = std::max<std::int64_t>(y - 1, 0); i <= std::min(y + 1, size.h - 1); ++i)
      for (std::int64_t j = std::max<std::int64_t>(x - 1, 0); j <= std::min(x + 1, size.w - 1); ++j) {
        const std::int64_t at = i * size.w + j;
        if ((connectivity == 4 && i != y && j != x) || !inside[at] || labels[at] != 0) continue;
        labels[at] = number;
        open.push_back(at);
      }
  }
}

}  // namespace

Tensor label(const Tensor& mask, const LabelOptions& options) {
  check((mask.dim() == 2 || mask.dim() == 3) && mask.dtype() == boolean,
        "label: expects bool [H, W] or [N, H, W], got ", mask.dtype(), mask.shape());
  check(options.connectivity == 4 || options.connectivity == 8,
        "label: expects a connectivity of 4 or 8, got ", options.connectivity);
  const Tensor source = mask.to(Device::cpu());
  Tensor out = zeros(mask.shape(), {.dtype = i64});
  const Pair size{mask.size(-2), mask.size(-1)};
  const std::int64_t pixels = size.h * size.w;
  std::vector<std::int64_t> open;
  for (std::int64_t begin = 0; begin < mask.numel(); begin += pixels) {
    const bool* inside = source.data<bool>() + begin;
    std::int64_t* labels = out.data<std::int64_t>() + begin;
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < pixels; ++i)
      if (inside[i] && labels[i] == 0)
        fill_component(inside, labels, i, ++count, size, options.connectivity, open);
  }
  return out.to(mask.device());
}

}  // namespace karyon
