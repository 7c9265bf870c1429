#include <catch2/catch.hpp>
#include <map>
#include <utility>

#include <karyon/core/autocast.h>
#include <karyon/core/ops/einsum.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/matmul.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

Tensor normal(const Shape& shape, std::uint64_t seed = 1) {
  Generator generator(seed);
  return randn(shape, generator);
}

// One loop over all values of all letters; `terms` are the letters of the operands, without ellipsis.
Tensor by_definition(const std::vector<std::string>& terms, const std::string& result,
                     const std::vector<Tensor>& in) {
  std::map<char, std::int64_t> size;
  for (std::size_t k = 0; k < terms.size(); ++k)
    for (std::size_t d = 0; d < terms[k].size(); ++d) {
      std::int64_t& s = size.try_emplace(terms[k][d], 1).first->second;
      s = s == 1 ? in[k].size(static_cast<int>(d)) : s;
    }
  std::map<char, std::int64_t> index;
  const auto offset = [&](const std::string& letters, const auto& size_of) {
    std::int64_t at = 0;
    for (std::size_t d = 0; d < letters.size(); ++d) {
      const std::int64_t n = size_of(d);
      at = at * n + (n == 1 ? 0 : index[letters[d]]);
    }
    return static_cast<std::size_t>(at);
  };
  std::int64_t count = 1;
  for (const auto& entry : size) count *= entry.second;
  Shape shape;
  for (const char letter : result) shape.push_back(size[letter]);
  std::vector<std::vector<double>> values;
  for (const Tensor& x : in) values.push_back(x.to_vector<double>());
  std::vector<double> out(static_cast<std::size_t>(shape.numel()));
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t rest = i;
    for (const auto& entry : size) {
      index[entry.first] = rest % entry.second;
      rest /= entry.second;
    }
    double term = 1;
    for (std::size_t k = 0; k < terms.size(); ++k)
      term *= values[k][offset(terms[k], [&](std::size_t d) { return in[k].size(static_cast<int>(d)); })];
    out[offset(result, [&](std::size_t d) { return shape[static_cast<int>(d)]; })] += term;
  }
  return tensor(out, shape, {.dtype = f64});
}

struct Case {
  std::string equation;
  std::vector<Shape> shapes;
  std::vector<std::string> terms = {};  // letters in place of an ellipsis; read from the equation if empty
  std::string result = {};
};

void check_case(Case c) {
  if (c.terms.empty()) {
    const std::size_t arrow = c.equation.find("->");
    std::string term;
    for (const char letter : c.equation.substr(0, arrow) + ",") {
      if (letter == ',') c.terms.push_back(std::exchange(term, {}));
      if (letter != ',' && letter != ' ') term += letter;
    }
    for (const char letter : c.equation.substr(arrow + 2))
      if (letter != ' ') c.result += letter;
  }
  std::vector<Tensor> inputs;
  for (const Shape& shape : c.shapes) inputs.push_back(normal(shape, inputs.size() + 1));
  // bf16 rounds once for each pair of operands, and each sum before it.
  const bool one_product = c.shapes.size() <= 2;
  check_op(
      "einsum " + c.equation, [&](const auto& x) { return einsum(c.equation, x); },
      [&](const auto& x) { return by_definition(c.terms, c.result, x); }, inputs,
      {.bf16_forward_tolerance = 4 * 1.125 / 256,
       .bf16_gradient_tolerance = 8 * 1.125 / 256,
       .bf16 = one_product});
}

}  // namespace

TEST_CASE("einsum of one operand permutes, sums and takes diagonals") {
  for (const Case& c : std::vector<Case>{{"ij->ji", {{2, 3}}},
                                         {"ijk->kij", {{2, 3, 4}}},
                                         {"ij->", {{3, 5}}},
                                         {"ij->j", {{3, 5}}},
                                         {"ii->i", {{4, 4}}},
                                         {"ii->", {{4, 4}}},
                                         {"iji->ji", {{3, 2, 3}}},
                                         {"iiji->ij", {{2, 2, 3, 2}}},
                                         {"ijij->ij", {{2, 3, 2, 3}}},
                                         {"->", {{}}},
                                         {"aB->Ba", {{2, 3}}},
                                         {"ij->j", {{0, 3}}}})
    check_case(c);
}

