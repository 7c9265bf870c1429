#pragma once
#include <string_view>
#include <unordered_map>

#include <karyon/core/kernels/kernel.h>
#include <karyon/cuda/operation.h>

namespace karyon::cuda {

/// The kernels of this backend by the names that core gives its operations.
class KernelTable {
 public:
  /// The type of core's kernel, decltype(kernels::relu), is checked against the function's.
  template <class K, typename K::Fn fn>
  void add(const char* name) {
    check(Named<fn>::name == nullptr, "cuda: two kernels are one function: ", name);
    Named<fn>::name = name;
    const bool fresh = fns_.emplace(name, reinterpret_cast<void (*)()>(Named<fn>::run)).second;
    check(fresh, "cuda: two kernels are called ", name);
  }
  /// nullptr if there is none.
  auto find(std::string_view name) const -> void (*)() {
    const auto it = fns_.find(name);
    return it == fns_.end() ? nullptr : it->second;
  }

 private:
  template <auto fn>
  struct Named;
  template <class... Args, void (*fn)(Args...)>
  struct Named<fn> {
    static inline const char* name = nullptr;
    static void run(Args... args) {
      const Operation operation(name);
      fn(args...);
    }
  };

  std::unordered_map<std::string_view, void (*)()> fns_;
};

}  // namespace karyon::cuda
