// Plans of the real cuDNN for devices that are not there.
#include <algorithm>
#include <cstdlib>
#include <map>

#include <catch2/catch.hpp>

#include <karyon/core/check.h>
#include <karyon/core/kernels/conv.h>

#include "unet_convs.h"

using namespace karyon;
using namespace karyon::cuda;
using namespace karyon::test;
using Catch::Matchers::Contains;

namespace {

const cudnn::Target& device(const std::string& name) {
  static std::map<std::string, cudnn::Target> known;
  auto it = known.find(name);
  if (it == known.end()) it = known.emplace(name, device_json(name)).first;
  return it->second;
}

bool has_note(const cudnn::Plan& plan, cudnnBackendNumericalNote_t note) {
  const auto notes = cudnn::engine_notes(plan.config).numerical;
  return std::find(notes.begin(), notes.end(), note) != notes.end();
}

ConvGeometry small() {
  return {.n = 2, .h = 16, .w = 12, .c = 32, .h_out = 16, .w_out = 12, .k = 64, .kernel = 3, .padding = 1};
}

constexpr ConvDirection all_directions[] = {ConvDirection::forward, ConvDirection::backward_data,
                                            ConvDirection::backward_weight};

}  // namespace

TEST_CASE("cuDNN has a plan for every convolution of the U-Nets, on every device") {
  for (const NamedDevice& d : planned_devices())
    for (const DType dtype : d.dtypes)
      for (const std::int64_t base : {32, 64})
        for (const NamedConv& conv : unet_convs(base))
          for (const NamedDirection& direction : directions(conv, dtype)) {
            INFO(d.name << ": " << conv.name << ", " << direction.name << ": "
                        << describe(direction.problem));
            const ConvPlans found = find_conv_plans(direction.problem, device(d.name));
            INFO(found.explain());
            REQUIRE(found.plans.size() == 1);
            CHECK(found.plans[0].workspace <= std::size_t{1} << 30);
          }
}

