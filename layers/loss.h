#pragma once
#include <karyon/core/ops/loss.h>

// The losses with their options kept: `BCEWithLogitsLoss loss{{.pos_weight = w}}; loss(logits, target)`.
namespace karyon {

/// bce_with_logits.
struct BCEWithLogitsLoss {
  using Options = BceOptions;
  Options options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return bce_with_logits(input, target, options);
  }
};
/// cross_entropy.
struct CrossEntropyLoss {
  using Options = CrossEntropyOptions;
  Options options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return cross_entropy(input, target, options);
  }
};
/// dice_loss.
struct DiceLoss {
  using Options = DiceOptions;
  Options options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return dice_loss(input, target, options);
  }
};
/// focal_loss.
struct FocalLoss {
  using Options = FocalOptions;
  Options options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return focal_loss(input, target, options);
  }
};
/// mse_loss.
struct MSELoss {
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return mse_loss(input, target, reduction);
  }
};
/// l1_loss.
struct L1Loss {
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return l1_loss(input, target, reduction);
  }
};

}  // namespace karyon
