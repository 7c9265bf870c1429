#pragma once
#include <concepts>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include <karyon/core/tensor.h>

// What brackets behind a tensor do in Python, to read and to write. Any dtype; differentiable where it is
// floating. Equal indices add up in the gradient, in their order: the same bits with any number of threads.
namespace karyon {

/// The index that stands for all dimensions that no other index names, as `...` in Python.
struct EllipsisIndex {};

/// Words for use in brackets, as torch::indexing has them: `using namespace karyon::indexing;`.
namespace indexing {
/// An open end of a Slice. As an index of its own it makes a new dimension of size 1, as None does in Python.
inline constexpr std::nullopt_t none = std::nullopt;
inline constexpr std::nullopt_t newaxis = std::nullopt;
inline constexpr EllipsisIndex ellipsis = {};
}  // namespace indexing

/// The elements start, start + step, ... before stop, as start:stop:step in Python. Negative ends count from
/// the end; ends outside are moved inside. The step is at least 1.
struct Slice {
  std::optional<std::int64_t> start, stop, step;

  explicit Slice(std::optional<std::int64_t> start_index = std::nullopt,
                 std::optional<std::int64_t> stop_index = std::nullopt,
                 std::optional<std::int64_t> step_size = std::nullopt)
      : start(start_index), stop(stop_index), step(step_size) {}
};

/// One index of index(): a number, a Slice, `ellipsis`, `none` or a tensor.
class TensorIndex {
 public:
  using Value = std::variant<std::monostate, EllipsisIndex, std::int64_t, Slice, Tensor>;

  TensorIndex(std::nullopt_t) {}
  TensorIndex(EllipsisIndex all) : value_(all) {}
  TensorIndex(const Slice& slice) : value_(slice) {}
  TensorIndex(const Tensor& tensor) : value_(tensor) {}
  template <std::integral T>
  requires(!std::same_as<T, bool>) TensorIndex(T number) : value_(static_cast<std::int64_t>(number)) {}
  TensorIndex(bool) = delete;

  const Value& value() const { return value_; }

 private:
  Value value_;
};

/// x[indices] of Python: x.index({Slice(), 0, Slice(2, none, 2)}) is x[:, 0, 2::2].
///   indices  a number        removes its dimension; a negative one counts from the end
///            Slice           keeps it
///            ellipsis        all dimensions that are left, at most once
///            none            a new dimension of size 1
///            i64 tensor      or i32: elements in any order, repeated too; negative numbers count from the end
///            bool tensor     the elements that are true; it covers as many dimensions as it has
///   returns  the dimensions that are kept. Index tensors broadcast together. Their shape stands where the
///            first of them stood, or in front if other dimensions lie between them
/// The result shares x's memory if only the first dimensions are indexed: by numbers, then at most one Slice
/// of step 1, then Slice() or nothing. Otherwise it is a copy, and a write to it does not reach x:
/// index_put_() writes. Differentiable in x. Throws Error for an index out of range, too many indices, a step
/// below 1, and a mask or index tensors that do not fit.
Tensor index(const Tensor& x, const std::vector<TensorIndex>& indices);

/// x with `value` at index(x, indices): x itself is not changed.
///   value    broadcasts to the shape of index(x, indices); a tensor beside index tensors has x's dtype, else
///            it is converted
/// Differentiable in x and value. Of equal indices the last one counts, and all get its gradient. Throws
/// Error as index(), and for a value that does not fit.
Tensor index_put(const Tensor& x, const std::vector<TensorIndex>& indices, const Tensor& value);
Tensor index_put(const Tensor& x, const std::vector<TensorIndex>& indices, double value);
/// x[indices] = value of Python: the same in place, with the rules of Tensor::copy_(). `value` may share x's
/// memory.
inline Tensor& index_put_(Tensor& x, const std::vector<TensorIndex>& indices, const Tensor& value) {
  return x.index_put_(indices, value);
}
inline Tensor& index_put_(Tensor& x, const std::vector<TensorIndex>& indices, double value) {
  return x.index_put_(indices, value);
}

}  // namespace karyon
