#pragma once
#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/statistics.h>
#include <karyon/layers/module.h>

namespace karyon::test {

/// Every parameter of the network gets a gradient.
inline void check_gradients(Module& network, const Tensor& x) {
  square(network(x)).mean().backward();
  for (const auto& [name, p] : network.named_parameters()) {
    INFO(name);
    REQUIRE(p.grad().defined());
    const double norm = p.grad().norm().item<double>();
    CHECK(std::isfinite(norm));
    CHECK(norm > 0);
  }
}

}  // namespace karyon::test
