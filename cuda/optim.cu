// The updates of optimizers. The one idea: a network has many small parameters, and a launch for each would
// cost more than the memory it moves; so one launch updates up to 64 tensors, a block finding its own in a
// table that comes with the kernel's arguments. Every array is read and written once.
#include <cmath>

#include <karyon/core/kernels/optim.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>
#include <karyon/cuda/reduce.cuh>

namespace karyon::cuda {
namespace {

constexpr int threads = 256;
constexpr int per_block = 4 * threads;  // elements; four for each thread
constexpr int most_tensors = 64;

// Arrays that are updated alike: the gradients, then what changes.
template <int Changed>
struct Tensors {
  const float* grad[most_tensors];
  float* changed[Changed][most_tensors];
  std::int64_t numel[most_tensors];
  unsigned first_block[most_tensors + 1];
  int count = 0;
  bool vectors = true;  // all are aligned
};

template <int Changed, class F>
__global__ void __launch_bounds__(threads)
    update_kernel(const __grid_constant__ Tensors<Changed> tensors, F f) {
  int low = 0, high = tensors.count;  // the tensor of this block is in [low, high)
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (tensors.first_block[middle] <= blockIdx.x ? low : high) = middle;
  }
  const std::int64_t n = tensors.numel[low];
  const std::int64_t i = (std::int64_t{blockIdx.x - tensors.first_block[low]} * threads + threadIdx.x) * 4;
  const float* grad = tensors.grad[low];
  float* changed[Changed];
#pragma unroll
  for (int c = 0; c < Changed; ++c) changed[c] = tensors.changed[c][low];
  if (tensors.vectors && i + 4 <= n) {
    const Vec<float, 4> g = load<4>(grad + i);
    Vec<float, 4> values[Changed];
#pragma unroll
    for (int c = 0; c < Changed; ++c) values[c] = load<4>(changed[c] + i);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      float one[Changed];
#pragma unroll
      for (int c = 0; c < Changed; ++c) one[c] = values[c][k];
      f(g[k], one);
#pragma unroll
      for (int c = 0; c < Changed; ++c) values[c][k] = one[c];
    }
#pragma unroll
    for (int c = 0; c < Changed; ++c) store(changed[c] + i, values[c]);
  } else {
#pragma unroll 1
    for (std::int64_t k = i; k < i + 4 && k < n; ++k) {
      float one[Changed];
#pragma unroll
      for (int c = 0; c < Changed; ++c) one[c] = changed[c][k];
      f(grad[k], one);
#pragma unroll
      for (int c = 0; c < Changed; ++c) changed[c][k] = one[c];
    }
  }
}

// f(gradient, values) on every element; values are those of `changed`, in order.
template <class F, class... Changed>
void update(const char* op, F f, const std::vector<Tensor>& grads, Changed&... changed) {
  constexpr int count = sizeof...(Changed);
  Tensors<count> tensors;
  unsigned blocks = 0;
  auto flush = [&] {
    tensors.first_block[tensors.count] = blocks;
    launch(update_kernel<count, F>, blocks, threads, 0, tensors, f);
    tensors = {};
    blocks = 0;
  };
  for (std::size_t i = 0; i < grads.size(); ++i) {
    if (tensors.count == most_tensors) flush();
    check_f32(op, grads[i]);
    const int t = tensors.count++;
    tensors.grad[t] = grads[i].template data<float>();
    tensors.numel[t] = grads[i].numel();
    tensors.first_block[t] = blocks;
    blocks += grid_for(grads[i].numel(), per_block);
    int c = 0;
    auto add = [&](Tensor& x) {
      tensors.changed[c++][t] = x.data<float>();
      tensors.vectors = tensors.vectors && aligned(16, x.data<float>());
    };
    tensors.vectors = tensors.vectors && aligned(16, tensors.grad[t]);
    (add(changed[i]), ...);
  }
  if (tensors.count > 0) flush();
}

