#pragma once
#include <concepts>
#include <memory>
#include <string>

#include <karyon/layers/module.h>

namespace karyon {

/// N is built from one list in braces that holds options: `add<MaxPool2d>({.kernel_size = 3})`.
template <class N>
concept TakesOptions = requires {
  typename N::Options;
}
&&std::constructible_from<N, const typename N::Options&>;
/// N is built from one list in braces that holds numbers: `add<LayerNorm>({8})`.
template <class N, class First>
concept TakesNumbers = !TakesOptions<N> && std::constructible_from<N, const First&>;
/// N is built from arguments of these types, and options.
template <class N, class... Args>
concept TakesArguments = std::constructible_from<N, Args..., const typename N::Options&>;

/// Modules in a list that owns them, named "0", "1", ..., as torch.nn.ModuleList. Registered as "down", the
/// list's modules are "down.0", "down.1", ...
///
///     ModuleList<DoubleConv> down;
///     down.add(3, 32, Norm::batch);
///     for (DoubleConv& block : down) x = block(std::move(x));
///
/// A ModuleList<Module> holds modules of any type: `list.add<Conv2d>(3, 16, 3, {.padding = 1})`. A list in
/// braces is the options if it is the last argument, otherwise a Pair or a Shape. Where an option is
/// misspelt, the compiler finds "no matching function" but not the name. It names it in
/// `Conv2d::Options{.paddin = 1}`.
template <class M>
struct ModuleList : Module {
  /// Puts a module at the end and returns it.
  template <std::derived_from<M> N>
  N& add(std::unique_ptr<N> module) {
    check(module != nullptr, type(), ": add() expects a module, got none");
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
  // A list in braces has no type that could be forwarded. These overloads take numbers in braces as the first
  // argument.
  template <class N = M>
  N& add(const Pair& pair) requires TakesNumbers<N, Pair> {
    return add(std::make_unique<N>(pair));
  }
  template <class N = M>
  N& add(const Shape& shape) requires TakesNumbers<N, Shape> {
    return add(std::make_unique<N>(shape));
  }
  template <class N = M>
  N& add(const Shape& shape, const typename N::Options& options) requires TakesArguments<N, const Shape&> {
    return add(std::make_unique<N>(shape, options));
  }
  // And these take options in braces as the last argument, after up to three others. They come last: GCC then
  // lists them first when a name is misspelt.
  template <class N = M>
  N& add(const typename N::Options& options) requires TakesOptions<N> {
    return add(std::make_unique<N>(options));
  }
  template <class N = M, class A = Pair>
  N& add(A&& a, const typename N::Options& options) requires TakesArguments<N, A> {
    return add(std::make_unique<N>(std::forward<A>(a), options));
  }
  template <class N = M, class A = Pair, class B = Pair>
  N& add(A&& a, B&& b, const typename N::Options& options) requires TakesArguments<N, A, B> {
    return add(std::make_unique<N>(std::forward<A>(a), std::forward<B>(b), options));
  }
  template <class N = M, class A = Pair, class B = Pair, class C = Pair>
  N& add(A&& a, B&& b, C&& c, const typename N::Options& options) requires TakesArguments<N, A, B, C> {
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

  std::unique_ptr<Module> rebuilt() const override {
    auto list = std::make_unique<ModuleList>();
    list->add_rebuilt(*this);
    return list;
  }

 protected:
  /// Adds what the other list holds, rebuilt.
  void add_rebuilt(const ModuleList& other) {
    for (const M& module : other) {
      std::unique_ptr<Module> again = module.rebuilt();
      M* const as_mine = dynamic_cast<M*>(again.get());
      check(as_mine != nullptr, "clone: ", module.type(), " must override rebuilt()");
      again.release();
      add(std::unique_ptr<M>(as_mine));
    }
  }

 private:
  std::vector<std::unique_ptr<M>> modules_;
};

}  // namespace karyon
