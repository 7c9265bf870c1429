// Norms over any shape against their definition.
#include <karyon/core/ops/norm.h>

#include <map>

#include "tensors.h"

namespace {

using namespace fuzz;

/// Which values are averaged together: those of one key. And which weight goes with each.
struct Plan {
  std::vector<std::int64_t> group, parameter;
};

std::vector<double> normalized(const Tensor& x, const Plan& plan, const Tensor& weight, const Tensor& bias,
                               double eps) {
  const auto values = x.to_vector<double>();
  struct Sums {
    double count = 0, sum = 0, squares = 0;
  };
  std::map<std::int64_t, Sums> sums;
  for (std::size_t i = 0; i < values.size(); ++i)
    sums[plan.group[i]].count += 1, sums[plan.group[i]].sum += values[i];
  for (std::size_t i = 0; i < values.size(); ++i) {
    Sums& s = sums[plan.group[i]];
    s.squares += std::pow(values[i] - s.sum / s.count, 2);
  }
  const auto scale = weight.defined() ? weight.to_vector<double>() : std::vector<double>();
  const auto shift = bias.defined() ? bias.to_vector<double>() : std::vector<double>();
  std::vector<double> out;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Sums& s = sums[plan.group[i]];
    const auto p = static_cast<std::size_t>(plan.parameter[i]);
    const double y = (values[i] - s.sum / s.count) / std::sqrt(s.squares / s.count + eps);
    out.push_back(y * (scale.empty() ? 1 : scale[p]) + (shift.empty() ? 0 : shift[p]));
  }
  return out;
}

void run(Bytes input) {
  ByteReader in(input);
  const int kind = in.whole(0, 2);
  const DType dtype = in.one_of(floating), parameters = dtype == karyon::bf16 ? karyon::f32 : dtype;
  const bool with_weight = in.flag(), with_bias = in.flag(), relu = in.flag();
  const std::int64_t groups = any_size(in, 1, 6);
  Shape shape = any_shape(in, 1, 3, 7);
  shape.push_back(kind == 1 && groups > 0 && groups < 99 ? groups * in.between(1, 6) : in.between(0, 40));
  const int last = kind == 2 ? in.whole(1, shape.dims()) : 1;
  Shape normalized_shape;
  for (int d = shape.dims() - last; d < shape.dims(); ++d) normalized_shape.push_back(shape[d]);
  const double eps = in.one_of(std::array{1e-5, 1e-3, 0.1});
  const Tensor x = noise(shape, dtype, in.byte());
  const Tensor weight = with_weight ? noise(normalized_shape, parameters, 2) : Tensor();
  const Tensor bias = with_bias ? noise(normalized_shape, parameters, 3) : Tensor();
  const Op op = [&](const Tensors& t) {
    if (kind == 0)
      return karyon::batch_norm(t[0], t[1], t[2], {}, {}, {.training = true, .eps = eps, .relu = relu});
    if (kind == 1) return karyon::group_norm(t[0], groups, t[1], t[2], {.eps = eps});
    return karyon::layer_norm(t[0], normalized_shape, t[1], t[2], {.eps = eps});
  };
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = op({x, weight, bias}); })) return;
  Plan plan;
  const std::int64_t channels = shape[shape.dims() - 1], images = shape[0],
                     per_image = images > 0 ? x.numel() / images : 0;
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const std::int64_t c = i % channels;
    plan.group.push_back(kind == 0   ? c
                         : kind == 1 ? i / per_image * groups + c / (channels / groups)
                                     : i / normalized_shape.numel());
    plan.parameter.push_back(kind == 2 ? i % normalized_shape.numel() : c);
  }
  std::vector<double> want = normalized(x, plan, weight, bias, eps);
  if (kind == 0 && relu)
    for (double& value : want) value = std::max(value, 0.0);
  expect_close("norm", y, shape, want, dtype == karyon::f32 ? 1e-4 : rounding(dtype));
  if (dtype == karyon::f64 && !(kind == 0 && relu)) check_gradient("norm", op, {x, weight, bias}, 2e-3);
}

Inputs seeds() { return noise_seeds(64, 24); }

const Register target{{"norm", run, seeds}};

}  // namespace