struct SgdPlain {
  float lr, decay;
  __device__ void operator()(float g, float (&p)[1]) const { p[0] -= lr * (g + decay * p[0]); }
};
struct SgdMomentum {
  float lr, momentum, fresh, decay;
  bool nesterov;
  __device__ void operator()(float g, float (&p)[2]) const {
    const float d = g + decay * p[0];
    p[1] = momentum * p[1] + fresh * d;
    p[0] -= lr * (nesterov ? d + momentum * p[1] : p[1]);
  }
};
void sgd_step(const kernels::SGDStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
              std::vector<Tensor>& velocity) {
  const auto lr = static_cast<float>(s.lr), decay = static_cast<float>(s.weight_decay);
  if (velocity.empty()) return update("SGD", SgdPlain{lr, decay}, grad, p);
  const SgdMomentum f{.lr = lr,
                      .momentum = static_cast<float>(s.momentum),
                      .fresh = static_cast<float>(s.first ? 1 : 1 - s.dampening),
                      .decay = decay,
                      .nesterov = s.nesterov};
  update("SGD", f, grad, p, velocity);
}

struct Adam {
  float beta1, beta2, rest1, rest2;
  float rate;  // lr / (1 - beta1^step)
  float root;  // 1 / sqrt(1 - beta2^step)
  float eps, decay;
  float keep;  // what decoupled weight decay leaves of a parameter
  __device__ void operator()(float g, float (&p)[3]) const {
    const float d = g + decay * p[0];
    p[1] = beta1 * p[1] + rest1 * d;
    p[2] = beta2 * p[2] + rest2 * d * d;
    p[0] = keep * p[0] - rate * p[1] / (std::sqrt(p[2]) * root + eps);
  }
};
void adam_step(const kernels::AdamStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
               std::vector<Tensor>& m, std::vector<Tensor>& v) {
  const Adam f{.beta1 = static_cast<float>(s.beta1),
               .beta2 = static_cast<float>(s.beta2),
               .rest1 = static_cast<float>(1 - s.beta1),
               .rest2 = static_cast<float>(1 - s.beta2),
               .rate = static_cast<float>(s.lr / s.correction1),
               .root = static_cast<float>(1 / std::sqrt(s.correction2)),
               .eps = static_cast<float>(s.eps),
               .decay = static_cast<float>(s.decoupled ? 0 : s.weight_decay),
               .keep = static_cast<float>(s.decoupled ? 1 - s.lr * s.weight_decay : 1)};
  update("Adam", f, grad, p, m, v);
}

struct LoadSquare {
  const float* x;
  __device__ double operator()(std::int64_t i) const {
    const double v = x[i];
    return v * v;
  }
};
struct StoreSquares {
  double* y;
  __device__ void operator()(std::int64_t, std::int64_t, double sum) const { *y = sum; }
};
void sum_of_squares(const std::vector<Tensor>& x, Tensor& y) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    check_f32("sum_of_squares", x[i]);
    reduce<Sum>(1, x[i].numel(), 1, LoadSquare{x[i].data<float>()}, StoreSquares{y.data<double>() + i});
  }
}

struct Limit {
  float high;
  __device__ float operator()(float x) const { return x > high ? high : x < -high ? -high : x; }
};
void limit_magnitude(double limit, Tensor& y) {
  check_f32("clip_grad_value_", y);
  map_same<float>(Limit{static_cast<float>(limit)}, y, Input<float>{y});
}

}  // namespace

void register_optim_kernels(KernelTable& table) {
  table.add<decltype(kernels::sgd_step)>("sgd_step", sgd_step);
  table.add<decltype(kernels::adam_step)>("adam_step", adam_step);
  table.add<decltype(kernels::sum_of_squares)>("sum_of_squares", sum_of_squares);
  table.add<decltype(kernels::limit_magnitude)>("limit_magnitude", limit_magnitude);
}

}  // namespace karyon::cuda
