#pragma once
#include <karyon/core/ops/loss.h>
#include <karyon/core/ops/similarity.h>

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

/// nll_loss.
struct NLLLoss {
  using Options = NllOptions;
  Options options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return nll_loss(input, target, options);
  }
};
/// huber_loss.
struct HuberLoss {
  using Options = HuberOptions;
  Options options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return huber_loss(input, target, options);
  }
};
/// smooth_l1_loss.
struct SmoothL1Loss {
  using Options = SmoothL1Options;
  Options options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return smooth_l1_loss(input, target, options);
  }
};
/// kl_div.
struct KLDivLoss {
  using Options = KlDivOptions;
  Options options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return kl_div(input, target, options);
  }
};
/// binary_cross_entropy.
struct BCELoss {
  using Options = BinaryCrossEntropyOptions;
  Options options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return binary_cross_entropy(input, target, options);
  }
};
/// tversky_loss.
struct TverskyLoss {
  using Options = TverskyOptions;
  Options options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return tversky_loss(input, target, options);
  }
};
/// lovasz_hinge_loss.
struct LovaszHingeLoss {
  using Options = LovaszHingeOptions;
  Options options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return lovasz_hinge_loss(input, target, options);
  }
};
/// lovasz_softmax_loss.
struct LovaszSoftmaxLoss {
  using Options = LovaszSoftmaxOptions;
  Options options = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const {
    return lovasz_softmax_loss(input, target, options);
  }
};
/// cosine_embedding_loss.
struct CosineEmbeddingLoss {
  using Options = CosineEmbeddingOptions;
  Options options = {};
  Tensor operator()(const Tensor& a, const Tensor& b, const Tensor& target) const {
    return cosine_embedding_loss(a, b, target, options);
  }
};

}  // namespace karyon
