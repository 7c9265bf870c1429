#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/reduce.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/reduction.h>
#include <karyon/core/trace.h>

namespace karyon {
namespace {

using reduction::around;
using reduction::check_floating;
using reduction::Plan;
using reduction::reducible;
using reduction::Run;

// Runs reduce(x [outer, n, inner], y [outer, inner], last) for each run of adjacent reduced dimensions, the
// innermost first; y has the given dtype. Most reductions have one run; further ones work on the result so
// far.
template <class F>
Tensor reduce(const Tensor& x, const Plan& plan, DType dtype, F&& reduce_run) {
  Tensor left = x;
  std::int64_t inner = 1;
  bool done = false;
  for (int d = x.dim() - 1; d >= 0 || !done; --d) {
    std::int64_t n = 1;
    for (; d >= 0 && plan.gone[static_cast<std::size_t>(d)]; --d) n *= x.shape()[d];
    if (n != 1 || (d < 0 && !done)) {
      std::int64_t outer = 1;
      bool last = true;
      for (int e = 0; e <= d; ++e) {
        outer *= x.shape()[e];
        last = last && (!plan.gone[static_cast<std::size_t>(e)] || x.shape()[e] == 1);
      }
      Tensor y = empty({outer, inner}, {.dtype = dtype, .device = x.device()});
      reduce_run(view(left, {outer, n, inner}), y, last);
      left = y;
      done = last;
    }
    if (d >= 0) inner *= x.shape()[d];
  }
  return view(left, plan.out);
}

Tensor scaled_sum(const Tensor& x, const Plan& plan, double scale) {
  const DType dtype = is_floating(x.dtype()) ? parameter_dtype(x.dtype()) : i64;
  return reduce(x, plan, dtype,
                [scale](const Tensor& in, Tensor& y, bool last) { kernels::sum(last ? scale : 1, in, y); });
}

// `scale` times x, the gradient of a sum, at each of the elements that were added; its own is the sum again.
Tensor spread_sum(const char* op, const Tensor& x, const Shape& kept, double scale, const Shape& shape,
                  DType dtype) {
  Tensor y = empty(shape, {.dtype = dtype, .device = x.device()});
  const Tensor each = view(x, kept);
  if (dtype == x.dtype()) {
    kernels::broadcast(scale, each, y);
  } else {  // bf16 is rounded once
    kernels::broadcast(1, mul(each, scale).to(dtype), y);
  }
  return record(op, y, {x}, twice_differentiable,
                [kept, scale, from = x.shape(), to = x.dtype()](const Tensor& dy) {
                  return std::vector{mul(sum_to(widen(dy), kept), scale).reshape(from).to(to)};
                });
}

Tensor sum_or_mean(const char* op, const Tensor& any_x, const std::vector<int>& dims, bool keepdim,
                   bool mean) {
  check(is_floating(any_x.dtype()), op, ": expects f32, f64 or bf16, got ", any_x.dtype());
  const Tensor x = reducible(any_x);
  const Plan plan(op, x, dims, keepdim);
  const double scale = mean ? 1 / static_cast<double>(plan.count) : 1;
  const Tensor y =
      record(op, scaled_sum(x, plan, scale), {x}, twice_differentiable,
             [op, scale, kept = plan.kept, shape = x.shape(), dtype = x.dtype()](const Tensor& dy) {
               return std::vector{spread_sum(op, dy, kept, scale, shape, dtype)};
             });
  return traced(y, [&] { return plan.options(); });
}

Tensor extremum(const char* name, const decltype(kernels::max)& kernel, const Tensor& any_x,
                const std::vector<int>& dims, bool keepdim) {
  const Tensor x = reducible(any_x);
  const Plan plan(name, x, dims, keepdim);
  check(plan.count > 0, name, ": expects something to choose from, got ", x.shape());
  Tensor y = reduce(x, plan, parameter_dtype(x.dtype()),
                    [&](const Tensor& in, Tensor& out, bool) { kernel(in, out); });
  if (!is_floating(x.dtype())) return y.to(any_x.device()).to(any_x.dtype());
  return traced(reduction::shared_by_ties(name, plan, x, y), [&] { return plan.options(); });
}

// Where the extremum lies: [outer, 1, inner].
Tensor position(const char* name, const decltype(kernels::argmax)& kernel, const Tensor& x, int dim) {
  const Tensor in = around(name, reducible(x), dim);
  check(in.size(1) > 0, name, ": expects something to choose from, got ", x.shape());
  Tensor y = empty({in.size(0), in.size(2)}, {.dtype = i64, .device = in.device()});
  kernel(in, y);
  return view(y, {in.size(0), 1, in.size(2)}).to(x.device());
}
ValuesAndIndices with_position(const char* name, const decltype(kernels::argmax)& kernel, const Tensor& x,
                               int dim, bool keepdim) {
  const Tensor index = position(name, kernel, x, dim);
  const Shape out = Plan(name, x, {dim}, keepdim).out;
  return {reduction::picked(name, x, dim, index, out), view(index, out)};
}

// Whether any (max) or all (min) of the truth values hold.
Tensor truth(const char* name, const decltype(kernels::max)& kernel, const Tensor& x,
             const std::vector<int>& dims, bool keepdim) {
  const Tensor holds = reducible(x.dtype() == boolean ? x : ne(x, 0));
  const Tensor y = reduce(holds, Plan(name, x, dims, keepdim), boolean,
                          [&](const Tensor& in, Tensor& out, bool) { kernel(in, out); });
  return y.to(x.device()).to(x.dtype() == u8 ? u8 : boolean);
}

// The product over dimension 1, in pairs: a zero in x leaves all other gradients as they are.
Tensor product_in_pairs(Tensor x) {
  if (x.size(1) == 0) return ones({x.size(0), 1, x.size(2)}, {.dtype = x.dtype(), .device = x.device()});
  while (x.size(1) > 1) {
    const std::int64_t half = x.size(1) / 2;
    const Tensor pairs = mul(narrow(x, 1, 0, half), narrow(x, 1, half, half));
    x = x.size(1) % 2 == 0 ? pairs : cat({pairs, narrow(x, 1, 2 * half, 1)}, 1);
  }
  return x;
}

Tensor softmax(const char* name, bool log, const Tensor& any_x, int dim) {
  const Tensor x = widen(any_x);
  check_floating(name, x);
  const Tensor in = around(name, x, dim);
  Tensor y = empty_like(in);
  kernels::softmax(log, in, y);
  y = record(name, view(y, x.shape()), {x}, twice_differentiable,
             [name, log, y = SavedTensor(y)](const Tensor& dy) {
               const Tensor at = y.get();
               Tensor dx = empty_like(at);
               kernels::softmax_backward(log, view(dy, dx.shape()), at, dx);
               return std::vector{record_as(name, view(dx, dy.shape()), {dy, at}, [log](const auto& given) {
                 const Tensor d = given[0].reshape(given[1].shape());
                 const Tensor p = log ? exp(given[1]) : given[1];
                 const Tensor slope =
                     log ? sub(d, mul(p, sum(d, {1}, true))) : mul(p, sub(d, sum(mul(d, p), {1}, true)));
                 return slope.reshape(given[0].shape());
               })};
             });
  return traced(y, [&] { return TraceOptions{{"dim", dim < 0 ? dim + x.dim() : dim}}; });
}

}  // namespace

Tensor sum(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  if (!is_floating(x.dtype()))
    return scaled_sum(reducible(x), Plan("sum", x, dims, keepdim), 1).to(x.device());
  return sum_or_mean("sum", x, dims, keepdim, false);
}
Tensor mean(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return sum_or_mean("mean", x, dims, keepdim, true);
}

Tensor prod(const Tensor& any_x, const std::vector<int>& dims, bool keepdim) {
  const bool floating = is_floating(any_x.dtype());
  const Tensor x = floating ? widen(any_x) : reducible(any_x);
  const Plan plan("prod", x, dims, keepdim);
  const Run run(plan, x);
  Tensor y = empty(plan.out, {.dtype = floating ? x.dtype() : i64, .device = x.device()});
  Tensor out = view(y, {run.whole[0], run.whole[2]});
  kernels::prod(run.gather(x), out);
  if (!floating) return y.to(any_x.device());
  return record("prod", y, {x}, twice_differentiable, [run, x = SavedTensor(x)](const Tensor& dy) {
    const Tensor from = x.get();
    Tensor dx = empty(run.whole, {.dtype = dy.dtype(), .device = dy.device()});
    kernels::prod_backward(view(dy, run.one), run.gather(from), dx);
    return record_gradients("prod", {run.spread(dx)}, dy, {from}, [run, out = dy.shape()](const auto& in) {
      return product_in_pairs(run.gathered(in[0])).reshape(out);
    });
  });
}

Tensor logsumexp(const Tensor& any_x, const std::vector<int>& dims, bool keepdim) {
  const Tensor x = widen(any_x);
  check_floating("logsumexp", x);
  const Plan plan("logsumexp", x, dims, keepdim);
  const Run run(plan, x);
  Tensor y = empty(plan.out, {.dtype = x.dtype(), .device = x.device()});
  Tensor out = view(y, {run.whole[0], run.whole[2]});
  kernels::logsumexp(run.gather(x), out);
  return record(
      "logsumexp", y, {x}, twice_differentiable,
      [run, kept = plan.kept, x = SavedTensor(x), y = SavedTensor(y)](const Tensor& dy) {
        const Tensor from = x.get(), total = y.get();
        Tensor dx = empty(run.whole, {.dtype = dy.dtype(), .device = dy.device()});
        kernels::reduce_backward(kernels::Slope::exponential, 0, run.gather(from), view(total, run.one),
                                 view(dy, run.one), dx);
        return std::vector{record_as("logsumexp", run.spread(dx), {dy, from, total}, [kept](const auto& in) {
          return mul(in[0].reshape(kept), exp(sub(in[1], in[2].reshape(kept))));
        })};
      });
}

Tensor max(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return extremum("max", kernels::max, x, dims, keepdim);
}
Tensor min(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return extremum("min", kernels::min, x, dims, keepdim);
}
Tensor argmax(const Tensor& x, int dim, bool keepdim) {
  return view(position("argmax", kernels::argmax, x, dim), Plan("argmax", x, {dim}, keepdim).out);
}
Tensor argmin(const Tensor& x, int dim, bool keepdim) {
  return view(position("argmin", kernels::argmin, x, dim), Plan("argmin", x, {dim}, keepdim).out);
}
ValuesAndIndices max_with_indices(const Tensor& x, int dim, bool keepdim) {
  return with_position("max", kernels::argmax, x, dim, keepdim);
}
ValuesAndIndices min_with_indices(const Tensor& x, int dim, bool keepdim) {
  return with_position("min", kernels::argmin, x, dim, keepdim);
}

Tensor any(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return truth("any", kernels::max, x, dims, keepdim);
}
Tensor all(const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  return truth("all", kernels::min, x, dims, keepdim);
}
Tensor count_nonzero(const Tensor& x, const std::vector<int>& dims) {
  return scaled_sum(reducible(ne(x, 0)), Plan("count_nonzero", x, dims, false), 1).to(x.device());
}

Tensor softmax(const Tensor& x, int dim) { return softmax("softmax", false, x, dim); }
Tensor log_softmax(const Tensor& x, int dim) { return softmax("log_softmax", true, x, dim); }

}  // namespace karyon
