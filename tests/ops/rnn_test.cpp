#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/rnn.h>
#include <karyon/core/ops/shape.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

std::int64_t gates_of(RecurrentCell cell) {
  return cell == RecurrentCell::lstm ? 4 : cell == RecurrentCell::gru ? 3 : 1;
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

struct Units {
  std::vector<double> h, c;
};

// rows of weight times x, plus bias.
std::vector<double> affine(const Tensor& weight, const double* x, const Tensor& bias) {
  std::vector<double> y;
  for (std::int64_t i = 0; i < weight.size(0); ++i) {
    double sum = bias.defined() ? bias.data<double>()[i] : 0;
    for (std::int64_t k = 0; k < weight.size(1); ++k)
      sum += weight.data<double>()[i * weight.size(1) + k] * x[k];
    y.push_back(sum);
  }
  return y;
}

// One sample's step, as PyTorch's documentation defines it.
void step(RecurrentCell cell, const std::vector<double>& x, const std::vector<double>& u, Units& s) {
  const std::size_t n = s.h.size();
  for (std::size_t j = 0; j < n; ++j) {
    const auto gate = [&](std::size_t k) { return x[k * n + j] + u[k * n + j]; };
    if (cell == RecurrentCell::lstm) {
      s.c[j] = logistic(gate(1)) * s.c[j] + logistic(gate(0)) * std::tanh(gate(2));
      s.h[j] = logistic(gate(3)) * std::tanh(s.c[j]);
    } else if (cell == RecurrentCell::gru) {
      const double r = logistic(gate(0)), z = logistic(gate(1)),
                   m = std::tanh(x[2 * n + j] + r * u[2 * n + j]);
      s.h[j] = (1 - z) * m + z * s.h[j];
    } else {
      s.h[j] = cell == RecurrentCell::rnn_relu ? std::max(gate(0), 0.0) : std::tanh(gate(0));
    }
  }
}

// The output, then h, then c where there is one, each flat: all that recurrent() returns.
Tensor reference(RecurrentCell cell, const std::vector<Tensor>& in, bool reverse) {
  const Tensor &x = in[0], &h = in[1], &c = in[2];
  const std::int64_t steps = x.size(0), samples = x.size(1), inputs = x.size(2), units = in[4].size(1);
  const auto n = static_cast<std::size_t>(units);
  std::vector<double> y(static_cast<std::size_t>(steps * samples * units)), last_h, last_c;
  for (std::int64_t s = 0; s < samples; ++s) {
    const auto first = [&](const Tensor& all) {
      if (!all.defined()) return std::vector<double>(n);
      const double* from = all.data<double>() + s * units;
      return std::vector<double>(from, from + units);
    };
    Units state{first(h), first(c)};
    for (std::int64_t t = 0; t < steps; ++t) {
      const std::int64_t at = reverse ? steps - 1 - t : t;
      step(cell, affine(in[3], x.data<double>() + (at * samples + s) * inputs, in[5]),
           affine(in[4], state.h.data(), in[6]), state);
      std::copy(state.h.begin(), state.h.end(), y.begin() + (at * samples + s) * units);
    }
    last_h.insert(last_h.end(), state.h.begin(), state.h.end());
    last_c.insert(last_c.end(), state.c.begin(), state.c.end());
  }
  y.insert(y.end(), last_h.begin(), last_h.end());
  if (cell == RecurrentCell::lstm) y.insert(y.end(), last_c.begin(), last_c.end());
  return tensor(y, {.dtype = f64});
}

Tensor all_of(const RecurrentOutput& r) {
  std::vector<Tensor> parts{flatten(r.output), flatten(r.h)};
  if (r.c.defined()) parts.push_back(flatten(r.c));
  return cat(parts, 0);
}

Tensor run(RecurrentCell cell, const std::vector<Tensor>& in, bool reverse) {
  return all_of(recurrent(cell, in[0], in[1], in[2], {in[3], in[4], in[5], in[6]}, reverse));
}

struct Sizes {
  std::int64_t steps, samples, inputs, units;
};

// x, h, c, weight_ih, weight_hh, bias_ih, bias_hh.
std::vector<Tensor> inputs_of(RecurrentCell cell, const Sizes& n, bool bias, bool state) {
  Generator generator(5);
  const std::int64_t rows = gates_of(cell) * n.units;
  const auto optional = [&](bool wanted, const Shape& shape) {
    return wanted ? randn(shape, generator) * 0.5 : Tensor();
  };
  return {randn({n.steps, n.samples, n.inputs}, generator),
          optional(state, {n.samples, n.units}),
          optional(state && cell == RecurrentCell::lstm, {n.samples, n.units}),
          randn({rows, n.inputs}, generator) * 0.5,
          randn({rows, n.units}, generator) * 0.5,
          optional(bias, {rows}),
          optional(bias, {rows})};
}

}  // namespace

