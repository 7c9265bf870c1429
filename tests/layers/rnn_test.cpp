#include <catch2/catch.hpp>

#include <karyon/core/autocast.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/layers/embedding.h>
#include <karyon/layers/norm.h>
#include <karyon/layers/rnn.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

std::vector<std::string> names(const Module& module) {
  std::vector<std::string> all;
  for (const auto& [name, x] : module.named_parameters()) all.push_back(name);
  return all;
}

}  // namespace

TEST_CASE("LSTM, GRU and RNN have PyTorch's parameters") {
  LSTM lstm(3, 5, {.num_layers = 2, .bidirectional = true});
  CHECK(names(lstm) == std::vector<std::string>{
                           "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_ih_l0_reverse",
                           "weight_hh_l0_reverse", "bias_ih_l0_reverse", "bias_hh_l0_reverse", "weight_ih_l1",
                           "weight_hh_l1", "bias_ih_l1", "bias_hh_l1", "weight_ih_l1_reverse",
                           "weight_hh_l1_reverse", "bias_ih_l1_reverse", "bias_hh_l1_reverse"});
  const StateDict state = lstm.state_dict();
  CHECK(state.at("weight_ih_l0").shape() == Shape{20, 3});
  CHECK(state.at("weight_ih_l1_reverse").shape() == Shape{20, 10});
  CHECK(GRU(3, 5).state_dict().at("weight_hh_l0").shape() == Shape{15, 5});
  CHECK(names(RNN(3, 5, {.bias = false})) == std::vector<std::string>{"weight_ih_l0", "weight_hh_l0"});
  CHECK(names(LSTMCell(3, 5)) == std::vector<std::string>{"weight_ih", "weight_hh", "bias_ih", "bias_hh"});
}

TEST_CASE("layers and directions of an LSTM are recurrent() one after another") {
  Generator generator(1);
  LSTM lstm(3, 4, {.num_layers = 2, .bidirectional = true, .generator = &generator});
  lstm.to(device());
  const StateDict w = lstm.state_dict();
  const auto weights = [&](const std::string& suffix) {
    return RecurrentWeights{w.at("weight_ih" + suffix), w.at("weight_hh" + suffix), w.at("bias_ih" + suffix),
                            w.at("bias_hh" + suffix)};
  };
  const Tensor x = randn({5, 2, 3}, generator).to(device()), h = randn({4, 2, 4}, generator).to(device()),
               c = randn({4, 2, 4}, generator).to(device());
  const RecurrentResult r = lstm.forward(x, {h, c});
  Tensor y = x;
  for (std::int64_t layer = 0; layer < 2; ++layer) {
    const std::string suffix = "_l" + std::to_string(layer);
    const auto one = recurrent(RecurrentCell::lstm, y, h[2 * layer], c[2 * layer], weights(suffix));
    const auto two = recurrent(RecurrentCell::lstm, y, h[2 * layer + 1], c[2 * layer + 1],
                               weights(suffix + "_reverse"), true);
    y = cat({one.output, two.output}, -1);
    CHECK(difference(r.state.h[2 * layer], one.h) == 0);
    CHECK(difference(r.state.c[2 * layer + 1], two.c) == 0);
  }
  CHECK(difference(r.output, y) == 0);
  CHECK(r.state.h.shape() == Shape{4, 2, 4});
  // One sample without its dimension, and samples first.
  const Tensor first = narrow(x, 1, 0, 1).reshape({5, 3});
  CHECK(difference(lstm(first), narrow(lstm(x), 1, 0, 1).reshape({5, 8})) < 1e-6);
  CHECK(difference((*clone(lstm))(x), lstm(x)) == 0);
  sum(square(lstm(x))).backward();
  for (const auto& [name, p] : lstm.named_parameters()) {
    INFO(name);
    CHECK(p.grad().defined());
  }
}