TEST_CASE("Plans are deterministic and do not round f32 products") {
  int tensor_core = 0;
  for (const char* name : {"h100", "a100", "t4"})
    for (const ConvDirection direction : all_directions) {
      const ConvProblem exact{.direction = direction, .geometry = small()};
      const ConvPlans found = find_conv_plans(exact, device(name), {.most = 1000});
      INFO(name << ": " << describe(exact) << ": " << found.explain());
      CHECK(!found.plans.empty());
      for (const cudnn::Plan& plan : found.plans) {
        CHECK_FALSE(has_note(plan, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
        CHECK_FALSE(has_note(plan, CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
        CHECK_FALSE(has_note(plan, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS));
      }
      ConvProblem rounded = exact;
      rounded.tf32 = true;
      for (const cudnn::Plan& plan : find_conv_plans(rounded, device(name), {.most = 1000}).plans) {
        CHECK_FALSE(has_note(plan, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
        tensor_core += has_note(plan, CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
      }
    }
  CHECK(tensor_core > 0);  // there was something to leave out
}

TEST_CASE("Plans stay within the workspace they are given, and explain themselves") {
  const ConvProblem problem{.geometry = unet_convs(32)[1].geometry};  // the best plans turn the images around
  const ConvPlans all = find_conv_plans(problem, device("h100"), {.most = 1000});
  const ConvPlans frugal = find_conv_plans(problem, device("h100"), {.most = 1000, .max_workspace = 1 << 20});
  for (const cudnn::Plan& plan : frugal.plans) CHECK(plan.workspace <= 1 << 20);
  CHECK(frugal.large > 0);
  CHECK(frugal.plans.size() < all.plans.size());
  CHECK_THAT(frugal.explain(), Contains("need too much workspace"));
  CHECK(all.proposed == static_cast<int>(all.plans.size()) + all.nondeterministic + all.imprecise +
                            all.compiled + all.unsupported + all.large);
}

TEST_CASE("Strides, dilation, groups and odd sizes are planned or refused with a reason") {
  struct Case {
    const char* name;
    ConvGeometry geometry;
  };
  const Case cases[] = {
      {"one pixel", {.n = 1, .h = 1, .w = 1, .c = 1, .h_out = 1, .w_out = 1, .k = 1}},
      {"stride 2, one side",
       {.n = 2, .h = 9, .w = 7, .c = 5, .h_out = 4, .w_out = 5, .k = 7, .kernel = {3, 3}, .stride = {2, 1}}},
      {"dilation",
       {.n = 1, .h = 9, .w = 9, .c = 8, .h_out = 5, .w_out = 5, .k = 8, .kernel = 3, .dilation = 2}},
      {"groups",
       {.n = 1,
        .h = 8,
        .w = 8,
        .c = 8,
        .h_out = 8,
        .w_out = 8,
        .k = 16,
        .kernel = 3,
        .padding = 1,
        .groups = 2}},
      {"depthwise",
       {.n = 1,
        .h = 8,
        .w = 8,
        .c = 8,
        .h_out = 8,
        .w_out = 8,
        .k = 8,
        .kernel = 3,
        .padding = 1,
        .groups = 8}},
  };
  for (const Case& c : cases)
    for (const ConvDirection direction : all_directions) {
      const ConvProblem problem{.direction = direction, .geometry = c.geometry};
      const ConvPlans found = find_conv_plans(problem, device("h100"));
      INFO(c.name << ": " << describe(problem) << ": " << found.explain());
      CHECK(!found.plans.empty());
    }
}

TEST_CASE("A device without bf16 has no plan for it") {
  const ConvPlans found = find_conv_plans({.geometry = small(), .dtype = bf16}, device("t4"));
  CHECK(found.plans.empty());
}

TEST_CASE("Wrong shapes are refused with the shapes and cuDNN's reason") {
  for (const ConvDirection direction : all_directions) {
    ConvProblem problem{.direction = direction, .geometry = small()};
    problem.geometry.h_out = 17;
    CHECK_THROWS_WITH(find_conv_plans(problem, device("h100")),
                      Contains("x [2, 16, 12, 32], weight [64, 3, 3, 32], y [2, 17, 12, 64]") &&
                          Contains("cudnnBackendFinalize at ") && Contains("CUDNN_STATUS_BAD_PARAM"));
    problem.geometry = small();
    problem.geometry.stride = 0;
    CHECK_THROWS_WITH(find_conv_plans(problem, device("h100")), Contains("CUDNN_STATUS_BAD_PARAM"));
    problem.geometry = small();
    problem.geometry.groups = 5;
    CHECK_THROWS_WITH(find_conv_plans(problem, device("h100")), Contains("do not divide into 5 groups"));
    problem.geometry = small();
    problem.geometry.n = 0;
    CHECK_THROWS_AS(find_conv_plans(problem, device("h100")), Error);
    problem.geometry = small();
    problem.dtype = f64;
    CHECK_THROWS_WITH(find_conv_plans(problem, device("h100")), Contains("expects f32 or bf16, got f64"));
  }
  CHECK_THROWS_WITH(
      find_conv_plans({.direction = ConvDirection::backward_data, .geometry = small(), .shift = true},
                      device("h100")),
      Contains("only behind a forward convolution"));
}

TEST_CASE("A device's properties that make no sense are refused") {
  CHECK_THROWS_AS(cudnn::Target("{"), Error);
  CHECK_THROWS_AS(cudnn::Target(std::string()), Error);
  CHECK_THROWS_WITH(device_json("h200"), Contains("h200.json"));
}

// Run with KARYON_CUDNN naming something that is not cuDNN.
TEST_CASE("Without libcudnn there is a reason, not a crash", "[.missing]") {
  REQUIRE(std::getenv("KARYON_CUDNN"));
  CHECK_THAT(cudnn::why_unavailable(),
             Contains("no such") || Contains("No such") || Contains("has no function"));
  CHECK(cudnn::why_unavailable().find('\n') == std::string::npos);
  CHECK_THROWS_WITH(cudnn::version(), Contains(cudnn::why_unavailable()));
  CHECK_THROWS_AS(cudnn::Handle(), Error);
  CHECK_THROWS_AS(cudnn::Target(device_json("h100")), Error);
}
