// Steps of recurrent layers: the formulas of functors/rnn.h for each unit.
#include <array>

#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/kernels/functors/rnn.h>
#include <karyon/core/kernels/rnn.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

constexpr std::int64_t unit_grain = 4096;

// Calls f(n) for each sample, with its loop over units vectorized.
template <class F>
void for_samples(const Tensor& h, F f) {
  const std::int64_t units = std::max<std::int64_t>(h.size(1), 1);
  parallel_for(h.size(0), std::max<std::int64_t>(unit_grain / units, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 cpu::vectorized([=] {
                   for (std::int64_t n = begin; n < end; ++n) f(n);
                 });
               });
}

template <class T>
const T* optional(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

template <class T>
void lstm_step(const Tensor& gx, const Tensor& gh, const Tensor& bias_h, const Tensor& c, Tensor& kept,
               Tensor& new_h, Tensor& new_c) {
  const std::int64_t size = c.size(1);
  for_samples(c, [=, x = gx.data<T>(), u = gh.data<T>(), b = optional<T>(bias_h), from = c.data<T>(),
                  keep = kept.data<T>(), h = new_h.data<T>(), to = new_c.data<T>()](std::int64_t n) {
    for (std::int64_t j = 0; j < size; ++j) {
      T gate[4], out[4];
      for (std::int64_t k = 0; k < 4; ++k) {
        const std::int64_t at = (n * 4 + k) * size + j;
        gate[k] = x[at] + u[at] + (b ? b[k * size + j] : T(0));
      }
      functors::LstmCell::step(gate, from[n * size + j], out, h[n * size + j], to[n * size + j]);
      for (std::int64_t k = 0; k < 4; ++k) keep[(n * 4 + k) * size + j] = out[k];
    }
  });
}

template <class T>
void lstm_step_backward(const Tensor& kept, const Tensor& c, const Tensor& new_c, Tensor& dh, Tensor& dc,
                        Tensor& dgx, Tensor& dgh) {
  const std::int64_t size = c.size(1);
  for_samples(c, [=, keep = kept.data<T>(), before = c.data<T>(), after = new_c.data<T>(), h = dh.data<T>(),
                  d = dc.data<T>(), x = dgx.data<T>(), u = dgh.data<T>()](std::int64_t n) {
    for (std::int64_t j = 0; j < size; ++j) {
      T gate[4], out[4];
      for (std::int64_t k = 0; k < 4; ++k) gate[k] = keep[(n * 4 + k) * size + j];
      const std::int64_t at = n * size + j;
      functors::LstmCell::gradient(gate, before[at], after[at], h[at], d[at], out);
      for (std::int64_t k = 0; k < 4; ++k) x[(n * 4 + k) * size + j] = u[(n * 4 + k) * size + j] = out[k];
    }
  });
}

template <class T>
void gru_step(const Tensor& gx, const Tensor& gh, const Tensor& bias_h, const Tensor& h, Tensor& kept,
              Tensor& new_h) {
  const std::int64_t size = h.size(1);
  for_samples(h, [=, x = gx.data<T>(), u = gh.data<T>(), b = optional<T>(bias_h), from = h.data<T>(),
                  keep = kept.data<T>(), to = new_h.data<T>()](std::int64_t n) {
    for (std::int64_t j = 0; j < size; ++j) {
      T of_input[3], of_units[3], out[4];
      for (std::int64_t k = 0; k < 3; ++k) {
        const std::int64_t at = (n * 3 + k) * size + j;
        of_input[k] = x[at];
        of_units[k] = u[at] + (b ? b[k * size + j] : T(0));
      }
      functors::GruCell::step(of_input, of_units, from[n * size + j], out, to[n * size + j]);
      for (std::int64_t k = 0; k < 4; ++k) keep[(n * 4 + k) * size + j] = out[k];
    }
  });
}

template <class T>
void gru_step_backward(const Tensor& kept, const Tensor& h, Tensor& dh, Tensor& dgx, Tensor& dgh) {
  const std::int64_t size = h.size(1);
  for_samples(h, [=, keep = kept.data<T>(), before = h.data<T>(), d = dh.data<T>(), x = dgx.data<T>(),
                  u = dgh.data<T>()](std::int64_t n) {
    for (std::int64_t j = 0; j < size; ++j) {
      T gate[4], of_input[3], of_units[3];
      for (std::int64_t k = 0; k < 4; ++k) gate[k] = keep[(n * 4 + k) * size + j];
      functors::GruCell::gradient(gate, before[n * size + j], d[n * size + j], of_input, of_units);
      for (std::int64_t k = 0; k < 3; ++k) {
        x[(n * 3 + k) * size + j] = of_input[k];
        u[(n * 3 + k) * size + j] = of_units[k];
      }
    }
  });
}

template <class T>
void rnn_step(functors::RnnCell cell, const Tensor& gx, const Tensor& gh, const Tensor& bias_h,
              Tensor& new_h) {
  const std::int64_t size = new_h.size(1);
  for_samples(new_h, [=, x = gx.data<T>(), u = gh.data<T>(), b = optional<T>(bias_h),
                      to = new_h.data<T>()](std::int64_t n) {
    for (std::int64_t j = 0; j < size; ++j)
      to[n * size + j] = cell.step(x[n * size + j] + u[n * size + j] + (b ? b[j] : T(0)));
  });
}

template <class T>
void rnn_step_backward(functors::RnnCell cell, const Tensor& new_h, Tensor& dh, Tensor& dgx, Tensor& dgh) {
  const std::int64_t size = new_h.size(1);
  for_samples(new_h, [=, after = new_h.data<T>(), d = dh.data<T>(), x = dgx.data<T>(),
                      u = dgh.data<T>()](std::int64_t n) {
    for (std::int64_t at = n * size; at < (n + 1) * size; ++at) {
      x[at] = u[at] = cell.gradient(after[at], d[at]);
      d[at] = 0;
    }
  });
}

void recurrent_step_cpu(RecurrentCell cell, const Tensor& gx, const Tensor& gh, const Tensor& bias_h,
                        const Tensor& h, const Tensor& c, Tensor& kept, Tensor& new_h, Tensor& new_c) {
  dispatch_floating(gx.dtype(), "recurrent_step", [&]<class T>() {
    if (cell == RecurrentCell::lstm) return lstm_step<T>(gx, gh, bias_h, c, kept, new_h, new_c);
    if (cell == RecurrentCell::gru) return gru_step<T>(gx, gh, bias_h, h, kept, new_h);
    rnn_step<T>({cell == RecurrentCell::rnn_relu}, gx, gh, bias_h, new_h);
  });
}

void recurrent_step_backward_cpu(RecurrentCell cell, const Tensor& kept, const Tensor& h, const Tensor& c,
                                 const Tensor& new_h, const Tensor& new_c, Tensor& dh, Tensor& dc,
                                 Tensor& dgx, Tensor& dgh) {
  dispatch_floating(dh.dtype(), "recurrent_step_backward", [&]<class T>() {
    if (cell == RecurrentCell::lstm) return lstm_step_backward<T>(kept, c, new_c, dh, dc, dgx, dgh);
    if (cell == RecurrentCell::gru) return gru_step_backward<T>(kept, h, dh, dgx, dgh);
    rnn_step_backward<T>({cell == RecurrentCell::rnn_relu}, new_h, dh, dgx, dgh);
  });
}

}  // namespace

constinit decltype(kernels::recurrent_step) kernels::recurrent_step{"recurrent_step", recurrent_step_cpu};
constinit decltype(kernels::recurrent_step_backward) kernels::recurrent_step_backward{
    "recurrent_step_backward", recurrent_step_backward_cpu};

}  // namespace karyon