TEST_CASE("einsum of two operands") {
  for (const Case& c : std::vector<Case>{{"ij,jk->ik", {{3, 5}, {5, 7}}},
                                         {"ij,kj->ik", {{3, 5}, {7, 5}}},
                                         {"ji,kj->ki", {{5, 3}, {7, 5}}},
                                         {"bij,bjk->bik", {{2, 3, 5}, {2, 5, 4}}},
                                         {"bhid,bhjd->bhij", {{2, 3, 4, 5}, {2, 3, 2, 5}}},
                                         {"i,i->", {{7}, {7}}},
                                         {"i,j->ij", {{3}, {5}}},
                                         {"i,j->ji", {{3}, {5}}},
                                         {"ij,ij->ij", {{3, 5}, {3, 5}}},
                                         {"ij,ij->", {{3, 5}, {3, 5}}},
                                         {"ij,j->i", {{3, 5}, {5}}},
                                         {"ij,k->k", {{3, 5}, {2}}},
                                         {"ij,jk->", {{3, 5}, {5, 2}}},
                                         {"ijk,jil->kl", {{2, 3, 4}, {3, 2, 5}}},
                                         {"ii,ij->j", {{3, 3}, {3, 2}}},
                                         {",ij->ji", {{}, {2, 3}}},
                                         {"nhwc, kc -> nhwk", {{2, 3, 2, 4}, {5, 4}}},
                                         {"ij,jk->ik", {{2, 1}, {3, 4}}},
                                         {"ij,ij->ij", {{1, 3}, {2, 1}}},
                                         {"bij,bjk->bik", {{1, 2, 3}, {2, 3, 2}}},
                                         {"ij,jk->ik", {{1, 1}, {1, 1}}},
                                         {"ij,jk->ik", {{0, 2}, {2, 3}}},
                                         {"ij,jk->ik", {{2, 0}, {0, 3}}}})
    check_case(c);
}

TEST_CASE("einsum of three operands") {
  for (const Case& c : std::vector<Case>{{"i,ij,j->", {{3}, {3, 5}, {5}}},
                                         {"ij,jk,kl->il", {{2, 3}, {3, 4}, {4, 2}}},
                                         {"bn,anm,bm->ba", {{2, 3}, {4, 3, 2}, {2, 2}}},
                                         {"i,i,i->i", {{5}, {5}, {5}}},
                                         {"a,b,c->cba", {{2}, {3}, {4}}}})
    check_case(c);
}

TEST_CASE("einsum with an ellipsis, and without a result") {
  for (const Case& c :
       std::vector<Case>{{"...ij->...ji", {{2, 3, 4, 5}}, {"abij"}, "abji"},
                         {"i...->...", {{2, 3, 4}}, {"iab"}, "ab"},
                         {"...->...", {{2, 3}}, {"ab"}, "ab"},
                         {"...ij,...jk->...ik", {{2, 1, 3, 4}, {5, 4, 2}}, {"abij", "bjk"}, "abik"},
                         {"...i,i->...", {{2, 3, 4}, {4}}, {"abi", "i"}, "ab"},
                         {"...i,i", {{2, 3, 4}, {4}}, {"abi", "i"}, "ab"},
                         {"...,...->...", {{2, 3}, {3}}, {"ab", "b"}, "ab"},
                         {"...ij->ij", {{2, 3, 4}}, {"aij"}, "ij"},
                         {"a...b,...->b...a", {{2, 3, 4}, {3}}, {"axb", "x"}, "bxa"},
                         {"i...,j->j...i", {{2}, {3}}, {"i", "j"}, "ji"},
                         {"ij,jk", {{2, 3}, {3, 4}}, {"ij", "jk"}, "ik"},
                         {"ba", {{2, 3}}, {"ba"}, "ab"},
                         {"bA", {{2, 3}}, {"bA"}, "Ab"},
                         {"ii", {{3, 3}}, {"ii"}, ""},
                         {"ij,ji", {{2, 3}, {3, 2}}, {"ij", "ji"}, ""}})
    check_case(c);
}

