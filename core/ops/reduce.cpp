#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/reduce.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>

namespace karyon {
namespace {

void check_floating(const char* op, const Tensor& x) {
  check(x.dtype() == f32 || x.dtype() == f64, op, ": expects f32, f64 or bf16, got ", x.dtype());
}

// x as a kernel reads it. The CPU's read any type; those of other devices only f32 and f64.
Tensor reducible(const Tensor& x) {
  if (x.device() == Device::cpu()) return x;
  return is_floating(x.dtype()) ? widen(x) : x.to(Device::cpu());
}

// Which dimensions are reduced, and the shapes that follow from it.
struct Plan {
  std::array<bool, Shape::max_dims> gone{};
  Shape kept;              // 1 for each reduced dimension
  Shape out;               // `kept`, or without the reduced dimensions
  std::int64_t count = 1;  // elements in one result

  Plan(const char* op, const Tensor& x, const std::vector<int>& dims, bool keepdim) {
    if (dims.empty()) gone.fill(true);
    for (const int dim : dims) {
      bool& flag = gone[static_cast<std::size_t>(normalize_dim(dim, std::max(x.dim(), 1), op))];
      check(!flag, op, ": dimension ", dim, " is given twice");
      flag = true;
    }
    for (int d = 0; d < x.dim(); ++d) {
      const bool goes = gone[static_cast<std::size_t>(d)];
      kept.push_back(goes ? 1 : x.shape()[d]);
      if (!goes || keepdim) out.push_back(kept[d]);
      if (goes) count *= x.shape()[d];
    }
  }
};

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

Tensor sum_or_mean(const char* op, const Tensor& any_x, const std::vector<int>& dims, bool keepdim,
                   bool mean) {
  check(is_floating(any_x.dtype()), op, ": expects f32, f64 or bf16, got ", any_x.dtype());
  const Tensor x = reducible(any_x);
  const Plan plan(op, x, dims, keepdim);
  const double scale = mean ? 1 / static_cast<double>(plan.count) : 1;
  return record(op, scaled_sum(x, plan, scale), {x},
                [scale, kept = plan.kept, shape = x.shape(), dtype = x.dtype()](const Tensor& dy) {
                  Tensor dx = empty(shape, {.dtype = dtype, .device = dy.device()});
                  const Tensor each = view(dy, kept);
                  if (dtype == dy.dtype()) {
                    kernels::broadcast(scale, each, dx);
                  } else {  // bf16 is rounded once
                    kernels::broadcast(1, mul(each, scale).to(dtype), dx);
                  }
                  return std::vector{dx};
                });
}

// x as [outer, size of dim, inner].
Tensor around(const char* op, const Tensor& x, int dim) {
  dim = normalize_dim(dim, std::max(x.dim(), 1), op);
  if (x.dim() == 0) return view(x, {1, 1, 1});
  std::int64_t outer = 1, inner = 1;
  for (int d = 0; d < dim; ++d) outer *= x.shape()[d];
  for (int d = dim + 1; d < x.dim(); ++d) inner *= x.shape()[d];
  return view(x, {outer, x.shape()[dim], inner});
}

Tensor softmax(const char* name, bool log, const Tensor& any_x, int dim) {
  const Tensor x = widen(any_x);
  check_floating(name, x);
  const Tensor in = around(name, x, dim);
  Tensor y = empty_like(in);
  kernels::softmax(log, in, y);
  return record(name, view(y, x.shape()), {x}, [log, y = SavedTensor(y)](const Tensor& dy) {
    Tensor dx = empty_like(y.get());
    kernels::softmax_backward(log, view(dy, dx.shape()), y.get(), dx);
    return std::vector{view(dx, dy.shape())};
  });
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

Tensor max(const Tensor& any_x, const std::vector<int>& dims, bool keepdim) {
  const Tensor x = reducible(any_x);
  const Plan plan("max", x, dims, keepdim);
  check(plan.count > 0, "max: expects something to choose from, got ", x.shape());
  Tensor y = reduce(x, plan, parameter_dtype(x.dtype()),
                    [](const Tensor& in, Tensor& out, bool) { kernels::max(in, out); });
  if (!is_floating(x.dtype())) return y.to(any_x.device());
  return record("max", y, {x}, [plan, x = SavedTensor(x), y = SavedTensor(y)](const Tensor& dy) {
    const Tensor from = widen(x.get());
    Tensor dx = empty_like(from);
    kernels::binary(kernels::Binary::tie, from, view(y.get(), plan.kept), dx);
    const Tensor ties = scaled_sum(dx, plan, 1), share = div(dy, ties);
    return std::vector{mul(dx, view(share, plan.kept)).to(x.get().dtype())};
  });
}

Tensor argmax(const Tensor& x, int dim, bool keepdim) {
  const Tensor in = around("argmax", reducible(x), dim);
  check(in.size(1) > 0, "argmax: expects something to choose from, got ", x.shape());
  Tensor y = empty({in.size(0), in.size(2)}, {.dtype = i64, .device = in.device()});
  kernels::argmax(in, y);
  return view(y, Plan("argmax", x, {dim}, keepdim).out).to(x.device());
}

Tensor softmax(const Tensor& x, int dim) { return softmax("softmax", false, x, dim); }
Tensor log_softmax(const Tensor& x, int dim) { return softmax("log_softmax", true, x, dim); }

}  // namespace karyon
