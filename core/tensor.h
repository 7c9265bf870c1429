#pragma once
#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <ranges>
#include <span>
#include <type_traits>
#include <vector>

#include <karyon/core/device.h>
#include <karyon/core/dtype.h>
#include <karyon/core/shape.h>

namespace karyon {

struct Node;
class Storage;
class Tensor;
class TensorIndex;

/// Sees a gradient as it is computed; returns a replacement, or an undefined tensor to keep it.
using TensorHook = std::function<Tensor(const Tensor& grad)>;

/// Takes a hook away again. A handle may outlive its tensor.
class HookHandle {
 public:
  HookHandle() = default;
  explicit HookHandle(std::weak_ptr<TensorHook> hook) : hook_(std::move(hook)) {}
  /// The hook is not called any more; a second call does nothing.
  void remove();

 private:
  std::weak_ptr<TensorHook> hook_;
};
using TensorHooks = std::vector<std::shared_ptr<TensorHook>>;

struct BackwardOptions {
  bool retain_graph = false;  ///< keeps the graph for another pass; create_graph keeps it, too
  bool create_graph = false;  ///< records the pass, so that gradients have gradients
};

/// A handle to a contiguous, row-major array and its place in the autograd graph.
/// Copies share both. Images are [N, H, W, C].
class Tensor {
 public:
  struct Impl;

  /// Undefined: no shape, no data. Optional arguments (a bias, say) are passed like this.
  Tensor() = default;

  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;
  int dim() const { return shape().dims(); }
  /// The size of one dimension; -1 is the last.
  std::int64_t size(int dim) const;
  std::int64_t numel() const { return shape().numel(); }
  DType dtype() const;
  Device device() const;

  /// The elements, to write to. Materializes lazy results that depend on this memory and drops caches of it.
  /// The pointer is good for writing until the next operation on the tensor; ask again after. The version
  /// stays: call before_write() where a gradient may need the old values, so that backward finds the change.
  /// Throws Error if T is not the dtype.
  template <class T>
  T* data() {
    return static_cast<T*>(writable_data(dtype_of<T>));
  }
  /// The elements, to read.
  template <class T>
  const T* data() const {
    return static_cast<const T*>(checked_data(dtype_of<T>));
  }
  /// The same without the type.
  void* data_ptr();
  const void* data_ptr() const;
  std::uint64_t version() const;
  /// Call before a change in place by a pointer or a kernel. Materializes lazy results that depend on this
  /// memory, drops caches of it and increases the version. A gradient that needs the old values then becomes
  /// an error.
  void before_write();
  /// True if no other handle and no other tensor shares the memory, and it is not the user's (from_blob).
  bool owns_storage_alone() const;

  /// The only element, converted to T. Throws Error unless numel() == 1.
  template <class T = float>
  T item() const {
    check(numel() == 1, "item: expects a tensor of one element, got ", shape());
    if constexpr (std::is_floating_point_v<T>) {
      return static_cast<T>(to_vector<double>()[0]);
    } else if constexpr (std::is_same_v<T, bool>) {
      return to_vector<bool>()[0];
    } else {
      return static_cast<T>(to_vector<std::int64_t>()[0]);  // whole numbers of 64 bits keep them all
    }
  }
  /// All elements, copied to the CPU and converted to T, an element type.
  template <class T>
  std::vector<T> to_vector() const {
    const Tensor host = detach().to(Device::cpu()).to(dtype_of<T>);
    const T* begin = host.data<T>();
    return std::vector<T>(begin, begin + host.numel());
  }

  /// A tensor on `device`; this one if it is there already. Differentiable.
  Tensor to(Device device) const;
  /// A tensor of type `dtype`; this one if it has it already. Differentiable between floating types.
  Tensor to(DType dtype) const;
  /// A copy with memory of its own. Differentiable.
  Tensor clone() const;
  /// The same memory, cut out of the graph.
  Tensor detach() const;
  /// The same memory under another shape of equal numel; one size may be -1. Differentiable.
  Tensor reshape(Shape shape) const;

  // In place; on a tensor that requires a gradient only under NoGradGuard.
  Tensor& fill_(double value);
  Tensor& zero_() { return fill_(0); }
  // Throws Error if the source requires a gradient, as it would get none. Throws Error if its memory overlaps
  // this tensor's but is not the same.
  /// Copies src's values (same shape; dtype and device may differ).
  Tensor& copy_(const Tensor& src);
  /// this += alpha * other; same shape and dtype.
  Tensor& add_(const Tensor& other, double alpha = 1);
  Tensor& mul_(double factor);