TEST_CASE("einsum keeps the dtype, moves any and follows autocast") {
  const Tensor whole = arange(6).reshape({2, 3});
  CHECK(einsum("ij->ji", {whole}).to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 3, 1, 4, 2, 5});
  CHECK(einsum("ij->i", {gt(whole, 2)}).to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 3});
  CHECK(einsum("ij->i", {whole}).to_vector<std::int64_t>() == std::vector<std::int64_t>{3, 12});
  CHECK(einsum("i,j->ij", {arange(2), arange(3)}).dtype() == i64);
  CHECK(einsum("ij->j", {ones({300, 2}, {.dtype = bf16})}).dtype() == bf16);
  const AutocastGuard autocast(bf16);
  CHECK(einsum("ij,jk->ik", {ones({2, 3}), ones({3, 2})}).dtype() == bf16);
}

TEST_CASE("einsum refuses equations that do not fit") {
  const Tensor x = zeros({2, 3});
  CHECK_THROWS_WITH(einsum("ij", {}), Contains("at least one operand"));
  CHECK_THROWS_WITH(einsum("ij,jk->ik", {x}), Contains("the equation has 2 operands, got 1"));
  CHECK_THROWS_WITH(einsum("ij->ij", {x, x}), Contains("the equation has 1 operands, got 2"));
  CHECK_THROWS_WITH(einsum("ijk->i", {x}), Contains("operand 0 has 3 letters for [2, 3]"));
  CHECK_THROWS_WITH(einsum("i->i", {x}), Contains("operand 0 has 1 letters for [2, 3]"));
  CHECK_THROWS_WITH(einsum("ijk...->i", {x}), Contains("operand 0 has 3 letters"));
  CHECK_THROWS_WITH(einsum("i1->i", {x}), Contains("expects letters, got 'i1'"));
  CHECK_THROWS_WITH(einsum("i..->i", {x}), Contains("expects letters, got 'i..'"));
  CHECK_THROWS_WITH(einsum("......->i", {x}), Contains("expects one ellipsis"));
  CHECK_THROWS_WITH(einsum("ij->i->j", {x}), Contains("expects letters, got 'i->j'"));
  CHECK_THROWS_WITH(einsum("ij->ii", {x}), Contains("the result has 'i' twice"));
  CHECK_THROWS_WITH(einsum("ij->ik", {x}), Contains("the result has 'k', which no operand has"));
  CHECK_THROWS_WITH(einsum("ij,jk->ik", {x, zeros({4, 2})}), Contains("'j' has sizes 3 and 4"));
  CHECK_THROWS_WITH(einsum("...j,...j", {x, zeros({4, 3})}), Contains("'...' has sizes 2 and 4"));
  CHECK_THROWS_WITH(einsum("ii->i", {x}), Contains("operand 0 has 'i' for sizes 2 and 3"));
  CHECK_THROWS_WITH(einsum("ij,jk", {x, zeros({3, 2}, {.dtype = f64})}),
                    Contains("matmul: expects one dtype"));
}

