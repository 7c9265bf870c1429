#pragma once
#include <type_traits>

#include <karyon/core/random.h>
#include <karyon/core/tensor.h>

// Tensors made from a few numbers, or like another tensor. tensor.h has the most common ones.
namespace karyon {

/// For arange(): start, start + step, ... before `end`.
Tensor arange_of(std::int64_t start, std::int64_t end, std::int64_t step, TensorOptions options);
Tensor arange_of(double start, double end, double step, TensorOptions options);

template <class T>
concept Number = std::is_arithmetic_v<T>;
/// True if all are whole numbers.
template <class... T>
inline constexpr bool all_whole = (... && std::is_integral_v<T>);

/// start, start + step, ... before `end`, as torch.arange; f32 unless a type is named, or i64 for whole
/// numbers. Throws Error for a step of 0, a step away from `end`, numbers that are not finite, and bool.
template <Number Start, Number End, Number Step = int>
Tensor arange(Start start, End end, Step step = 1,
              TensorOptions options = {.dtype = all_whole<Start, End, Step> ? i64 : f32}) {
  using T = std::conditional_t<all_whole<Start, End, Step>, std::int64_t, double>;
  return arange_of(static_cast<T>(start), static_cast<T>(end), static_cast<T>(step), options);
}
template <Number Start, Number End>
Tensor arange(Start start, End end, TensorOptions options) {
  return arange(start, end, 1, options);
}

/// `steps` numbers from `start` to `end`, both included, at equal distances; f32, f64, bf16 or f16. Throws Error
/// for steps below 0 and other types.
Tensor linspace(double start, double end, std::int64_t steps, TensorOptions options = {});
/// The matrix [rows, columns] with ones on the diagonal; [rows, rows] without `columns`.
Tensor eye(std::int64_t rows, std::int64_t columns, TensorOptions options = {});
Tensor eye(std::int64_t rows, TensorOptions options = {});

/// Of x's shape, dtype and device: `value`, uniform in [0, 1), standard normal. The random ones take f32 and
/// f64.
Tensor full_like(const Tensor& x, double value);
Tensor rand_like(const Tensor& x, Generator& generator = default_generator());
Tensor randn_like(const Tensor& x, Generator& generator = default_generator());

}  // namespace karyon
