#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/pick.h>
#include <karyon/core/kernels/sort.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduction.h>
#include <karyon/core/ops/sort.h>

#include <cmath>

namespace karyon {
namespace {

using reduction::around;
using reduction::picked;
using reduction::Plan;
using reduction::reducible;

// [outer, k, inner]: where the first k of the sorted x come from; k < 0 stands for all.
Tensor order(const char* op, bool descending, const Tensor& x, int dim, std::int64_t k = -1) {
  const Tensor in = around(op, reducible(x), dim);
  Tensor index =
      empty({in.size(0), k < 0 ? in.size(1) : k, in.size(2)}, {.dtype = i64, .device = in.device()});
  kernels::sort(descending, in, index);
  return index.to(x.device());
}

std::int64_t size_along(const char* op, const Tensor& x, int dim) { return around(op, x, dim).size(1); }

// [outer, 1, inner]: where the element comes from that has k smaller ones.
Tensor kth(const char* op, std::int64_t k, bool nan_wins, const Tensor& x, int dim) {
  const Tensor in = around(op, reducible(x), dim);
  Tensor index = empty({in.size(0), in.size(2)}, {.dtype = i64, .device = in.device()});
  kernels::kth(k, nan_wins, in, index);
  return view(index, {in.size(0), 1, in.size(2)}).to(x.device());
}

Tensor median_index(const Tensor& x, int dim) {
  const std::int64_t n = size_along("median", x, dim);
  check(n > 0, "median: expects something to choose from, got ", x.shape());
  return kth("median", (n - 1) / 2, true, x, dim);
}

ValuesAndIndices one_of_each(const char* op, const Tensor& x, const Tensor& index, int dim, bool keepdim) {
  const Shape out = Plan(op, x, {dim}, keepdim).out;
  return {picked(op, x, dim, index, out), view(index, out)};
}

}  // namespace

ValuesAndIndices sort(const Tensor& x, int dim, bool descending) {
  const Tensor index = order("sort", descending, x, dim);
  return {picked("sort", x, dim, index, x.shape()), view(index, x.shape())};
}

Tensor argsort(const Tensor& x, int dim, bool descending) {
  return view(order("argsort", descending, x, dim), x.shape());
}

ValuesAndIndices topk(const Tensor& x, std::int64_t k, int dim, bool largest) {
  const std::int64_t n = size_along("topk", x, dim);
  check(k >= 0 && k <= n, "topk: expects a k from 0 to ", n, ", got ", k);
  const Tensor index = order("topk", largest, x, dim, k);
  Shape out = x.shape();
  if (x.dim() > 0) {
    out[normalize_dim(dim, x.dim(), "topk")] = k;
  } else if (k == 0) {
    out = {0};
  }
  return {picked("topk", x, dim, index, out), view(index, out)};
}

ValuesAndIndices kthvalue(const Tensor& x, std::int64_t k, int dim, bool keepdim) {
  const std::int64_t n = size_along("kthvalue", x, dim);
  check(k >= 1 && k <= n, "kthvalue: expects a k from 1 to ", n, ", got ", k);
  return one_of_each("kthvalue", x, kth("kthvalue", k - 1, false, x, dim), dim, keepdim);
}

ValuesAndIndices median(const Tensor& x, int dim, bool keepdim) {
  return one_of_each("median", x, median_index(x, dim), dim, keepdim);
}

Tensor median(const Tensor& x) {
  const Tensor flat = view(x, {x.numel()});
  const Tensor y = picked("median", flat, 0, median_index(flat, 0), {});
  if (!is_floating(x.dtype())) return y;
  return reduction::shared_by_ties("median", Plan("median", x, {}, false), x, y);
}

Unique unique(const Tensor& x) {
  const std::int64_t n = x.numel();
  const Tensor flat = view(x.to(Device::cpu()), {1, n, 1}), keys = reducible(flat);
  Tensor index = empty({1, n, 1}, {.dtype = i64}), inverse = empty(x.shape(), {.dtype = i64});
  kernels::sort(false, keys, index);
  const auto* at = index.data<std::int64_t>();
  auto* which = inverse.data<std::int64_t>();
  std::vector<std::int64_t> firsts, counts;
  dispatch_kernel_dtype(keys.dtype(), "unique", [&]<class T>() {
    const T* in = keys.data<T>();
    auto value = [in](std::int64_t i) {
      if constexpr (std::is_same_v<T, BFloat16>) {
        return static_cast<float>(in[i]);
      } else {
        return in[i];
      }
    };
    for (std::int64_t i = 0; i < n; ++i) {
      if (i == 0 || value(at[i - 1]) != value(at[i])) {
        firsts.push_back(at[i]);
        counts.push_back(0);
      }
      which[at[i]] = static_cast<std::int64_t>(counts.size()) - 1;
      ++counts.back();
    }
  });
  const auto m = static_cast<std::int64_t>(firsts.size());
  Tensor values = empty({1, m, 1}, {.dtype = x.dtype()});
  kernels::pick(flat, tensor(firsts, {1, m, 1}), values);
  const Device device = x.device();
  return {view(values, {m}).to(device), inverse.to(device), tensor(counts).to(device)};
}

Tensor bincount(const Tensor& x, const Tensor& weights, std::int64_t minlength) {
  check(x.dim() == 1 && (is_index(x.dtype()) || x.dtype() == u8),
        "bincount: expects i64, i32 or u8 [n], got ", x.dtype(), x.shape());
  check(minlength >= 0, "bincount: expects a minlength of at least 0, got ", minlength);
  check(!weights.defined() || weights.shape() == x.shape(), "bincount: expects weights ", x.shape());
  const std::vector<std::int64_t> numbers = x.to_vector<std::int64_t>();
  std::int64_t bins = minlength;
  for (const std::int64_t number : numbers) {
    check(number >= 0, "bincount: expects no number below 0, got ", number);
    bins = std::max(bins, checked_add(number, 1, "bincount"));
  }
  if (!weights.defined() || numbers.empty()) {
    Tensor counts = zeros({bins}, {.dtype = i64});
    auto* count = counts.data<std::int64_t>();
    for (const std::int64_t number : numbers) ++count[number];
    return counts.to(x.device());
  }
  const std::vector<double> weight = weights.to_vector<double>();
  Tensor sums = zeros({bins}, {.dtype = f64});
  auto* sum = sums.data<double>();
  for (std::size_t i = 0; i < numbers.size(); ++i) sum[numbers[i]] += weight[i];
  return sums.to(weights.dtype() == f32 ? f32 : f64).to(x.device());
}

Tensor histc(const Tensor& any_x, HistcOptions options) {
  const Tensor x = widen(any_x.detach()).to(Device::cpu());
  reduction::check_floating("histc", x);
  check(options.bins >= 1, "histc: expects at least 1 bin, got ", options.bins);
  Tensor counts = zeros({options.bins}, {.dtype = i64});
  auto* count = counts.data<std::int64_t>();
  dispatch_floating(x.dtype(), "histc", [&]<class T>() {
    const T* in = x.data<T>();
    T low = static_cast<T>(options.min), high = static_cast<T>(options.max);
    if (low == high && x.numel() > 0) low = min(x).item<T>(), high = max(x).item<T>();
    if (low == high) low -= 1, high += 1;
    check(std::isfinite(low) && std::isfinite(high) && low < high, "histc: expects a finite range, got ", low,
          " to ", high);
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      if (!(in[i] >= low && in[i] <= high)) continue;
      const auto bin = static_cast<std::int64_t>((in[i] - low) * static_cast<T>(options.bins) / (high - low));
      ++count[std::min(bin, options.bins - 1)];
    }
  });
  return counts.to(x.dtype()).to(any_x.device());
}

