#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include <karyon/core/ops/conv.h>

#include "cudnn.h"

// What cuDNN is asked about convolutions. Needs libcudnn and the properties of a device, not the device.
namespace karyon::cuda {

enum class ConvDirection { forward, backward_data, backward_weight };

/// What follows per channel of the result: scale y + shift, then max(., 0).
struct ConvEpilogue {
  bool scale = false, shift = false, relu = false;
  bool any() const { return scale || shift || relu; }
  friend bool operator==(const ConvEpilogue&, const ConvEpilogue&) = default;
};

/// One convolution, in one direction, as plans are made for it. f32 or bf16; sums are in f32.
struct ConvProblem {
  ConvDirection direction = ConvDirection::forward;
  ConvGeometry geometry;
  DType dtype = f32;
  ConvEpilogue epilogue{};  ///< not with backward_weight
  bool tf32 = false;        ///< f32 products may be rounded to TF32 (10 fraction bits)
};

/// "conv2d forward f32 [4, 256, 256, 3] * [32, 3, 3, 3] -> [4, 256, 256, 32], stride (1, 1), ...".
std::string describe(const ConvProblem& problem);

/// The tensors of the graphs by their numbers; `scale` and `shift` [channels of the result] are f32.
enum class ConvTensor : std::int64_t { x = 1, weight, y, scale, shift };

/// Plans for a convolution, best first, and why there are not more.
struct ConvPlans {
  std::vector<cudnn::Plan> plans;
  int proposed = 0;          ///< engine configurations that cuDNN named
  int nondeterministic = 0;  ///< of those, left out because they may give other bits in another run
  int imprecise = 0;         ///< left out because they round f32 products
  int unsupported = 0;       ///< refused by cuDNN when made ready

  /// "18 engine configurations: 4 not deterministic, 12 round f32 products, 2 cannot be made ready".
  std::string explain() const;
};

/// The first `most` plans that cuDNN makes ready for this device, with the epilogue in the same kernel. Its
/// results are deterministic and, unless the problem says tf32, products of f32 are not rounded. Empty if it
/// has none. Throws Error with cuDNN's reason if the convolution makes no sense to it.
ConvPlans find_conv_plans(const ConvProblem& problem, const cudnn::Descriptor& device_properties,
                          std::size_t most);

}  // namespace karyon::cuda
