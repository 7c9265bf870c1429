// Sorting along a dimension: a column's elements become unsigned keys with their indices, so one comparison
// serves every type and makes each order unique.
#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/kernels/functors/sort.h>
#include <karyon/core/kernels/sort.h>
#include <karyon/core/parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace karyon {
namespace {

using cpu::Computed;
using cpu::Stored;

constexpr std::int64_t grain = 4096;  // elements that are worth a thread

struct Item {
  std::uint64_t key;
  std::int64_t index;
  friend bool operator<(const Item& a, const Item& b) {
    return a.key != b.key ? a.key < b.key : a.index < b.index;
  }
};

// Calls use(items, first place of the column in [outer, 1, inner]) for every column of x.
template <class F>
void for_columns(const Tensor& x, bool descending, const F& use) {
  const std::int64_t outer = x.size(0), n = x.size(1), inner = x.size(2);
  dispatch_kernel_dtype(x.dtype(), "sort", [&]<class T>() {
    const Stored<T>* in = cpu::Input<T>{x}.data();
    parallel_for(outer * inner, std::max<std::int64_t>(grain / std::max<std::int64_t>(n, 1), 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   std::vector<Item> items(static_cast<std::size_t>(n));
                   for (std::int64_t c = begin; c < end; ++c) {
                     const Stored<T>* from = in + c / inner * n * inner + c % inner;
                     for (std::int64_t k = 0; k < n; ++k) {
                       const auto key = functors::order_key(from[k * inner]);
                       items[static_cast<std::size_t>(k)] = {descending ? ~key : key, k};
                     }
                     use(items, c);
                   }
                 });
  });
}

void sort_cpu(bool descending, const Tensor& x, Tensor& index) {
  const std::int64_t k = index.size(1), inner = x.size(2);
  auto* out = index.data<std::int64_t>();
  for_columns(x, descending, [=](std::vector<Item>& items, std::int64_t column) {
    if (k < static_cast<std::int64_t>(items.size())) {
      std::partial_sort(items.begin(), items.begin() + k, items.end());
    } else {
      std::sort(items.begin(), items.end());
    }
    std::int64_t* to = out + column / inner * k * inner + column % inner;
    for (std::int64_t j = 0; j < k; ++j) to[j * inner] = items[static_cast<std::size_t>(j)].index;
  });
}

void kth_cpu(std::int64_t k, bool nan_wins, const Tensor& x, Tensor& index) {
  auto* out = index.data<std::int64_t>();
  const std::uint64_t nan = x.dtype() == f64 ? functors::order_key(double{NAN}) : functors::order_key(NAN);
  const bool look = nan_wins && is_floating(x.dtype());
  for_columns(x, false, [=](std::vector<Item>& items, std::int64_t column) {
    if (look) {
      const auto found =
          std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.key == nan; });
      if (found != items.end()) {
        out[column] = found->index;
        return;
      }
    }
    std::nth_element(items.begin(), items.begin() + k, items.end());
    out[column] = items[static_cast<std::size_t>(k)].index;
  });
}

void searchsorted_cpu(bool right, const Tensor& sorted, const Tensor& values, Tensor& y) {
  const std::int64_t n = sorted.size(1), m = values.size(1), step = sorted.size(0) == 1 ? 0 : n;
  auto* out = y.data<std::int64_t>();
  dispatch_kernel_dtype(sorted.dtype(), "searchsorted", [&]<class T>() {
    using Value = Computed<Stored<T>>;
    const Stored<T>*in = cpu::Input<T>{sorted}.data(), *wanted = cpu::Input<T>{values}.data();
    parallel_for(values.numel(), grain / 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const Stored<T>* row = in + i / m * step;
        const auto value = static_cast<Value>(wanted[i]);
        // Comparisons are such that NaN goes to the end.
        const auto place = std::partition_point(row, row + n, [&](Stored<T> stored) {
          const auto edge = static_cast<Value>(stored);
          return right ? !(edge > value) : !(edge >= value);
        });
        out[i] = place - row;
      }
    });
  });
}

}  // namespace

constinit decltype(kernels::sort) kernels::sort{"sort", sort_cpu};
constinit decltype(kernels::kth) kernels::kth{"kth", kth_cpu};
constinit decltype(kernels::searchsorted) kernels::searchsorted{"searchsorted", searchsorted_cpu};

}  // namespace karyon
