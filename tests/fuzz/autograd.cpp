// Small random programs on tensors: the slope by backward() against differences. Operations in between keep
// lazy results, views and shared tensors alive, or drop them.
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/resize.h>

#include "tensors.h"

namespace {

using namespace fuzz;

constexpr std::size_t most_steps = 12;

/// Values of a moderate size again, so that differences stay exact.
Tensor tamed(const Tensor& x) { return karyon::tanh(x); }

/// A tensor from two others. Throws Error where they do not fit.
Tensor step(ByteReader& in, const Tensor& a, const Tensor& b) {
  const int dim = a.dim() > 0 ? in.whole(0, a.dim() - 1) : 0;
  switch (in.byte() % 24) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    case 3: return a / (b * b + 1.0);
    case 4: return tamed(karyon::exp(a));
    case 5: return karyon::sigmoid(a);
    case 6: return karyon::silu(a);
    case 7: return karyon::softplus(a);
    case 8: return tamed(karyon::matmul(a, karyon::transpose(b, -1, -2)));
    case 9: return karyon::transpose(a, 0, dim);
    case 10: return karyon::sum(a, {dim}, in.flag());
    case 11: return karyon::mean(a, {dim}, true);
    case 12: return karyon::softmax(a, dim);
    case 13: return karyon::cat({a, b}, dim);
    case 14: return karyon::narrow(a, dim, 0, in.between(0, a.size(dim)));
    case 15: return karyon::select(a, dim, in.between(0, 2));
    case 16: return karyon::reshape(a, {-1, in.between(1, 4)});
    case 17:
      return karyon::pad(a, {.top = 1, .left = in.between(0, 2)},
                         in.flag() ? karyon::PadMode::reflect : karyon::PadMode::zeros);
    case 18: return tamed(karyon::conv2d(a, b, {}, {.padding = 1, .dilation = in.between(1, 2)}));
    case 19: return karyon::avg_pool2d(a, {.kernel_size = 2, .stride = 1, .padding = in.between(0, 1)});
    case 20:
      return karyon::interpolate(a, {3, in.between(1, 5)}, {.mode = karyon::InterpolateMode::bilinear});
    case 21: return tamed(karyon::batch_norm(a, {}, {}, {}, {}, {.training = true, .eps = 0.5}));
    case 22: return karyon::layer_norm(a, {a.size(-1)}, {}, {}, {.eps = 0.5});
    default: return karyon::where(karyon::gt(noise(b.shape(), karyon::f64, 5), 0.0), a, b);
  }
}

void run(Bytes input) {
  Tensors leaves;
  ByteReader header(input);
  for (int count = header.whole(1, 3); count > 0; --count)
    leaves.push_back(noise(any_shape(header, 0, 4, 4), karyon::f64, leaves.size()));
  const Bytes program = header.rest();
  const Op op = [&](const Tensors& given) {
    ByteReader in(program);
    Tensors values = given;
    for (std::size_t steps = 0; steps < most_steps && !in.empty(); ++steps) {
      const auto any = [&] {
        return values[static_cast<std::size_t>(in.between(0, static_cast<std::int64_t>(values.size()) - 1))];
      };
      const Tensor a = any(), b = any();
      Tensor result;
      if (!succeeds<karyon::Error>([&] { result = step(in, a, b); }) || result.numel() > 2000) continue;
      if (in.byte() % 8 == 0) values.erase(values.begin());
      values.push_back(result);
      if (in.byte() % 16 == 0 && values.size() > 1) std::swap(values.front(), values.back());
    }
    Tensor all = karyon::sum(values.front());
    for (const Tensor& value : values) all = all + karyon::sum(value);
    return all;
  };
  check_gradient("program", op, leaves, 1e-4);
}

Inputs seeds() { return noise_seeds(64, 48); }

const Register target{{"autograd", run, seeds}};

}  // namespace
