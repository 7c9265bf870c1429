#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include <karyon/core/tensor.h>

// Private: lazy results. An operation may return a tensor whose storage holds a recipe (Lazy) in the place of
// memory. A kernel that knows the kind of the recipe reads the sources instead, which saves a pass over
// memory. For all others the first access materializes the contents, once.
namespace karyon {

/// The kinds of lazy results; core/kernels/lazy.h has a class for each.
enum class LazyKind { norm, cat, max_pool_gradient };

/// A recipe: how to compute the contents of a tensor.
class Lazy {
 public:
  virtual ~Lazy() = default;
  Lazy(const Lazy&) = delete;
  Lazy& operator=(const Lazy&) = delete;

  LazyKind kind() const { return kind_; }
  const Shape& shape() const { return shape_; }
  const TensorOptions& options() const { return options_; }

  /// A tensor with the contents, in its own memory.
  virtual Tensor materialize() const = 0;
  /// The tensors that materialize() reads. Before one changes in place, its lazy results are materialized.
  virtual std::vector<Tensor> sources() const = 0;
  /// Adds the contents to y without materializing them; false if there is no kernel for that.
  virtual bool add_to(Tensor& y) const;
  /// Whether backward keeps the sources in any case. A SavedTensor then holds the recipe and not the memory.
  /// The closure of backward owns the recipe, so that nothing outlives the graph.
  virtual bool kept_for_backward() const { return false; }

 protected:
  Lazy(LazyKind kind, const Shape& shape, const TensorOptions& options)
      : kind_(kind), shape_(shape), options_(options) {}

 private:
  LazyKind kind_;
  Shape shape_;
  TensorOptions options_;
};

/// Whether x's backend has kernels that read a lazy result of this kind with x's dtype and channels.
bool reads_lazily(LazyKind kind, const Tensor& x);

/// A tensor of the recipe's contents: lazy if its backend reads that kind lazily, else materialized at once.
Tensor lazy_tensor(std::shared_ptr<const Lazy> recipe);

/// The recipe of all of x while x is lazy; null once it is materialized.
std::shared_ptr<const Lazy> lazy_of(const Tensor& x);
/// The same if the recipe is of this kind, else null.
template <class Kind>
std::shared_ptr<const Kind> lazy_as(const Tensor& x) {
  return std::dynamic_pointer_cast<const Kind>(lazy_of(x));
}

}  // namespace karyon
