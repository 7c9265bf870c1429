// Steps of recurrent layers: a thread for each unit of each sample, the formulas of functors/rnn.h.
#include <karyon/core/kernels/functors/rnn.h>
#include <karyon/core/kernels/rnn.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/launch.cuh>
#include <karyon/cuda/norm.cuh>

namespace karyon::cuda {
namespace {

constexpr int threads = 128;

struct StepParams {
  RecurrentCell cell;
  std::int64_t samples, size;
  const float *gx, *gh, *bias_h, *h, *c;
  float *kept, *new_h, *new_c;
};

__global__ void __launch_bounds__(threads) recurrent_step_kernel(StepParams p) {
  const std::int64_t at = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (at >= p.samples * p.size) return;
  const std::int64_t n = at / p.size, j = at % p.size;
  // What gate k of `gates` gets from the input and from the units.
  const auto of_input = [&](int gates, int k) { return p.gx[(n * gates + k) * p.size + j]; };
  const auto of_units = [&](int gates, int k) {
    return p.gh[(n * gates + k) * p.size + j] + (p.bias_h ? p.bias_h[k * p.size + j] : 0.0f);
  };
  float kept[4];
  if (p.cell == RecurrentCell::lstm) {
    float gate[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) gate[k] = of_input(4, k) + of_units(4, k);
    functors::LstmCell::step(gate, p.c[at], kept, p.new_h[at], p.new_c[at]);
  } else if (p.cell == RecurrentCell::gru) {
    float input[3], units[3];
#pragma unroll
    for (int k = 0; k < 3; ++k) input[k] = of_input(3, k), units[k] = of_units(3, k);
    functors::GruCell::step(input, units, p.h[at], kept, p.new_h[at]);
  } else {
    p.new_h[at] = functors::RnnCell{p.cell == RecurrentCell::rnn_relu}.step(of_input(1, 0) + of_units(1, 0));
    return;
  }
#pragma unroll
  for (int k = 0; k < 4; ++k) p.kept[(n * 4 + k) * p.size + j] = kept[k];
}

struct StepBackwardParams {
  RecurrentCell cell;
  std::int64_t samples, size;
  const float *kept, *h, *c, *new_h, *new_c;
  float *dh, *dc, *dgx, *dgh;
};

__global__ void __launch_bounds__(threads) recurrent_step_backward_kernel(StepBackwardParams p) {
  const std::int64_t at = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (at >= p.samples * p.size) return;
  const std::int64_t n = at / p.size, j = at % p.size;
  if (p.cell == RecurrentCell::rnn_tanh || p.cell == RecurrentCell::rnn_relu) {
    p.dgx[at] = p.dgh[at] =
        functors::RnnCell{p.cell == RecurrentCell::rnn_relu}.gradient(p.new_h[at], p.dh[at]);
    p.dh[at] = 0;
    return;
  }
  float kept[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) kept[k] = p.kept[(n * 4 + k) * p.size + j];
  if (p.cell == RecurrentCell::lstm) {
    float gate[4];
    functors::LstmCell::gradient(kept, p.c[at], p.new_c[at], p.dh[at], p.dc[at], gate);
#pragma unroll
    for (int k = 0; k < 4; ++k) p.dgx[(n * 4 + k) * p.size + j] = p.dgh[(n * 4 + k) * p.size + j] = gate[k];
  } else {
    float input[3], units[3];
    functors::GruCell::gradient(kept, p.h[at], p.dh[at], input, units);
#pragma unroll
    for (int k = 0; k < 3; ++k) {
      p.dgx[(n * 3 + k) * p.size + j] = input[k];
      p.dgh[(n * 3 + k) * p.size + j] = units[k];
    }
  }
}

void recurrent_step(RecurrentCell cell, const Tensor& gx, const Tensor& gh, const Tensor& bias_h,
                    const Tensor& h, const Tensor& c, Tensor& kept, Tensor& new_h, Tensor& new_c) {
  check_f32("recurrent_step", gx);
  const StepParams p{cell,
                     h.size(0),
                     h.size(1),
                     gx.data<float>(),
                     gh.data<float>(),
                     optional(bias_h),
                     h.data<float>(),
                     optional(c),
                     optional(kept),
                     new_h.data<float>(),
                     optional(new_c)};
  launch(recurrent_step_kernel, grid_for(h.numel(), threads), threads, 0, p);
}

void recurrent_step_backward(RecurrentCell cell, const Tensor& kept, const Tensor& h, const Tensor& c,
                             const Tensor& new_h, const Tensor& new_c, Tensor& dh, Tensor& dc, Tensor& dgx,
                             Tensor& dgh) {
  check_f32("recurrent_step_backward", dh);
  const StepBackwardParams p{cell,
                             h.size(0),
                             h.size(1),
                             optional(kept),
                             h.data<float>(),
                             optional(c),
                             new_h.data<float>(),
                             optional(new_c),
                             dh.data<float>(),
                             optional(dc),
                             dgx.data<float>(),
                             dgh.data<float>()};
  launch(recurrent_step_backward_kernel, grid_for(h.numel(), threads), threads, 0, p);
}

}  // namespace

void register_rnn_kernels(KernelTable& table) {
  table.add<decltype(kernels::recurrent_step), recurrent_step>("recurrent_step");
  table.add<decltype(kernels::recurrent_step_backward), recurrent_step_backward>("recurrent_step_backward");
}

}  // namespace karyon::cuda
