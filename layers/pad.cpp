#include <karyon/layers/pad.h>

namespace karyon {

PadLayer::PadLayer(std::vector<Border> borders, PadMode mode, double value)
    : borders_(std::move(borders)), mode_(mode), value_(value) {
  borders_.insert(borders_.begin(), Border{});
  borders_.push_back({});
}

Tensor PadLayer::forward(Tensor x) {
  check(x.dim() == static_cast<int>(borders_.size()), type(), ": expects ", borders_.size(),
        " dimensions, got ", x.shape());
  return pad_nd(x, borders_, mode_, value_);
}

}  // namespace karyon
