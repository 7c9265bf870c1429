#pragma once
#include <cstdint>
#include <limits>

#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/functors/activation.h>
#include <karyon/core/tensor.h>

// Private to core/cpu/conv: the last steps of a convolution, y = activation(scale y + shift + residual).
// Engines do what they can in registers. The rest is a pass over some outputs as soon as they are written,
// while they are in the cache.
namespace karyon::cpu {

struct NoActivation {
  template <class T>
  constexpr T operator()(T x) const {
    return x;
  }
};

/// f(the functor of the activation).
template <class F>
void visit(ActivationKind activation, F f) {
  switch (activation) {
    case ActivationKind::none: return f(NoActivation{});
    case ActivationKind::relu: return f(functors::Relu{});
    case ActivationKind::relu6: return f(functors::Hardtanh{0, 6});
    case ActivationKind::silu: return f(functors::Silu{});
    case ActivationKind::hardswish: return f(functors::Hardswish{});
    case ActivationKind::gelu: return f(functors::Gelu{});
  }
}

// ---- in registers

/// An activation of few instructions: x between limits, or hardswish.
struct SimpleActivation {
  float low = -std::numeric_limits<float>::infinity(), high = std::numeric_limits<float>::infinity();
  bool hardswish = false;

  SimpleActivation() = default;
  explicit SimpleActivation(ActivationKind kind) : hardswish(kind == ActivationKind::hardswish) {
    if (kind == ActivationKind::relu || kind == ActivationKind::relu6) low = 0;
    if (kind == ActivationKind::relu6) high = 6;
  }
  static bool is(ActivationKind kind) { return kind != ActivationKind::silu && kind != ActivationKind::gelu; }
};

/// All that register tiles do with sums; pointers may be null.
struct TileFinish {
  const float *scale = nullptr, *shift = nullptr;  // of each output
  const float* residual = nullptr;                 // lies as y does
  SimpleActivation activation = {};
};

/// How an engine that takes few activations in registers, and no residual, shares the steps.
struct FinishPlan {
  ActivationKind in_registers;
  ConvFinish after;

  FinishPlan(const ConvFinish& finish, bool takes)
      : in_registers(takes && !finish.residual.defined() ? finish.activation : ActivationKind::none),
        after(takes && !finish.residual.defined() ? ConvFinish{} : finish) {}
};
inline bool none_or_relu(ActivationKind kind) {
  return kind == ActivationKind::none || kind == ActivationKind::relu;
}

// ---- in a pass

/// Some outputs: rows of pixels, of which some channels. The steps count values from one to the next.
struct FinishRegion {
  std::int64_t channels;
  std::int64_t pixels, pixel_step;
  std::int64_t rows = 1, row_step = 0;
};

/// A residual and an activation, in f32 or bf16.
class FinishPass {
 public:
  FinishPass() = default;
  FinishPass(const ConvFinish& finish, const Tensor& y);

  /// Whether there is anything to do.
  bool needed() const { return needed_; }
  /// The steps for the outputs of the region, whose first one is at y.
  void run(float* y, const FinishRegion& region) const;
  void run(BFloat16* y, const FinishRegion& region) const;

 private:
  template <class S>
  void run_as(S* y, FinishRegion region) const;

  bool needed_ = false;
  ActivationKind activation_ = ActivationKind::none;
  const void *y_ = nullptr, *residual_ = nullptr;
};

}  // namespace karyon::cpu