TEST_CASE("recurrent layers over odd shapes, in both directions") {
  for (const RecurrentCell cell : {RecurrentCell::rnn_tanh, RecurrentCell::lstm, RecurrentCell::gru})
    for (const Sizes& n : {Sizes{4, 3, 5, 7}, Sizes{1, 1, 1, 1}, Sizes{3, 2, 4, 17}, Sizes{2, 0, 3, 2}})
      for (const bool reverse : {false, true})
        for (const bool whole : {false, true}) {
          INFO("cell " << static_cast<int>(cell) << ", reverse " << reverse << ", whole " << whole);
          check_op(
              "recurrent", [=](const std::vector<Tensor>& x) { return run(cell, x, reverse); },
              [=](const std::vector<Tensor>& x) { return reference(cell, x, reverse); },
              inputs_of(cell, n, whole, whole), {.bf16_gradient_tolerance = 0.03});
        }
}

TEST_CASE("recurrent layers with ReLU") {
  // No sum lies near the kink.
  const auto inputs = inputs_of(RecurrentCell::rnn_relu, {3, 2, 3, 5}, true, true);
  check_op(
      "recurrent", [](const std::vector<Tensor>& x) { return run(RecurrentCell::rnn_relu, x, false); },
      [](const std::vector<Tensor>& x) { return reference(RecurrentCell::rnn_relu, x, false); }, inputs,
      {.bf16 = false});
}

TEST_CASE("recurrent layers have the same bits with any number of threads", "[cpu]") {
  for (const RecurrentCell cell : {RecurrentCell::rnn_tanh, RecurrentCell::lstm, RecurrentCell::gru})
    CHECK(same_for_any_thread_count([=] {
      auto x = inputs_of(cell, {3, 70, 20, 100}, true, false);
      for (Tensor& one : x)
        if (one.defined()) one.requires_grad_();
      const Tensor y = run(cell, x, false);
      sum(y * y).backward();
      return std::vector{y.detach(), x[0].grad(), x[3].grad(), x[4].grad(), x[6].grad()};
    }));
}

TEST_CASE("recurrent refuses what does not fit") {
  const auto with = [](RecurrentCell cell, const Shape& x, const RecurrentWeights& w, const Tensor& h = {},
                       const Tensor& c = {}) { return recurrent(cell, zeros(x), h, c, w); };
  const RecurrentWeights lstm{zeros({8, 3}), zeros({8, 2}), {}, {}},
      rnn{zeros({2, 3}), zeros({2, 2}), {}, {}};
  CHECK_THROWS_WITH(with(RecurrentCell::lstm, {0, 2, 3}, lstm), Contains("at least 1 step, got [0, 2, 3]"));
  CHECK_THROWS_WITH(with(RecurrentCell::lstm, {2, 3}, lstm), Contains("x [T, N, I]"));
  CHECK_THROWS_WITH(with(RecurrentCell::lstm, {4, 2, 3}, rnn), Contains("weight_hh [4 H, H]"));
  CHECK_THROWS_WITH(with(RecurrentCell::lstm, {4, 2, 5}, lstm), Contains("weight_ih [8, 5], got [8, 3]"));
  CHECK_THROWS_WITH(with(RecurrentCell::lstm, {4, 2, 3}, lstm, zeros({2, 3})), Contains("h of f32 [2, 2]"));
  CHECK_THROWS_WITH(with(RecurrentCell::rnn_tanh, {4, 2, 3}, rnn, {}, zeros({2, 2})),
                    Contains("c for LSTM alone"));
  CHECK_THROWS_WITH(with(RecurrentCell::rnn_tanh, {4, 2, 3}, {rnn.weight_ih, rnn.weight_hh, zeros({2}), {}}),
                    Contains("both biases"));
  CHECK_THROWS_WITH(
      with(RecurrentCell::rnn_tanh, {4, 2, 3}, {rnn.weight_ih, rnn.weight_hh, zeros({3}), zeros({3})}),
      Contains("biases of [2]"));
  CHECK_THROWS_WITH(recurrent(RecurrentCell::rnn_tanh, zeros({4, 2, 3}, {.dtype = f64}), {}, {}, rnn),
                    Contains("x's dtype f64"));
}
