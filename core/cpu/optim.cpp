// The updates of optimizers: each reads and writes every array once.
#include <cmath>
#include <vector>

#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/kernels/functors/optim.h>
#include <karyon/core/kernels/optim.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

constexpr std::int64_t grain = 16384;

// A loop gets the update by value and the arrays as restricted pointers: only then does it vectorize.
template <class F, class T>
void update(std::int64_t n, F f, const T* __restrict g, T* __restrict p) {
  for (std::int64_t i = 0; i < n; ++i) f(g[i], p[i]);
}
template <class F, class T>
void update(std::int64_t n, F f, const T* __restrict g, T* __restrict p, T* __restrict v) {
  for (std::int64_t i = 0; i < n; ++i) f(g[i], p[i], v[i]);
}
template <class F, class T>
void update(std::int64_t n, F f, const T* __restrict g, T* __restrict p, T* __restrict m, T* __restrict v) {
  for (std::int64_t i = 0; i < n; ++i) f(g[i], p[i], m[i], v[i]);
}
template <class F, class T>
void update(std::int64_t n, F f, const T* __restrict g, T* __restrict p, T* __restrict m, T* __restrict v,
            T* __restrict d) {
  for (std::int64_t i = 0; i < n; ++i) f(g[i], p[i], m[i], v[i], d[i]);
}

// f(gradient, values...) on every element; `changed` are the tensors that the values belong to.
template <class T, class F, class... Changed>
void update_all(F f, const std::vector<Tensor>& grads, Changed&... changed) {
  for (std::size_t i = 0; i < grads.size(); ++i) {
    const T* g = grads[i].data<T>();
    const auto run = [&](auto*... values) {
      parallel_for(grads[i].numel(), grain,
                   [&](std::int64_t b, std::int64_t e) { update(e - b, f, g + b, (values + b)...); });
    };
    run(changed[i].template data<T>()...);
  }
}

void sgd_step_cpu(const kernels::SGDStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                  std::vector<Tensor>& velocity) {
  dispatch_floating(p[0].dtype(), "SGD", [&]<class T>() {
    if (velocity.empty()) {
      update_all<T>(functors::SGDUpdate<T>(s), grad, p);
    } else {
      update_all<T>(functors::SGDMomentumUpdate<T>(s), grad, p, velocity);
    }
  });
}

void adam_step_cpu(const kernels::AdamStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                   std::vector<Tensor>& m, std::vector<Tensor>& v) {
  dispatch_floating(p[0].dtype(), "Adam",
                    [&]<class T>() { update_all<T>(functors::AdamUpdate<T>(s), grad, p, m, v); });
}

void rmsprop_step_cpu(const kernels::RMSpropStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                      std::vector<Tensor>& square_avg, std::vector<Tensor>& grad_avg,
                      std::vector<Tensor>& velocity) {
  dispatch_floating(p[0].dtype(), "RMSprop", [&]<class T>() {
    const functors::RMSpropUpdate<T, false> plain(s);
    const functors::RMSpropUpdate<T, true> centered(s);
    if (grad_avg.empty() && velocity.empty()) return update_all<T>(plain, grad, p, square_avg);
    if (grad_avg.empty()) return update_all<T>(plain, grad, p, square_avg, velocity);
    if (velocity.empty()) return update_all<T>(centered, grad, p, square_avg, grad_avg);
    update_all<T>(centered, grad, p, square_avg, grad_avg, velocity);
  });
}

void adagrad_step_cpu(const kernels::AdagradStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                      std::vector<Tensor>& sum) {
  dispatch_floating(p[0].dtype(), "Adagrad",
                    [&]<class T>() { update_all<T>(functors::AdagradUpdate<T>(s), grad, p, sum); });
}

void lion_step_cpu(const kernels::LionStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                   std::vector<Tensor>& m) {
  dispatch_floating(p[0].dtype(), "Lion",
                    [&]<class T>() { update_all<T>(functors::LionUpdate<T>(s), grad, p, m); });
}

