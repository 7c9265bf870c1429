// Losses of whole masks: Dice of classes, Tversky, Lovasz.
#include <algorithm>
#include <numeric>

#include <karyon/core/ops/elementwise.h>

#include "losses.h"

using namespace karyon;
using namespace karyon::test;

namespace {

// One number per pixel and channel: the truth of class indices, or the target itself; -1 where ignored.
std::vector<double> truth_of(const Tensor& target, std::int64_t c) {
  if (target.dtype() != i64) return target.to_vector<double>();
  std::vector<double> out;
  for (const std::int64_t k : target.to_vector<std::int64_t>())
    for (std::int64_t j = 0; j < c; ++j) out.push_back(k == -7 ? -1 : k == j ? 1 : 0);
  return out;
}

double tversky_reference(const std::vector<double>& p, const Tensor& target, const Shape& shape, double alpha,
                         double beta, double smooth) {
  const std::int64_t n = shape[0], c = shape[shape.dims() - 1], image = shape.numel() / n;
  const auto t = truth_of(target, c);
  double loss = 0;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k < c; ++k) {
      double both = 0, wrong = 0, missed = 0;
      for (std::int64_t j = i * image + k; j < (i + 1) * image; j += c) {
        const auto at = static_cast<std::size_t>(j);
        if (t[at] < 0) continue;
        both += p[at] * t[at];
        wrong += p[at] * (1 - t[at]);
        missed += (1 - p[at]) * t[at];
      }
      loss += 1 - (both + smooth) / (both + alpha * wrong + beta * missed + smooth);
    }
  return loss / static_cast<double>(n * c);
}

// The paper's algorithm: errors in falling order, times the growth of the Jaccard loss.
double lovasz_reference(std::vector<std::pair<double, bool>> errors) {
  std::sort(errors.begin(), errors.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  const auto positives = static_cast<double>(
      std::count_if(errors.begin(), errors.end(), [](const auto& e) { return e.second; }));
  double hits = 0, misses = 0, before = 0, loss = 0;
  for (const auto& [error, truth] : errors) {
    (truth ? hits : misses) += 1;
    const double jaccard = 1 - (positives - hits) / (positives + misses);
    loss += std::max(error, 0.0) * (jaccard - before);
    before = jaccard;
  }
  return loss;
}

const std::vector<Shape> image_shapes{{2, 3, 5, 1}, {1, 1}, {3, 4}, {2, 17, 3, 4}};

}  // namespace

TEST_CASE("tversky_loss of masks") {
  for (const Shape& shape : image_shapes)
    for (const double alpha : {0.3, 0.5, 1.0}) {
      const Tensor t = probabilities(shape, 1);
      check_op(
          "tversky_loss",
          [&](const auto& x) {
            return tversky_loss(x[0], as(t, x[0]), {.alpha = alpha, .beta = 1 - alpha / 2, .smooth = 0.5});
          },
          [&](const auto& x) {
            auto v = x[0].template to_vector<double>();
            for (double& value : v) value = p(value);
            return full({}, tversky_reference(v, t, shape, alpha, 1 - alpha / 2, 0.5), {.dtype = f64});
          },
          {random(shape, 2)});
    }
  // Dice is a special case.
  const Tensor x = random({2, 5, 5, 3}, 1), t = labels({2, 5, 5, 3}, 2);
  CHECK(tversky_loss(x, t, {.alpha = 0.5, .beta = 0.5, .smooth = 0.5}).item() ==
        Approx(dice_loss(x, t).item()));
}

TEST_CASE("dice_loss and tversky_loss of class indices") {
  for (const Shape& shape : image_shapes) {
    const std::int64_t c = shape[shape.dims() - 1];
    Shape pixels;
    for (int d = 0; d + 1 < shape.dims(); ++d) pixels.push_back(shape[d]);
    const Tensor t = classes(pixels, c, true);
    check_op(
        "dice_loss",
        [&](const auto& x) { return dice_loss(x[0], there(t, x[0]), {.smooth = 2, .ignore_index = -7}); },
        [&](const auto& x) {
          return full({}, tversky_reference(softmax_rows(x[0]), t, shape, 0.5, 0.5, 1), {.dtype = f64});
        },
        {random(shape, 2)});
    check_op(
        "tversky_loss",
        [&](const auto& x) { return tversky_loss(x[0], there(t, x[0]), {.ignore_index = -7}); },
        [&](const auto& x) {
          return full({}, tversky_reference(softmax_rows(x[0]), t, shape, 0.3, 0.7, 1), {.dtype = f64});
        },
        {random(shape, 2)});
  }
}

