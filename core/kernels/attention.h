#pragma once
#include <karyon/core/kernels/kernel.h>

namespace karyon::kernels {

/// Where the value of a mask for a score [n, i, j] lies: at offset(n) + i * row + j * column.
struct MaskLayout {
  int dims = 0;  // n's, outermost first
  std::int64_t sizes[Shape::max_dims]{}, strides[Shape::max_dims]{};
  std::int64_t row = 0, column = 0;

  constexpr std::int64_t offset(std::int64_t n) const {
    std::int64_t at = 0;
    for (int d = dims - 1; d >= 0; --d) {
      at += n % sizes[d] * strides[d];
      n /= sizes[d];
    }
    return at;
  }
};

/// What turns products of queries and keys into weights.
struct Attention {
  double scale = 1;
  bool causal = false;  ///< query i sees keys 0 to i
  MaskLayout mask = {};
  /// Weight [n, i, j] of L queries and S keys is kept as kernels::dropout keeps element
  /// (n L + i) round_up(S, 4) + j.
  double dropout = 0;
  std::uint64_t seed = 0, first = 0;
};

/// y = softmax(scale q k^T + mask) v, and what the softmax divided by.
///   q [N, L, E], k [N, S, E], v [N, S, Ev], y [N, L, Ev]
///   mask  undefined, bool (false: the score is -inf), or q's dtype
///   lse   [N, L], log of the sum of the exponentials of a row's scores; infinity where all are -inf, whose y
///         is 0. q's dtype, or f32 beside bf16
extern Kernel<void(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                   const Attention& attention, Tensor& y, Tensor& lse)>
    attention;
/// The gradients that are defined. dmask has a value for each score [N, L, S], of lse's dtype.
extern Kernel<void(const Tensor& dy, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                   const Tensor& y, const Tensor& lse, const Attention& attention, Tensor& dq, Tensor& dk,
                   Tensor& dv, Tensor& dmask)>
    attention_backward;

}  // namespace karyon::kernels
