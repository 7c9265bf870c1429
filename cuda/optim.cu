// The updates of optimizers. The one idea: a network has many small parameters, and a launch for each would
// cost more than the memory it moves. So one launch updates up to 64 tensors. Each block finds its tensor in
// a table in the kernel's arguments. Every array is read and written once.
#include <cmath>
#include <utility>

#include <karyon/core/kernels/functors/optim.h>
#include <karyon/core/kernels/optim.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>
#include <karyon/cuda/reduce.cuh>

namespace karyon::cuda {
namespace {

constexpr int threads = 256;
constexpr int per_block = 4 * threads;  // elements; four for each thread
constexpr int most_tensors = 64;

// Arrays that are updated together: the gradients, then the changed arrays.
template <int Changed>
struct Tensors {
  const float* grad[most_tensors];
  float* changed[Changed][most_tensors];
  std::int64_t numel[most_tensors];
  unsigned first_block[most_tensors + 1];
  int count = 0;
  bool vectors = true;  // all are aligned
};

template <class F, int Changed, std::size_t... I>
__device__ void apply(const F& f, float gradient, float (&values)[Changed], std::index_sequence<I...>) {
  f(gradient, values[I]...);
}

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
      apply(f, g[k], one, std::make_index_sequence<Changed>());
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
      apply(f, grad[k], one, std::make_index_sequence<Changed>());
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

void sgd_step(const kernels::SGDStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
              std::vector<Tensor>& velocity) {
  if (velocity.empty()) return update("SGD", functors::SGDUpdate<float>(s), grad, p);
  update("SGD", functors::SGDMomentumUpdate<float>(s), grad, p, velocity);
}

void adam_step(const kernels::AdamStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
               std::vector<Tensor>& m, std::vector<Tensor>& v) {
  update("Adam", functors::AdamUpdate<float>(s), grad, p, m, v);
}

void rmsprop_step(const kernels::RMSpropStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                  std::vector<Tensor>& square_avg, std::vector<Tensor>& grad_avg,
                  std::vector<Tensor>& velocity) {
  const functors::RMSpropUpdate<float, false> plain(s);
  const functors::RMSpropUpdate<float, true> centered(s);
  if (grad_avg.empty() && velocity.empty()) return update("RMSprop", plain, grad, p, square_avg);
  if (grad_avg.empty()) return update("RMSprop", plain, grad, p, square_avg, velocity);
  if (velocity.empty()) return update("RMSprop", centered, grad, p, square_avg, grad_avg);
  update("RMSprop", centered, grad, p, square_avg, grad_avg, velocity);
}

void adagrad_step(const kernels::AdagradStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                  std::vector<Tensor>& sum) {
  update("Adagrad", functors::AdagradUpdate<float>(s), grad, p, sum);
}

void lion_step(const kernels::LionStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
               std::vector<Tensor>& m) {
  update("Lion", functors::LionUpdate<float>(s), grad, p, m);
}

void lamb_direction(const kernels::AdamStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                    std::vector<Tensor>& m, std::vector<Tensor>& v, std::vector<Tensor>& direction) {
  update("LAMB", functors::LambDirection<float>(s), grad, p, m, v, direction);
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
  table.add<decltype(kernels::sgd_step), sgd_step>("sgd_step");
  table.add<decltype(kernels::adam_step), adam_step>("adam_step");
  table.add<decltype(kernels::rmsprop_step), rmsprop_step>("rmsprop_step");
  table.add<decltype(kernels::adagrad_step), adagrad_step>("adagrad_step");
  table.add<decltype(kernels::lion_step), lion_step>("lion_step");
  table.add<decltype(kernels::lamb_direction), lamb_direction>("lamb_direction");
  table.add<decltype(kernels::sum_of_squares), sum_of_squares>("sum_of_squares");
  table.add<decltype(kernels::limit_magnitude), limit_magnitude>("limit_magnitude");
}

}  // namespace karyon::cuda
