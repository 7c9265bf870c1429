// The gradient penalty of a critic (Gulrajani et al., 2017, "Improved training of Wasserstein GANs"): its
// gradients are those of gradients, through convolutions, a norm, pools and activations.
#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/karyon.h>

using namespace karyon;

namespace {

// sin(f), sin(2 f), ...
Tensor wave(const Shape& shape, double f) {
  std::vector<double> values;
  for (std::int64_t i = 1; i <= shape.numel(); ++i) values.push_back(std::sin(f * static_cast<double>(i)));
  return tensor(values, shape, {.dtype = f64});
}

// The inputs: images, then the critic's parameters.
std::vector<Tensor> inputs() {
  return {wave({2, 6, 5, 3}, 0.7),       wave({4, 3, 3, 3}, 0.9) * 0.5, wave({4}, 1.3),
          wave({5, 3, 3, 4}, 1.1) * 0.5, wave({5}, 0.4) * 0.3 + 1.0,    wave({1, 5}, 0.6)};
}

Tensor penalty(const std::vector<Tensor>& in) {
  const EnableGradGuard on;
  Tensor h = leaky_relu(conv2d(in[0], in[1], in[2], {.padding = 1}), 0.2);
  h = conv2d(h, in[3], {}, {.stride = 2, .padding = 1});
  h = max_pool2d(silu(group_norm(h, 1, in[4], {}, {})), {.kernel_size = 2});
  const Tensor scores = linear(tanh(h.reshape({2, 5})), in[5], {});
  const Tensor dx = grad({scores.sum()}, {in[0]}, {}, {.create_graph = true})[0];
  return square(norm(dx.reshape({2, -1}), 2, {1}) - 1).mean();
}

}  // namespace

TEST_CASE("a gradient penalty and its gradients are PyTorch's") {
  std::vector<Tensor> leaves;
  for (const Tensor& x : inputs()) leaves.push_back(x.clone().requires_grad_());
  const Tensor loss = penalty(leaves);
  CHECK(loss.item<double>() == Approx(0.010833751611572245).epsilon(1e-10));
  loss.backward();
  // Sums of the gradients times sin(0.31), sin(0.62), ...: by PyTorch 2 in f64.
  const double expected[] = {-0.04369232232781241, 0.03322892173796197, -0.032672167629041855,
                             0.0923246485776048,   0.08247956300406288, 0.13200003140713099};
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    INFO("input " << i);
    const Tensor& dx = leaves[i].grad();
    REQUIRE(dx.defined());
    CHECK((dx * wave(dx.shape(), 0.31)).sum().item<double>() == Approx(expected[i]).epsilon(1e-9));
  }
}

TEST_CASE("the gradients of a gradient penalty are finite differences") {
  const GradcheckResult result = gradcheck(penalty, inputs(), {.fast_mode = true});
  INFO(result.message);
  CHECK(result.ok);
}
