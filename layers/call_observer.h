#pragma once
#include <karyon/layers/module.h>

namespace karyon {

/// Sees the calls of modules on this thread while it lives: summary() is one.
class CallObserver {
 public:
  CallObserver();
  virtual ~CallObserver();
  CallObserver(const CallObserver&) = delete;
  CallObserver& operator=(const CallObserver&) = delete;
  /// After each call of a module: the shape that it got and the tensor that it returns.
  virtual void called(const Module& module, const Shape& input, const Tensor& output) = 0;
  /// The innermost observer of this thread, or null. While there is one, layers are called one by one.
  static CallObserver* current();

 private:
  CallObserver* before_;
};

}  // namespace karyon
