#pragma once
#include <concepts>
#include <memory>
#include <string>

#include <karyon/layers/module.h>

namespace karyon {

/// Modules in a list that owns them, named "0", "1", ..., as torch.nn.ModuleList. Registered as "down", the
/// list's modules are "down.0", "down.1", ...
///
///     ModuleList<DoubleConv> down;
///     down.add(3, 32, Norm::batch);
///     for (DoubleConv& block : down) x = block(std::move(x));
///
/// A ModuleList<Module> holds modules of any type: `list.add<Conv2d>(3, 16, 3, {.padding = 1})`.
template <class M>
struct ModuleList : Module {
  /// Puts a module at the end and returns it.
  template <std::derived_from<M> N>
  N& add(std::unique_ptr<N> module) {
    N& added = *module;
    register_module(std::to_string(size()), added);
    modules_.push_back(std::move(module));
    return added;
  }
  /// Builds a module of type N at the end from its constructor's arguments and returns it.
  template <class N = M, class... Args>
  requires std::constructible_from<N, Args...> N& add(Args&&... args) {
    return add(std::make_unique<N>(std::forward<Args>(args)...));
  }
  // A list in braces has no type that could be forwarded. These overloads take options in braces as the last
  // argument, after up to three other arguments. An earlier list in braces is a Pair.
  template <class N = M>
  N& add(const typename N::Options& options) requires std::constructible_from<N, const typename N::Options&> {
    return add(std::make_unique<N>(options));
  }
  template <class N = M, class A = Pair>
  N& add(A&& a, const typename N::Options& options) {
    return add(std::make_unique<N>(std::forward<A>(a), options));
  }
  template <class N = M, class A = Pair, class B = Pair>
  N& add(A&& a, B&& b, const typename N::Options& options) {
    return add(std::make_unique<N>(std::forward<A>(a), std::forward<B>(b), options));
  }
  template <class N = M, class A = Pair, class B = Pair, class C = Pair>
  N& add(A&& a, B&& b, C&& c, const typename N::Options& options) {
    return add(std::make_unique<N>(std::forward<A>(a), std::forward<B>(b), std::forward<C>(c), options));
  }

  std::size_t size() const { return modules_.size(); }
  /// Throws Error if out of range.
  M& operator[](std::size_t i) const {
    check(i < size(), type(), ": module ", i, " of ", size());
    return *modules_[i];
  }

  struct Iterator {
    const std::unique_ptr<M>* at;
    M& operator*() const { return **at; }
    Iterator& operator++() { return ++at, *this; }
    friend bool operator==(const Iterator&, const Iterator&) = default;
  };
  Iterator begin() const { return {modules_.data()}; }
  Iterator end() const { return {modules_.data() + size()}; }

 private:
  std::vector<std::unique_ptr<M>> modules_;
};

}  // namespace karyon
