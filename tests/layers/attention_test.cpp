#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/core/autocast.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/index.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/shape.h>
#include <karyon/layers/attention.h>
#include <karyon/layers/transformer.h>

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

// Attention of the heads of one sample by the definition, all scores at once.
// [L, E] and [S, E]; `added` [L, S].
Tensor by_definition(const MultiheadAttention& m, const Tensor& query, const Tensor& key,
                     const Tensor& added) {
  const std::int64_t size = m.embed_dim, width = size / m.num_heads;
  const auto part = [&](const Tensor& x, std::int64_t i) {
    return linear(x, narrow(m.in_proj_weight, 0, i * size, size), narrow(m.in_proj_bias, 0, i * size, size));
  };
  const Tensor q = part(query, 0), k = part(key, 1), v = part(key, 2);
  std::vector<Tensor> heads;
  for (std::int64_t h = 0; h < m.num_heads; ++h) {
    const auto of_head = [&](const Tensor& x) { return narrow(x, 1, h * width, width); };
    Tensor scores = matmul(of_head(q), transpose(of_head(k), 0, 1)) / std::sqrt(static_cast<double>(width));
    if (added.defined()) scores = scores + added;
    heads.push_back(matmul(softmax(scores, 1), of_head(v)));
  }
  return linear(cat(heads, 1), m.out_proj.weight, m.out_proj.bias);
}

}  // namespace

TEST_CASE("MultiheadAttention has PyTorch's parameters and computes heads by the definition") {
  Generator generator(1);
  for (const bool batch_first : {false, true}) {
    MultiheadAttention m(6, 3, {.batch_first = batch_first, .generator = &generator});
    CHECK(names(m) ==
          std::vector<std::string>{"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"});
    CHECK(m.in_proj_weight.shape() == Shape{18, 6});
    uniform_(m.in_proj_bias.requires_grad_(false), -1, 1, generator);
    m.to(device());
    const Tensor query = randn({2, 4, 6}, generator).to(device()),
                 key = randn({2, 5, 6}, generator).to(device());
    const auto placed = [&](const Tensor& x) { return batch_first ? x : transpose(x, 0, 1); };
    const Tensor y = placed(m.forward(placed(query), placed(key), placed(key)));
    for (std::int64_t n = 0; n < 2; ++n)
      CHECK(difference(y[n], by_definition(m, query[n], key[n], {})) < 1e-5);
    // Without samples, and with itself.
    CHECK(difference(m.forward(query[0], key[0], key[0]), y[0]) < 1e-6);
    CHECK(difference(m(placed(query)), m.forward(placed(query), placed(query), placed(query))) == 0);
  }
}

TEST_CASE("MultiheadAttention: masks hide where they are true, numbers are added") {
  Generator generator(2);
  MultiheadAttention m(4, 2, {.batch_first = true, .generator = &generator});
  m.to(device());
  const Tensor x = randn({2, 3, 4}, generator).to(device());
  const double inf = INFINITY;
  const Tensor numbers = randn({3, 3}, generator);
  const Tensor hidden = tensor({false, true, false, false, false, true, true, false, false}, {3, 3});
  const Tensor padding = tensor({false, false, true, false, false, false}, {2, 3});
  const Tensor past = tensor({0.0, -inf, -inf, 0.0, 0.0, -inf, 0.0, 0.0, 0.0}, {3, 3});
  const Tensor of_hidden = where(hidden, full({3, 3}, -inf), zeros({3, 3}));
  const auto of_padding = [&](std::int64_t n) {
    return where(padding[n], full({3}, -inf), zeros({3})).reshape({1, 3});
  };
  const auto check_masks = [&](const AttentionMasks& masks,
                               const std::function<Tensor(std::int64_t)>& added) {
    const Tensor y = m.forward(x, x, x, masks);
    for (std::int64_t n = 0; n < 2; ++n)
      CHECK(difference(y[n], by_definition(m, x[n], x[n], added(n).to(device()))) < 1e-5);
  };
  const Tensor on_device = hidden.to(device()), padded = padding.to(device());
  check_masks({.attn_mask = numbers.to(device())}, [&](std::int64_t) { return numbers; });
  check_masks({.attn_mask = on_device}, [&](std::int64_t) { return of_hidden; });
  check_masks({.key_padding_mask = padded}, of_padding);
  check_masks({.is_causal = true}, [&](std::int64_t) { return past; });
  check_masks({.attn_mask = on_device, .key_padding_mask = padded},
              [&](std::int64_t n) { return of_hidden + of_padding(n); });
  check_masks({.attn_mask = numbers.to(device()), .key_padding_mask = padded},
              [&](std::int64_t n) { return numbers + of_padding(n); });
  check_masks({.key_padding_mask = padded, .is_causal = true},
              [&](std::int64_t n) { return past + of_padding(n); });
  check_masks({.attn_mask = expand(numbers, {4, 3, 3}).to(device())}, [&](std::int64_t) { return numbers; });
}