TEST_CASE("products of matrices and vectors by their names") {
  const auto check_product = [](const char* name, const Op& op, const std::vector<std::string>& terms,
                                const std::string& result, const std::vector<Shape>& shapes) {
    std::vector<Tensor> inputs;
    for (const Shape& shape : shapes) inputs.push_back(normal(shape, inputs.size() + 1));
    check_op(
        name, op, [&](const auto& x) { return by_definition(terms, result, x); }, inputs);
  };
  for (const std::int64_t k : {1, 5, 0}) {
    check_product("mm", [](const auto& x) { return mm(x[0], x[1]); }, {"ij", "jk"}, "ik", {{3, k}, {k, 2}});
    check_product("bmm", [](const auto& x) { return bmm(x[0], x[1]); }, {"bij", "bjk"}, "bik",
                  {{2, 3, k}, {2, k, 4}});
    check_product("mv", [](const auto& x) { return mv(x[0], x[1]); }, {"ij", "j"}, "i", {{3, k}, {k}});
    check_product("dot", [](const auto& x) { return dot(x[0], x[1]); }, {"i", "i"}, "", {{k}, {k}});
    check_product("outer", [](const auto& x) { return outer(x[0], x[1]); }, {"i", "j"}, "ij", {{3}, {k}});
  }
  CHECK_THROWS_WITH(mm(zeros({2, 3, 4}), zeros({4, 2})), Contains("mm: expects two matrices"));
  CHECK_THROWS_WITH(bmm(zeros({1, 2, 3}), zeros({2, 3, 2})),
                    Contains("bmm: expects [B, M, K] and [B, K, N]"));
  CHECK_THROWS_WITH(mv(zeros({2, 3}), zeros({3, 1})), Contains("mv: expects a matrix and a vector"));
  CHECK_THROWS_WITH(mv(zeros({2, 3}), zeros({4})), Contains("has 3 columns"));
  CHECK_THROWS_WITH(dot(zeros({3}), zeros({4})),
                    Contains("dot: expects two vectors of one size, got [3] and [4]"));
  CHECK_THROWS_WITH(outer(zeros({3, 1}), zeros({4})), Contains("outer: expects two vectors"));
}

TEST_CASE("addmm and baddbmm add a product") {
  for (const bool batched : {false, true})
    for (const Shape& shape : {Shape{3, 4}, Shape{4}, Shape{3, 1}, Shape{}})
      for (const auto& options : {AddProductOptions{}, AddProductOptions{.beta = 0.5, .alpha = -2}}) {
        const Shape a = batched ? Shape{2, 3, 5} : Shape{3, 5}, b = batched ? Shape{2, 5, 4} : Shape{5, 4};
        check_op(
            batched ? "baddbmm" : "addmm",
            [&](const auto& x) {
              return batched ? baddbmm(x[0], x[1], x[2], options) : addmm(x[0], x[1], x[2], options);
            },
            [&](const auto& x) {
              const Tensor y = batched ? by_definition({"bij", "bjk"}, "bik", {x[1], x[2]})
                                       : by_definition({"ij", "jk"}, "ik", {x[1], x[2]});
              return x[0] * options.beta + y * options.alpha;
            },
            {normal(shape, 1), normal(a, 2), normal(b, 3)},
            {.bf16_forward_tolerance = 4 * 1.125 / 256, .bf16_gradient_tolerance = 6 * 1.125 / 256});
      }
  Tensor lost = full({2, 2}, NAN).requires_grad_();
  const Tensor y = addmm(lost, ones({2, 3}), ones({3, 2}), {.beta = 0, .alpha = 2});
  CHECK(y.to_vector<float>() == std::vector<float>(4, 6));
  y.backward(ones({2, 2}));
  CHECK(lost.grad().to_vector<float>() == std::vector<float>(4, 0));
  CHECK_THROWS_WITH(addmm(zeros({2}), zeros({2, 3}), zeros({3, 4})),
                    Contains("addmm: shapes [2] and [2, 4]"));
  CHECK_THROWS_WITH(addmm(zeros({2, 2, 4}), zeros({2, 3}), zeros({3, 4})),
                    Contains("expects x to broadcast to [2, 4], got [2, 2, 4]"));
  CHECK_THROWS_WITH(addmm(zeros({}), zeros({1, 2, 3}), zeros({3, 4})),
                    Contains("addmm: expects two matrices"));
  CHECK_THROWS_WITH(baddbmm(zeros({}), zeros({2, 3}), zeros({3, 4})), Contains("baddbmm: expects [B, M, K]"));
}
