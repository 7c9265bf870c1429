#pragma once
#include <karyon/core/ops/dropout.h>
#include <karyon/layers/module.h>

namespace karyon {

/// dropout while training; passes x on in evaluation. Draws from `generator`, or from the default one
/// if that is null; it must outlive the module.
struct Dropout : Module {
  explicit Dropout(double probability = 0.5, Generator* source = nullptr)
      : p(probability), generator(source) {
    check(p >= 0 && p <= 1, "Dropout: expects a probability in [0, 1], got ", p);
  }
  Tensor forward(Tensor x) override {
    return dropout(x, p, is_training(), generator ? *generator : default_generator());
  }

  double p;
  Generator* generator;
};

}  // namespace karyon
