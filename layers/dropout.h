#pragma once
#include <karyon/core/ops/dropout.h>
#include <karyon/layers/module.h>

namespace karyon {

/// dropout while training; returns x in evaluation. It draws from `generator`, or from default_generator() if
/// that is null. The generator must outlive the module and its clones. Throws Error unless p is in [0, 1].
struct Dropout : Module {
  explicit Dropout(double p = 0.5, Generator* generator = nullptr) : p_(p), generator_(generator) {
    check(p >= 0 && p <= 1, "Dropout: expects a probability in [0, 1], got ", p);
  }
  Tensor forward(Tensor x) override {
    return dropout(x, p_, is_training(), generator_or_default(generator_));
  }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Dropout>(p_, generator_); }

 private:
  double p_;
  Generator* generator_;
};

}  // namespace karyon
