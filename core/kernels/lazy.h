#pragma once
#include <memory>
#include <vector>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/pool.h>
#include <karyon/core/lazy.h>

// The kinds of lazy results. Sources are saved detached: by their memory, not by their own recipe. A change
// of a source in place thus finds the results that depend on it.
namespace karyon {

/// A batch norm with its ReLU: max(weight (x - mean) rstd + bias, 0) = max(scale x + shift, 0) per channel.
struct LazyNorm : Lazy {
  LazyNorm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& rstd);
  Tensor materialize() const override;
  std::vector<Tensor> sources() const override;
  bool kept_for_backward() const override { return true; }  // backward reads the same

  SavedTensor x, weight, bias;  // weight and bias [C] or undefined
  Tensor mean, rstd;            // [C]
  Tensor scale, shift;          // [C], f32; undefined where no kernel reads x lazily
};

/// Images side by side in their channels: cat(parts, -1).
struct LazyCat : Lazy {
  /// `output`: a kernel still has to write the parts, so the result does not depend on their present
  /// contents.
  explicit LazyCat(const std::vector<Tensor>& parts, bool output = false);
  Tensor materialize() const override;
  std::vector<Tensor> sources() const override;

  std::vector<SavedTensor> parts;
  bool output;
};

/// The gradient of a 2 x 2 max pool in its input. It is added to the gradient of another use of the input
/// without being written first.
struct LazyMaxPoolGradient : Lazy {
  LazyMaxPoolGradient(const Tensor& dy, const Tensor& index, const Shape& shape,
                      const kernels::PoolWindow& window);
  Tensor materialize() const override;
  std::vector<Tensor> sources() const override;
  bool add_to(Tensor& y) const override;

  SavedTensor dy;
  Tensor index;
  kernels::PoolWindow window;
};

}  // namespace karyon