  // The most common operations. Each method is the free function of that name. These headers give shapes,
  // dtypes, gradients and errors: core/ops/reduce.h, statistics.h, scan.h, elementwise.h, activation.h,
  // matmul.h, layout.h, shape.h, index.h.
  Tensor sum(const std::vector<int>& dims = {}, bool keepdim = false) const;
  Tensor mean(const std::vector<int>& dims = {}, bool keepdim = false) const;
  Tensor max(const std::vector<int>& dims = {}, bool keepdim = false) const;
  Tensor min(const std::vector<int>& dims = {}, bool keepdim = false) const;
  Tensor prod(const std::vector<int>& dims = {}, bool keepdim = false) const;
  Tensor norm(double p = 2, const std::vector<int>& dims = {}, bool keepdim = false) const;
  Tensor argmax(int dim, bool keepdim = false) const;
  Tensor argmin(int dim, bool keepdim = false) const;
  Tensor any(const std::vector<int>& dims = {}, bool keepdim = false) const;
  Tensor all(const std::vector<int>& dims = {}, bool keepdim = false) const;
  Tensor cumsum(int dim) const;
  Tensor exp() const;
  Tensor log() const;
  Tensor sqrt() const;
  Tensor abs() const;
  Tensor pow(double exponent) const;
  Tensor pow(const Tensor& exponent) const;
  Tensor relu() const;
  Tensor sigmoid() const;
  Tensor softmax(int dim) const;
  Tensor matmul(const Tensor& other) const;
  Tensor permute(const std::vector<int>& order) const;
  Tensor transpose(int dim0, int dim1) const;
  Tensor squeeze() const;
  Tensor squeeze(int dim) const;
  Tensor unsqueeze(int dim) const;
  Tensor flatten(int start = 0, int end = -1) const;
  Tensor expand(const Shape& shape) const;
  Tensor repeat(const Shape& repeats) const;
  Tensor flip(const std::vector<int>& dims) const;
  /// select(x, 0, index): slice `index` of the first dimension, in x's memory. A negative index counts from
  /// the end.
  Tensor operator[](std::int64_t index) const;
  Tensor index(const std::vector<TensorIndex>& indices) const;
  Tensor index_select(int dim, const Tensor& index) const;
  Tensor gather(int dim, const Tensor& index) const;
  Tensor masked_fill(const Tensor& mask, double value) const;
  // In place, with the rules of add_(); other broadcasts to this tensor's shape and is converted to its
  // dtype.
  Tensor& operator+=(const Tensor& other);
  Tensor& operator-=(const Tensor& other);
  Tensor& operator*=(const Tensor& other);
  Tensor& operator/=(const Tensor& other);
  Tensor& operator+=(double value);
  Tensor& operator-=(double value);
  Tensor& operator*=(double value);
  Tensor& operator/=(double value);
  Tensor& index_put_(const std::vector<TensorIndex>& indices, const Tensor& value);
  Tensor& index_put_(const std::vector<TensorIndex>& indices, double value);
  Tensor& masked_fill_(const Tensor& mask, double value);
  /// to(Device::cpu()) and to(Device::cuda(index)).
  Tensor cpu() const;
  Tensor cuda(int index = 0) const;

  bool requires_grad() const;
  /// Marks a leaf as wanting a gradient. Throws Error on non-floating types and non-leaves.
  Tensor& requires_grad_(bool on = true);
  bool is_leaf() const { return !node(); }
  /// The accumulated gradient of a leaf (or of a tensor with retain_grad()); undefined before backward().
  Tensor grad() const;
  /// Replaces the gradient; an undefined tensor clears it.
  void set_grad(const Tensor& grad);
  /// Keeps grad() of this non-leaf too.
  void retain_grad();
  /// `hook` is called with this tensor's whole gradient during backward().
  HookHandle register_hook(TensorHook hook);
  /// Accumulates d this / d leaf into every leaf's grad(). `grad_output` defaults to 1 for a tensor of one
  /// element. Without retain_graph the graph is freed as it is walked: for two losses over one graph call
  /// backward on their sum. Threads may run backward at once over graphs that share leaves, but no inner
  /// tensors. With create_graph a leaf and the graph in its grad() hold each other, until set_grad({}); so
  /// karyon::grad() (core/autograd.h) is better there. It throws Error for an operation whose gradient has
  /// none.
  void backward(const Tensor& grad_output = {}, const BackwardOptions& options = {}) const;
  const std::shared_ptr<Node>& node() const;