Tensor searchsorted(const Tensor& sorted, const Tensor& values, bool right) {
  check(sorted.dtype() == values.dtype() && sorted.dtype() != boolean,
        "searchsorted: expects one dtype other than bool, got ", sorted.dtype(), " and ", values.dtype());
  bool fits = sorted.dim() == 1 || (sorted.dim() > 1 && sorted.dim() == values.dim());
  for (int d = 0; fits && d < sorted.dim() - 1; ++d) fits = sorted.shape()[d] == values.shape()[d];
  check(fits, "searchsorted: expects one dimension or leading sizes like those of the values, got ",
        sorted.shape(), " and ", values.shape());
  const bool shared = sorted.dim() == 1;
  const std::int64_t m = shared ? values.numel() : values.size(-1);
  std::int64_t rows = 1;
  for (int d = 0; d < sorted.dim() - 1; ++d) rows *= sorted.shape()[d];
  const Tensor edges = reducible(view(sorted, {rows, sorted.size(-1)}));
  const Tensor wanted = reducible(view(values, {rows, m}));
  Tensor y = empty({rows, m}, {.dtype = i64, .device = wanted.device()});
  kernels::searchsorted(right, edges, wanted, y);
  return view(y, values.shape()).to(values.device());
}

}  // namespace karyon
