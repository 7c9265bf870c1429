// The updates of optimizers. The one idea: a network has many small parameters, and a launch for each would
// cost more than the memory it moves. So one launch updates up to 64 tensors. Each block finds its tensor in
// a table in the kernel's arguments. Every array is read and written once.
#include <cmath>
#include <utility>

#include <karyon/core/kernels/functors/optim.h>
#include <karyon/core/kernels/optim.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/workspace.h>
#include <karyon/cuda/map.cuh>

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

// run(tensors, blocks) on up to most_tensors at a time.
template <int Changed, class Run, class... Lists>
void for_groups(const char* op, const std::vector<Tensor>& grads, Run run, Lists&... changed) {
  Tensors<Changed> tensors;
  unsigned blocks = 0;
  auto flush = [&] {
    tensors.first_block[tensors.count] = blocks;
    run(tensors, blocks);
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
    [[maybe_unused]] int c = 0;
    [[maybe_unused]] auto add = [&](Tensor& x) {
      tensors.changed[c++][t] = x.data<float>();
      tensors.vectors = tensors.vectors && aligned(16, x.data<float>());
    };
    tensors.vectors = tensors.vectors && aligned(16, tensors.grad[t]);
    (add(changed[i]), ...);
  }
  if (tensors.count > 0) flush();
}

// f(gradient, values) on every element; values are those of `changed`, in order.
template <class F, class... Changed>
void update(const char* op, F f, const std::vector<Tensor>& grads, Changed&... changed) {
  constexpr int count = sizeof...(Changed);
  for_groups<count>(
      op, grads,
      [&](const Tensors<count>& tensors, unsigned blocks) {
        launch(update_kernel<count, F>, blocks, threads, 0, tensors, f);
      },
      changed...);
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

// ---- the norm of many gradients

// One block for each chunk of per_block elements of each tensor: the sum of its squares. The chunks are those of
// the updates, whatever the device, so the bits are the same every time.
__global__ void __launch_bounds__(threads)
    chunk_squares(const __grid_constant__ Tensors<1> tensors, double* sums) {
  int low = 0, high = tensors.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (tensors.first_block[middle] <= blockIdx.x ? low : high) = middle;
  }
  const std::int64_t n = tensors.numel[low];
  const std::int64_t first = std::int64_t{blockIdx.x - tensors.first_block[low]} * per_block;
  double sum = 0;
#pragma unroll
  for (int k = 0; k < per_block / threads; ++k) {
    const std::int64_t i = first + k * threads + static_cast<int>(threadIdx.x);
    const double v = i < n ? tensors.grad[low][i] : 0.0f;
    sum += v * v;
  }
  sum = block_reduce<threads>(sum, Plus());
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// y[t] = the sum of tensor t's chunks; a block for each tensor.
__global__ void __launch_bounds__(threads)
    sum_chunks(const __grid_constant__ Tensors<1> tensors, const double* sums, double* y) {
  double sum = 0;
  for (unsigned i = tensors.first_block[blockIdx.x] + threadIdx.x; i < tensors.first_block[blockIdx.x + 1];
       i += threads)
    sum += sums[i];
  sum = block_reduce<threads>(sum, Plus());
  if (threadIdx.x == 0) y[blockIdx.x] = sum;
}

void sum_of_squares(const std::vector<Tensor>& x, Tensor& y) {
  double* to = y.data<double>();
  for_groups<1>("sum_of_squares", x, [&](const Tensors<1>& tensors, unsigned blocks) {
    Workspace sums(blocks * sizeof(double));
    launch(chunk_squares, blocks, threads, 0, tensors, sums.data<double>());
    launch(sum_chunks, static_cast<unsigned>(tensors.count), threads, 0, tensors, sums.data<double>(), to);
    to += tensors.count;
  });
}

__global__ void __launch_bounds__(threads) root_kernel(const double* x, std::int64_t n, double* y) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < n; i += threads) sum += x[i];
  sum = block_reduce<threads>(sum, Plus());
  if (threadIdx.x == 0) *y = sqrt(sum);
}
void root_of_sum(const Tensor& x, Tensor& y) {
  launch(root_kernel, 1u, threads, 0, x.data<double>(), x.numel(), y.data<double>());
}

struct LimitNorm {
  double limit;
  const double* norm;
  __device__ void operator()(float, float& x) const {
    const double factor = functors::norm_factor(limit, *norm);
    if (factor != 1) x *= static_cast<float>(factor);
  }
};
void limit_norm(double limit, const Tensor& norm, std::vector<Tensor>& x) {
  update("clip_grad_norm_", LimitNorm{limit, norm.data<double>()}, x, x);
}

void lerp_all(double weight, const std::vector<Tensor>& from, std::vector<Tensor>& to) {
  update("lerp_state_", functors::Lerp<float>(weight), from, to);
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
  table.add<decltype(kernels::root_of_sum), root_of_sum>("root_of_sum");
  table.add<decltype(kernels::limit_norm), limit_norm>("limit_norm");
  table.add<decltype(kernels::lerp_all), lerp_all>("lerp_all");
  table.add<decltype(kernels::limit_magnitude), limit_magnitude>("limit_magnitude");
}

}  // namespace karyon::cuda