TEST_CASE("MultiheadAttention drops weights in training alone, and trains all its parameters") {
  Generator generator(3);
  MultiheadAttention m(4, 2, {.dropout = 0.5, .generator = &generator});
  m.to(device());
  const Tensor x = randn({3, 2, 4}, generator).to(device());
  CHECK(difference(m(x), m(x)) > 0);
  m.eval();
  CHECK(difference(m(x), m(x)) == 0);
  sum(square(m(x))).backward();
  for (const auto& [name, p] : m.named_parameters()) {
    INFO(name);
    CHECK(p.grad().defined());
  }
  const auto copy = clone(m);
  CHECK(difference((*copy)(x), m(x)) == 0);
}

TEST_CASE("MultiheadAttention under autocast is bf16, with masks of any kind") {
  Generator generator(5);
  MultiheadAttention m(4, 2, {.generator = &generator});
  m.to(device());
  const Tensor x = randn({3, 2, 4}, generator).to(device());
  const Tensor numbers = randn({3, 3}, generator).to(device());
  const Tensor hidden = zeros({2, 3}, {.dtype = boolean, .device = device()});
  const AttentionMasks masks{.attn_mask = numbers, .key_padding_mask = hidden};
  const Tensor y = m.forward(x, x, x, masks);
  const AutocastGuard autocast(bf16);
  const Tensor z = m.forward(x, x, x, masks);
  CHECK(z.dtype() == bf16);
  CHECK(difference(z, y) < 0.03);
  sum(z).backward();
  CHECK(m.in_proj_weight.grad().dtype() == f32);
}

TEST_CASE("MultiheadAttention refuses what does not fit") {
  CHECK_THROWS_WITH(MultiheadAttention(5, 2), Contains("embed_dim divisible by 2 heads, got 5"));
  CHECK_THROWS_WITH(MultiheadAttention(4, 2, {.dropout = 2}), Contains("dropout in [0, 1]"));
  MultiheadAttention m(4, 2);
  const Tensor x = zeros({3, 2, 4});
  CHECK_THROWS_WITH(m(zeros({3, 2, 5})), Contains("ending in 4"));
  CHECK_THROWS_WITH(m.forward(x, x, zeros({3, 4})), Contains("of 2 or 3 dimensions"));
  CHECK_THROWS_WITH(m.forward(x, x, x, {.attn_mask = zeros({3, 2})}),
                    Contains("attn_mask [3, 3], got [3, 2]"));
  CHECK_THROWS_WITH(m.forward(x, x, x, {.attn_mask = zeros({2, 3, 3})}), Contains("attn_mask [4, 3, 3]"));
  CHECK_THROWS_WITH(m.forward(x, x, x, {.key_padding_mask = zeros({3, 2})}),
                    Contains("key_padding_mask [2, 3], got [3, 2]"));
}

TEST_CASE("TransformerEncoderLayer and TransformerEncoder are made of their parts") {
  Generator generator(4);
  const Tensor x = randn({2, 5, 8}, generator).to(device());
  for (const bool norm_first : {false, true}) {
    TransformerEncoderLayer layer(
        8, 2,
        {.dim_feedforward = 16,
         .dropout = 0.1,
         .activation = norm_first ? TransformerActivation::gelu : TransformerActivation::relu,
         .batch_first = true,
         .norm_first = norm_first,
         .generator = &generator});
    CHECK(names(layer) == std::vector<std::string>{"self_attn.in_proj_weight", "self_attn.in_proj_bias",
                                                   "self_attn.out_proj.weight", "self_attn.out_proj.bias",
                                                   "linear1.weight", "linear1.bias", "linear2.weight",
                                                   "linear2.bias", "norm1.weight", "norm1.bias",
                                                   "norm2.weight", "norm2.bias"});
    layer.to(device());
    CHECK(difference(layer(x), layer(x)) > 0);
    layer.eval();
    const auto feed = [&](const Tensor& in) {
      const Tensor inner = layer.linear1(in);
      return layer.linear2(norm_first ? gelu(inner) : relu(inner));
    };
    Tensor y;
    if (norm_first) {
      y = x + layer.self_attn(layer.norm1(x));
      y = y + feed(layer.norm2(y));
    } else {
      y = layer.norm1(x + layer.self_attn(x));
      y = layer.norm2(y + feed(y));
    }
    CHECK(difference(layer(x), y) < 1e-6);

    TransformerEncoder encoder(layer, 2, std::make_unique<LayerNorm>(Shape{8}));
    encoder.to(device());
    encoder.eval();
    CHECK(names(encoder).front() == "layers.0.self_attn.in_proj_weight");
    CHECK(names(encoder).back() == "norm.bias");
    CHECK(difference(encoder(x), layer_norm(layer(layer(x)), {8})) < 1e-5);
    CHECK(difference((*clone(encoder))(x), encoder(x)) == 0);
    // A query does not depend on what comes later.
    Tensor other = x.clone();
    other.index_put_({Slice(), 4}, 0);
    const AttentionMasks causal{.is_causal = true};
    CHECK(difference(narrow(encoder.forward(x, causal), 1, 0, 4),
                     narrow(encoder.forward(other, causal), 1, 0, 4)) < 1e-6);
  }
}
