#pragma once
#include <memory>

#include <karyon/layers/module.h>

namespace karyon {

/// Modules one after another, named "0", "1", ...
///
///     Sequential net;
///     net.add<Conv2d>(3, 16, 3, {.padding = 1});
///     net.add<ReLU>();
struct Sequential : Module {
  /// Builds a module at the end and returns it.
  template <class M, class... Args>
  M& add(Args&&... args) {
    auto module = std::make_unique<M>(std::forward<Args>(args)...);
    M& added = *module;
    register_module(std::to_string(modules_.size()), added);
    modules_.push_back(std::move(module));
    return added;
  }
  // Braces cannot be forwarded; these let layers take their options in braces here too.
  template <class M>
  M& add(std::int64_t in, std::int64_t out, Pair kernel_size, const typename M::Options& options) {
    return add<M, std::int64_t&, std::int64_t&, Pair&, const typename M::Options&>(in, out, kernel_size,
                                                                                   options);
  }
  template <class M>
  M& add(std::int64_t channels, const typename M::Options& options) {
    return add<M, std::int64_t&, const typename M::Options&>(channels, options);
  }

  Tensor forward(Tensor x) override {
    for (const auto& module : modules_) x = (*module)(std::move(x));
    return x;
  }
  std::size_t size() const { return modules_.size(); }
  Module& operator[](std::size_t i) {
    check(i < modules_.size(), "Sequential: module ", i, " of ", modules_.size());
    return *modules_[i];
  }

 private:
  std::vector<std::unique_ptr<Module>> modules_;
};

}  // namespace karyon