  /// The shared part, for the engine.
  const std::shared_ptr<Impl>& impl() const { return impl_; }
  explicit Tensor(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

 private:
  void* address() const;
  const void* checked_data(DType dtype) const;
  void* writable_data(DType dtype);
  void check_in_place(const char* op) const;
  void check_source(const char* op, const Tensor& source) const;

  std::shared_ptr<Impl> impl_;
};

struct Tensor::Impl {
  Shape shape;
  DType dtype = DType::f32;
  std::shared_ptr<Storage> storage;
  std::int64_t offset = 0;  // in elements
  bool requires_grad = false;
  bool retains_grad = false;
  Tensor grad;
  std::shared_ptr<Node> node;
  TensorHooks hooks;  // hooks of a leaf; those of a non-leaf are in its node
};

struct TensorOptions {
  DType dtype = DType::f32;
  Device device = {};
};

/// A tensor of unspecified contents. Throws Error for a negative size.
Tensor empty(const Shape& shape, TensorOptions options = {});
Tensor empty_like(const Tensor& x);
Tensor zeros(const Shape& shape, TensorOptions options = {});
Tensor zeros_like(const Tensor& x);
Tensor ones(const Shape& shape, TensorOptions options = {});
Tensor ones_like(const Tensor& x);
Tensor full(const Shape& shape, double value, TensorOptions options = {});
/// [n]: 0, 1, ..., n - 1.
Tensor arange(std::int64_t n, TensorOptions options = {.dtype = DType::i64});

/// What tensor() takes: an element type or int.
template <class T>
concept TensorValue = std::is_same_v<T, int> || std::is_same_v<T, float> || std::is_same_v<T, double> ||
    std::is_same_v<T, BFloat16> || std::is_same_v<T, std::int64_t> || std::is_same_v<T, std::uint8_t> ||
    std::is_same_v<T, bool> || std::is_same_v<T, Float16>;
/// The dtype that tensor() gives values of type T if none is named: f32 for int and double, else T's own.
template <TensorValue T>
inline constexpr DType default_dtype_of = [] {
  if constexpr (std::is_same_v<T, int> || std::is_same_v<T, double>)
    return DType::f32;
  else
    return dtype_of<T>;
}();
/// A vector, array or span of such values, or numbers in braces.
template <class T>
concept TensorValues =
    std::ranges::contiguous_range<T> && TensorValue<std::remove_cv_t<std::ranges::range_value_t<T>>>;

/// For tensor(): `count` elements of type `dtype` at `values`, copied under `shape` and converted.
Tensor copy_of(const void* values, std::size_t count, DType dtype, const Shape& shape, TensorOptions options);

/// The values under `shape` (one dimension if none is given). They are converted once, to options.dtype:
/// whole numbers of 64 bits keep all digits under i64. Without options, the dtype is default_dtype_of their
/// type. Throws Error if the values do not fill the shape.
template <TensorValues T>
Tensor tensor(const T& values, const Shape& shape,
              TensorOptions options = {.dtype = default_dtype_of<std::ranges::range_value_t<T>>}) {
  using Value = std::ranges::range_value_t<T>;
  const std::size_t count = std::ranges::size(values);
  if constexpr (std::is_same_v<Value, int>) {
    const std::vector<std::int64_t> wide(std::ranges::begin(values), std::ranges::end(values));
    return copy_of(wide.data(), count, i64, shape, options);
  } else {
    return copy_of(std::ranges::data(values), count, dtype_of<Value>, shape, options);
  }
}
template <TensorValues T>
Tensor tensor(const T& values,
              TensorOptions options = {.dtype = default_dtype_of<std::ranges::range_value_t<T>>}) {
  return tensor(values, {static_cast<std::int64_t>(std::ranges::size(values))}, options);
}
template <TensorValue T>
Tensor tensor(std::initializer_list<T> values, const Shape& shape,
              TensorOptions options = {.dtype = default_dtype_of<T>}) {
  return tensor(std::span(values.begin(), values.size()), shape, options);
}
template <TensorValue T>
Tensor tensor(std::initializer_list<T> values, TensorOptions options = {.dtype = default_dtype_of<T>}) {
  return tensor(std::span(values.begin(), values.size()), options);
}
/// The same for numbers of several types in braces.
Tensor tensor(const std::vector<double>& values, TensorOptions options = {});
Tensor tensor(const std::vector<double>& values, const Shape& shape, TensorOptions options = {});
/// The same for std::vector<bool>, whose elements are bits.
template <std::same_as<std::vector<bool>> T>
Tensor tensor(const T& values, const Shape& shape, TensorOptions options = {.dtype = boolean}) {
  const std::vector<std::uint8_t> bytes(values.begin(), values.end());
  return copy_of(bytes.data(), bytes.size(), boolean, shape, options);
}
template <std::same_as<std::vector<bool>> T>
Tensor tensor(const T& values, TensorOptions options = {.dtype = boolean}) {
  return tensor(values, {static_cast<std::int64_t>(values.size())}, options);
}
/// A tensor of no dimensions.
template <TensorValue T>
Tensor tensor(T value, TensorOptions options = {.dtype = default_dtype_of<T>}) {
  return tensor(std::span(&value, 1), Shape(), options);
}

/// A tensor on memory of the CPU that is not copied, as torch.from_blob. The memory must outlive the tensor
/// and all its views. When the last of them is gone, `deleter` is called with `data`; without one, nothing is
/// freed. Changes in place write to this memory, and the next operation sees what others write there. Call
/// before_write() before that where a gradient may need the old values.
///   data   row-major elements of options.dtype, aligned to one element; may be null for 0 elements. The
///          bytes of bool are 0 or 1
/// Throws Error, and does not call `deleter`, for null, other alignments and other devices.
Tensor from_blob(void* data, const Shape& shape, TensorOptions options = {},
                 std::function<void(void*)> deleter = {});

/// The same memory from element `offset` on, under `shape`. It is not differentiable and meant for
/// operations.
Tensor view(const Tensor& x, const Shape& shape, std::int64_t offset = 0);

/// Prints shape, dtype and the leading values.
std::ostream& operator<<(std::ostream& os, const Tensor& x);

}  // namespace karyon
