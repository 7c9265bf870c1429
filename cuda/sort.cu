// Sorting along a dimension. An element becomes a word: its key above its index, so that all are distinct and
// any network sorts stably. A block sorts a column by a bitonic network in global memory.
#include <karyon/core/kernels/functors/sort.h>
#include <karyon/core/kernels/sort.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/workspace.h>
#include <karyon/cuda/launch.cuh>

#include <bit>

namespace karyon::cuda {
namespace {

constexpr int sort_threads = 256;
constexpr std::uint32_t nan_key = ~0u;

// columns x size words; those from n on are larger than all others.
__global__ void __launch_bounds__(sort_threads)
    fill_words(bool descending, std::int64_t count, std::int64_t size, std::int64_t n, std::int64_t inner,
               const float* x, std::uint64_t* words) {
  const std::int64_t i = std::int64_t{blockIdx.x} * sort_threads + threadIdx.x;
  if (i >= count) return;
  const std::int64_t c = i / size, k = i - c * size;
  std::uint64_t word = ~std::uint64_t{0};
  if (k < n) {
    const std::uint32_t key = functors::order_key(x[(c / inner * n + k) * inner + c % inner]);
    word = std::uint64_t{descending ? ~key : key} << 32 | static_cast<std::uint32_t>(k);
  }
  words[i] = word;
}

__global__ void __launch_bounds__(sort_threads) sort_words(std::int64_t size, std::uint64_t* words) {
  std::uint64_t* const mine = words + blockIdx.x * size;
  for (std::int64_t length = 2; length <= size; length *= 2)
    for (std::int64_t step = length / 2; step > 0; step /= 2) {
      for (std::int64_t i = threadIdx.x; i < size / 2; i += sort_threads) {
        const std::int64_t a = (i & ~(step - 1)) * 2 + (i & (step - 1)), b = a + step;
        const std::uint64_t low = mine[a], high = mine[b];
        if ((low > high) == ((a & length) == 0)) {
          mine[a] = high;
          mine[b] = low;
        }
      }
      __syncthreads();
    }
}

// The sorted columns of x, each as a power of two of words.
struct SortedWords {
  std::int64_t columns, size;
  Workspace room;

  SortedWords(const char* op, bool descending, const Tensor& x)
      : columns(x.size(0) * x.size(2)),
        size(static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(x.size(1))))),
        room(static_cast<std::size_t>(columns * size) * sizeof(std::uint64_t)) {
    check_f32(op, x);
    check(x.size(1) < std::int64_t{1} << 31, op, ": expects a size below 2^31 on cuda, got ", x.size(1));
    launch(fill_words, grid_for(columns * size, sort_threads), sort_threads, 0, descending, columns * size,
           size, x.size(1), x.size(2), x.data<float>(), words());
    launch(sort_words, grid_for(columns, 1), sort_threads, 0, size, words());
  }
  std::uint64_t* words() { return room.data<std::uint64_t>(); }
};

__global__ void __launch_bounds__(sort_threads)
    first_indices(std::int64_t count, std::int64_t size, std::int64_t k, std::int64_t inner,
                  const std::uint64_t* words, std::int64_t* index) {
  const std::int64_t i = std::int64_t{blockIdx.x} * sort_threads + threadIdx.x;
  if (i >= count) return;
  const std::int64_t row = i / inner, o = row / k;
  index[i] = static_cast<std::uint32_t>(words[(o * inner + i % inner) * size + row - o * k]);
}
void sort(bool descending, const Tensor& x, Tensor& index) {
  if (index.numel() == 0) return;
  SortedWords sorted("sort", descending, x);
  launch(first_indices, grid_for(index.numel(), sort_threads), sort_threads, 0, index.numel(), sorted.size,
         index.size(1), x.size(2), sorted.words(), index.data<std::int64_t>());
}

// The first NaN follows the last number.
__global__ void __launch_bounds__(sort_threads)
    kth_index(std::int64_t columns, std::int64_t size, std::int64_t n, std::int64_t k, bool nan_wins,
              const std::uint64_t* words, std::int64_t* index) {
  const std::int64_t c = std::int64_t{blockIdx.x} * sort_threads + threadIdx.x;
  if (c >= columns) return;
  const std::uint64_t* mine = words + c * size;
  std::int64_t at = k;
  if (nan_wins && mine[n - 1] >> 32 == nan_key)
    for (at = n - 1; at > 0 && mine[at - 1] >> 32 == nan_key;) --at;
  index[c] = static_cast<std::uint32_t>(mine[at]);
}
void kth(std::int64_t k, bool nan_wins, const Tensor& x, Tensor& index) {
  if (index.numel() == 0) return;
  SortedWords sorted("kth", false, x);
  launch(kth_index, grid_for(sorted.columns, sort_threads), sort_threads, 0, sorted.columns, sorted.size,
         x.size(1), k, nan_wins, sorted.words(), index.data<std::int64_t>());
}

// Comparisons are such that NaN goes to the end.
__global__ void __launch_bounds__(sort_threads)
    search_kernel(bool right, std::int64_t count, std::int64_t n, std::int64_t m, bool shared,
                  const float* sorted, const float* values, std::int64_t* y) {
  const std::int64_t i = std::int64_t{blockIdx.x} * sort_threads + threadIdx.x;
  if (i >= count) return;
  const float* row = sorted + (shared ? 0 : i / m * n);
  const float value = values[i];
  std::int64_t begin = 0, end = n;
  while (begin < end) {
    const std::int64_t middle = (begin + end) / 2;
    const bool before = right ? !(row[middle] > value) : !(row[middle] >= value);
    if (before) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  y[i] = begin;
}
void searchsorted(bool right, const Tensor& sorted, const Tensor& values, Tensor& y) {
  check_f32("searchsorted", sorted);
  launch(search_kernel, grid_for(values.numel(), sort_threads), sort_threads, 0, right, values.numel(),
         sorted.size(1), values.size(1), sorted.size(0) == 1, sorted.data<float>(), values.data<float>(),
         y.data<std::int64_t>());
}

}  // namespace

void register_sort_kernels(KernelTable& table) {
  table.add<decltype(kernels::sort), sort>("sort");
  table.add<decltype(kernels::kth), kth>("kth");
  table.add<decltype(kernels::searchsorted), searchsorted>("searchsorted");
}

}  // namespace karyon::cuda
