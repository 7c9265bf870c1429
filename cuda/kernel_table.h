#pragma once
#include <string_view>
#include <unordered_map>

#include <karyon/core/kernels/kernel.h>

namespace karyon::cuda {

/// The kernels of this backend by the names that core gives its operations.
class KernelTable {
 public:
  /// The type of core's kernel, decltype(kernels::relu), is checked against the function's.
  template <class K>
  void add(std::string_view name, typename K::Fn fn) {
    const bool fresh = fns_.emplace(name, reinterpret_cast<void (*)()>(fn)).second;
    check(fresh, "cuda: two kernels are called ", name);
  }
  /// nullptr if there is none.
  auto find(std::string_view name) const -> void (*)() {
    const auto it = fns_.find(name);
    return it == fns_.end() ? nullptr : it->second;
  }

 private:
  std::unordered_map<std::string_view, void (*)()> fns_;
};

}  // namespace karyon::cuda