TEST_CASE("lovasz_hinge_loss") {
  for (const Shape& shape : image_shapes)
    for (const bool per_image : {true, false}) {
      const Tensor t = labels(shape, 1);
      check_op(
          "lovasz_hinge_loss",
          [&](const auto& x) { return lovasz_hinge_loss(x[0], as(t, x[0]), {.per_image = per_image}); },
          [&](const auto& x) {
            const auto v = x[0].template to_vector<double>(), truth = t.to_vector<double>();
            const std::size_t rows = per_image ? static_cast<std::size_t>(shape[0]) : 1, n = v.size() / rows;
            double loss = 0;
            for (std::size_t row = 0; row < rows; ++row) {
              std::vector<std::pair<double, bool>> errors;
              for (std::size_t i = row * n; i < (row + 1) * n; ++i)
                errors.push_back({1 - v[i] * (truth[i] > 0 ? 1 : -1), truth[i] > 0});
              loss += lovasz_reference(errors);
            }
            return full({}, loss / static_cast<double>(rows), {.dtype = f64});
          },
          {random(shape, 2)}, {.bf16_forward_tolerance = 0.02, .bf16_gradient_tolerance = 0.5});
    }
  // Nothing is true: the largest error.
  CHECK(lovasz_hinge_loss(tensor({-3, 2, 0}).reshape({1, 3}), zeros({1, 3})).item() == 3);
  CHECK(lovasz_hinge_loss(tensor({5, -5}).reshape({1, 2}), tensor({1, 0}).reshape({1, 2}).to(f32)).item() ==
        0);
}

TEST_CASE("lovasz_softmax_loss") {
  for (const Shape& shape : image_shapes)
    for (const bool per_image : {true, false})
      for (const bool all : {true, false}) {
        const std::int64_t c = shape[shape.dims() - 1];
        Shape pixels;
        for (int d = 0; d + 1 < shape.dims(); ++d) pixels.push_back(shape[d]);
        const Tensor t = classes(pixels, c, true);
        check_op(
            "lovasz_softmax_loss",
            [&](const auto& x) {
              return lovasz_softmax_loss(x[0], there(t, x[0]),
                                         {.per_image = per_image, .all_classes = all, .ignore_index = -7});
            },
            [&](const auto& x) {
              const auto prob = softmax_rows(x[0]), truth = truth_of(t, c);
              const std::size_t width = static_cast<std::size_t>(c),
                                rows = per_image ? static_cast<std::size_t>(shape[0]) : 1;
              const std::size_t n = prob.size() / rows;
              double loss = 0;
              for (std::size_t row = 0; row < rows; ++row) {
                double sum = 0, counted = 0;
                for (std::size_t k = 0; k < width; ++k) {
                  std::vector<std::pair<double, bool>> errors;
                  bool present = false;
                  for (std::size_t i = row * n + k; i < (row + 1) * n; i += width) {
                    if (truth[i] < 0) continue;
                    errors.push_back({std::abs(truth[i] - prob[i]), truth[i] > 0});
                    present = present || truth[i] > 0;
                  }
                  if (!present && !all) continue;
                  sum += lovasz_reference(errors);
                  counted += 1;
                }
                loss += sum / std::max(counted, 1.0);
              }
              return full({}, loss / static_cast<double>(rows), {.dtype = f64});
            },
            {random(shape, 2)}, {.bf16_forward_tolerance = 0.02, .bf16_gradient_tolerance = 0.5});
      }
  const Tensor ignored = full({2, 3}, -100, {.dtype = i64});
  CHECK(lovasz_softmax_loss(random({2, 3, 4}, 1), ignored).item() == 0);
}

TEST_CASE("losses of regions: threads and errors") {
  using Catch::Contains;
  const Tensor x = random({3, 31, 29, 5}, 1), t = classes({3, 31, 29}, 5), mask = labels({3, 31, 29, 5}, 2);
  CHECK(same_for_any_thread_count([&] {
    std::vector<Tensor> out;
    for (int which = 0; which < 4; ++which) {
      Tensor in = x.clone().requires_grad_();
      const Tensor loss = which == 0   ? dice_loss(in, t)
                          : which == 1 ? tversky_loss(in, mask)
                          : which == 2 ? lovasz_softmax_loss(in, t)
                                       : lovasz_hinge_loss(in, mask);
      loss.backward();
      out.push_back(loss);
      out.push_back(in.grad());
    }
    return out;
  }));
  const Tensor wanting = zeros({2, 3}).requires_grad_(), row = zeros({2, 3});
  CHECK_THROWS_WITH(tversky_loss(row, wanting), Contains("tversky_loss: the target requires a gradient"));
  CHECK_THROWS_WITH(tversky_loss(row, zeros({2})), Contains("tversky_loss: expects a target like the input"));
  CHECK_THROWS_WITH(tversky_loss(row, row, {.alpha = -1}),
                    Contains("expects alpha >= 0 and beta >= 0, got -1 and 0.7"));
  CHECK_THROWS_WITH(dice_loss(row, full({2}, 3, {.dtype = i64})), Contains("dice_loss: target"));
  CHECK_THROWS_WITH(dice_loss(row, classes({3}, 3)), Contains("expects input [..., C] and target [...]"));
  CHECK_THROWS_WITH(lovasz_softmax_loss(row, row),
                    Contains("lovasz_softmax_loss: expects a target of i64 or i32, got f32"));
  CHECK_THROWS_WITH(lovasz_softmax_loss(row, classes({3}, 3)), Contains("got [2, 3] and [3]"));
  CHECK_THROWS_WITH(lovasz_softmax_loss(row, full({2}, 3, {.dtype = i64})),
                    Contains("target 3 at position 0 is not a class in [0, 3)"));
  CHECK_THROWS_WITH(lovasz_hinge_loss(row, zeros({2})),
                    Contains("lovasz_hinge_loss: expects a target like the input"));
}
