#pragma once
#include <karyon/core/ops/loss.h>

// The losses with their options kept: `BCEWithLogitsLoss loss{{.pos_weight = w}}; loss(logits, target)`.
namespace karyon {

struct BCEWithLogitsLoss {
  BceOptions options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return bce_with_logits(input, target, options);
  }
};
struct CrossEntropyLoss {
  CrossEntropyOptions options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return cross_entropy(input, target, options);
  }
};
struct DiceLoss {
  double smooth = 1;
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return dice_loss(input, target, smooth);
  }
};
struct FocalLoss {
  FocalOptions options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return focal_loss(input, target, options);
  }
};
struct MSELoss {
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return mse_loss(input, target, reduction);
  }
};
struct L1Loss {
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return l1_loss(input, target, reduction);
  }
};

}  // namespace karyon