TEST_CASE("recurrent layers: samples first, dropout between layers, cells") {
  Generator generator(2);
  const Tensor x = randn({2, 5, 3}, generator).to(device());
  GRU gru(3, 4, {.num_layers = 2, .batch_first = true, .dropout = 0.5, .generator = &generator});
  gru.to(device());
  CHECK(gru(x).shape() == Shape{2, 5, 4});
  CHECK(difference(gru(x), gru(x)) > 0);
  gru.eval();
  CHECK(difference(gru(x), gru(x)) == 0);
  const RecurrentResult r = gru.forward(x, RecurrentState{});
  CHECK_FALSE(r.state.c.defined());
  CHECK(difference(r.state.h[1], select(r.output, 1, 4)) == 0);

  GRUCell cell(3, 4, {.generator = &generator});
  cell.to(device());
  const Tensor in = randn({2, 3}, generator).to(device()), h = randn({2, 4}, generator).to(device());
  CHECK(difference(cell.forward(in, {h}).h,
                   recurrent(RecurrentCell::gru, in.reshape({1, 2, 3}), h, {}, cell.weights).h) == 0);
  LSTMCell lstm(3, 4, {.bias = false, .generator = &generator});
  lstm.to(device());
  CHECK(lstm.forward(in, {h, h}).c.shape() == Shape{2, 4});
  CHECK(difference((*clone(lstm))(in), lstm(in)) == 0);
  RNN relu_layer(3, 4, Nonlinearity::relu, {.generator = &generator});
  relu_layer.to(device());
  CHECK(min(relu_layer(in)).item() >= 0);
  CHECK(difference((*clone(relu_layer))(in), relu_layer(in)) == 0);
}

TEST_CASE("recurrent layers under autocast, and of bf16") {
  Generator generator(4);
  LSTM lstm(3, 4, {.generator = &generator});
  lstm.to(device());
  const Tensor x = randn({5, 2, 3}, generator).to(device());
  const Tensor y = lstm(x);
  {
    const AutocastGuard autocast(bf16);
    const Tensor z = lstm(x);
    CHECK(z.dtype() == f32);
    CHECK(difference(z, y) < 0.02);
    sum(z).backward();
  }
  CHECK(lstm.parameters()[1].grad().dtype() == f32);
  const Tensor z = lstm(x.to(bf16));
  CHECK(z.dtype() == bf16);
  CHECK(difference(z, y) < 0.02);
}

TEST_CASE("recurrent layers refuse what does not fit") {
  LSTM lstm(3, 4);
  CHECK_THROWS_WITH(lstm(zeros({2, 2, 4})), Contains("LSTM: expects [T, N, 3] or [T, 3], got [2, 2, 4]"));
  CHECK_THROWS_WITH(lstm.forward(zeros({2, 2, 3}), {zeros({2, 2, 4}), {}}), Contains("units of 1 layers"));
  CHECK_THROWS_WITH(GRU(0, 4), Contains("GRU: expects sizes of at least 1"));
  CHECK_THROWS_WITH(RNN(3, 4, {.num_layers = 0}), Contains("at least 1 layer"));
  CHECK_THROWS_WITH(RNN(3, 4, {.dropout = 2}), Contains("dropout in [0, 1]"));
  CHECK_THROWS_WITH(GRUCell(3, 4)(zeros({2, 4})), Contains("GRUCell: expects [N, 3]"));
}

TEST_CASE("Embedding and RMSNorm as modules") {
  Generator generator(3);
  Embedding table(5, 4, {.padding_idx = -1, .generator = &generator});
  CHECK(table.weight.detach()[4].to_vector<double>() == std::vector<double>(4));
  table.to(device());
  const Tensor at = tensor<std::int64_t>({0, 4, 2}).to(device());
  CHECK(difference(table(at), embedding(at, table.weight)) == 0);
  sum(table(at)).backward();
  CHECK(table.weight.grad()[4].to_vector<double>() == std::vector<double>(4));
  CHECK(table.weight.grad()[2].to_vector<double>() == std::vector<double>(4, 1));
  CHECK(difference((*clone(table))(at), table(at)) == 0);
  CHECK_THROWS_WITH(Embedding(5, 4, {.padding_idx = 5}), Contains("padding_idx inside the 5 rows, got 5"));
  CHECK_THROWS_WITH(Embedding(0, 4), Contains("at least 1 row"));

  RMSNorm norm(Shape{4}, {.eps = 1e-3});
  norm.to(device());
  const Tensor x = randn({3, 4}, generator).to(device());
  CHECK(difference(norm(x), rms_norm(x, {4}, {}, {.eps = 1e-3})) < 1e-6);
  CHECK(names(norm) == std::vector<std::string>{"weight"});
  CHECK(names(RMSNorm(Shape{4}, {.elementwise_affine = false})).empty());
  CHECK(difference((*clone(norm))(x), norm(x)) == 0);
}