void lamb_direction_cpu(const kernels::AdamStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                        std::vector<Tensor>& m, std::vector<Tensor>& v, std::vector<Tensor>& direction) {
  dispatch_floating(p[0].dtype(), "LAMB", [&]<class T>() {
    update_all<T>(functors::LambDirection<T>(s), grad, p, m, v, direction);
  });
}

template <class T>
double sum_of_squares(const T* values, std::int64_t n) {
  std::vector<double> partial(static_cast<std::size_t>(cpu::ceil_div(n, grain)));
  parallel_for(n, grain, [&](std::int64_t b, std::int64_t e) {
    double sum = 0;
    for (std::int64_t i = b; i < e; ++i)
      sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    partial[static_cast<std::size_t>(b / grain)] = sum;
  });
  double sum = 0;
  for (const double part : partial) sum += part;
  return sum;
}
void sum_of_squares_cpu(const std::vector<Tensor>& x, Tensor& y) {
  for (std::size_t i = 0; i < x.size(); ++i)
    dispatch_floating(x[i].dtype(), "sum_of_squares",
                      [&]<class T>() { y.data<double>()[i] = sum_of_squares(x[i].data<T>(), x[i].numel()); });
}

void root_of_sum_cpu(const Tensor& x, Tensor& y) {
  double sum = 0;
  for (std::int64_t i = 0; i < x.numel(); ++i) sum += x.data<double>()[i];
  *y.data<double>() = std::sqrt(sum);
}

void limit_norm_cpu(double limit, const Tensor& norm, std::vector<Tensor>& x) {
  const double factor = functors::norm_factor(limit, *norm.data<double>());
  if (factor == 1) return;
  for (Tensor& t : x)
    dispatch_floating(t.dtype(), "clip_grad_norm_", [&]<class T>() {
      T* values = t.data<T>();
      parallel_for(t.numel(), grain, [&, f = static_cast<T>(factor)](std::int64_t b, std::int64_t e) {
        for (std::int64_t i = b; i < e; ++i) values[i] *= f;
      });
    });
}

void lerp_all_cpu(double weight, const std::vector<Tensor>& from, std::vector<Tensor>& to) {
  if (to.empty()) return;
  dispatch_floating(to[0].dtype(), "lerp_state_",
                    [&]<class T>() { update_all<T>(functors::Lerp<T>(weight), from, to); });
}

void limit_magnitude_cpu(double limit, Tensor& y) {
  dispatch_floating(y.dtype(), "clip_grad_value_", [&]<class T>() {
    T* values = y.data<T>();
    const T high = static_cast<T>(limit);
    parallel_for(y.numel(), grain, [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t i = b; i < e; ++i)
        values[i] = values[i] > high ? high : values[i] < -high ? -high : values[i];
    });
  });
}

}  // namespace

constinit decltype(kernels::sgd_step) kernels::sgd_step{"sgd_step", sgd_step_cpu};
constinit decltype(kernels::adam_step) kernels::adam_step{"adam_step", adam_step_cpu};
constinit decltype(kernels::rmsprop_step) kernels::rmsprop_step{"rmsprop_step", rmsprop_step_cpu};
constinit decltype(kernels::adagrad_step) kernels::adagrad_step{"adagrad_step", adagrad_step_cpu};
constinit decltype(kernels::lion_step) kernels::lion_step{"lion_step", lion_step_cpu};
constinit decltype(kernels::lamb_direction) kernels::lamb_direction{"lamb_direction", lamb_direction_cpu};
constinit decltype(kernels::sum_of_squares) kernels::sum_of_squares{"sum_of_squares", sum_of_squares_cpu};
constinit decltype(kernels::root_of_sum) kernels::root_of_sum{"root_of_sum", root_of_sum_cpu};
constinit decltype(kernels::limit_norm) kernels::limit_norm{"limit_norm", limit_norm_cpu};
constinit decltype(kernels::lerp_all) kernels::lerp_all{"lerp_all", lerp_all_cpu};
constinit decltype(kernels::limit_magnitude) kernels::limit_magnitude{"limit_magnitude", limit_magnitude_cpu};

}  // namespace karyon
