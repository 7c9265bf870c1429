// Running totals along a dimension. A warp takes a column, 32 elements at a time: neighbouring threads read
// neighbouring elements where the dimension is the last. The order of additions depends on the shape alone.
#include <karyon/core/kernels/scan.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/launch.cuh>
#include <karyon/cuda/reduce.cuh>

namespace karyon::cuda {
namespace {

constexpr int scan_threads = 256;

template <class Op>
__global__ void __launch_bounds__(scan_threads)
    scan_kernel(bool reversed, std::int64_t columns, std::int64_t n, std::int64_t inner, const float* x,
                float* y) {
  const std::int64_t c = (std::int64_t{blockIdx.x} * scan_threads + threadIdx.x) / warp_size;
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  if (c >= columns) return;  // the whole warp
  const std::int64_t first = c / inner * n * inner + c % inner;
  double carry = Op::start();
  for (std::int64_t base = 0; base < n; base += warp_size) {
    const std::int64_t k = base + lane, at = first + (reversed ? n - 1 - k : k) * inner;
    double value = k < n ? static_cast<double>(x[at]) : Op::start();
#pragma unroll
    for (int step = 1; step < warp_size; step *= 2) {
      const double before = __shfl_up_sync(~0u, value, step);
      if (lane >= step) value = Op::combine(before, value);
    }
    value = Op::combine(carry, value);
    if (k < n) y[at] = static_cast<float>(value);
    carry = __shfl_sync(~0u, value, warp_size - 1);
  }
}
void scan(kernels::Scan op, bool reversed, const Tensor& x, Tensor& y) {
  check_f32("scan", x);
  if (x.numel() == 0) return;
  const std::int64_t columns = x.size(0) * x.size(2);
  launch(op == kernels::Scan::sum ? scan_kernel<Sum> : scan_kernel<Product>,
         grid_for(columns, scan_threads / warp_size), scan_threads, 0, reversed, columns, x.size(1),
         x.size(2), x.data<float>(), y.data<float>());
}

// A thread takes a column: dx[i] = y[i - 1] s[i] with s[i] = dy[i] + x[i + 1] s[i + 1].
__global__ void __launch_bounds__(scan_threads)
    cumprod_backward_kernel(std::int64_t columns, std::int64_t n, std::int64_t inner, const float* x,
                            const float* y, const float* dy, float* dx) {
  const std::int64_t c = std::int64_t{blockIdx.x} * scan_threads + threadIdx.x;
  if (c >= columns) return;
  const std::int64_t first = c / inner * n * inner + c % inner;
  double s = 0;
  for (std::int64_t k = n - 1; k >= 0; --k) {
    const std::int64_t at = first + k * inner;
    s += dy[at];
    dx[at] = static_cast<float>((k > 0 ? static_cast<double>(y[at - inner]) : 1.0) * s);
    s *= x[at];
  }
}
void cumprod_backward(const Tensor& x, const Tensor& y, const Tensor& dy, Tensor& dx) {
  check_f32("cumprod_backward", x);
  if (x.numel() == 0) return;
  const std::int64_t columns = x.size(0) * x.size(2);
  launch(cumprod_backward_kernel, grid_for(columns, scan_threads), scan_threads, 0, columns, x.size(1),
         x.size(2), x.data<float>(), y.data<float>(), dy.data<float>(), dx.data<float>());
}

// A thread takes a column. NaN wins, and of equals the last.
__global__ void __launch_bounds__(scan_threads)
    cummax_kernel(bool largest, std::int64_t columns, std::int64_t n, std::int64_t inner, const float* x,
                  std::int64_t* index) {
  const std::int64_t c = std::int64_t{blockIdx.x} * scan_threads + threadIdx.x;
  if (c >= columns) return;
  const std::int64_t first = c / inner * n * inner + c % inner;
  float best = 0;
  std::int64_t place = 0;
  for (std::int64_t k = 0; k < n; ++k) {
    const float value = x[first + k * inner];
    const bool wins = largest ? value >= best : value <= best;
    if (k == 0 || value != value || wins) {  // no number wins over NaN
      best = value;
      place = k;
    }
    index[first + k * inner] = place;
  }
}
void cummax(bool largest, const Tensor& x, Tensor& index) {
  check_f32("cummax", x);
  if (x.numel() == 0) return;
  const std::int64_t columns = x.size(0) * x.size(2);
  launch(cummax_kernel, grid_for(columns, scan_threads), scan_threads, 0, largest, columns, x.size(1),
         x.size(2), x.data<float>(), index.data<std::int64_t>());
}

// An element is its own index where it takes the lead, and keeps it until the next that does.
__global__ void __launch_bounds__(scan_threads)
    cummax_backward_kernel(std::int64_t columns, std::int64_t n, std::int64_t inner,
                           const std::int64_t* index, const float* dy, float* dx) {
  const std::int64_t c = std::int64_t{blockIdx.x} * scan_threads + threadIdx.x;
  if (c >= columns) return;
  const std::int64_t first = c / inner * n * inner + c % inner;
  double sum = 0;
  for (std::int64_t k = n - 1; k >= 0; --k) {
    const std::int64_t at = first + k * inner;
    const bool leads = index[at] == k;
    sum += dy[at];
    dx[at] = leads ? static_cast<float>(sum) : 0;
    if (leads) sum = 0;
  }
}
void cummax_backward(const Tensor& index, const Tensor& dy, Tensor& dx) {
  check_f32("cummax_backward", dy);
  if (dy.numel() == 0) return;
  const std::int64_t columns = dy.size(0) * dy.size(2);
  launch(cummax_backward_kernel, grid_for(columns, scan_threads), scan_threads, 0, columns, dy.size(1),
         dy.size(2), index.data<std::int64_t>(), dy.data<float>(), dx.data<float>());
}

}  // namespace

void register_scan_kernels(KernelTable& table) {
  table.add<decltype(kernels::scan), scan>("scan");
  table.add<decltype(kernels::cumprod_backward), cumprod_backward>("cumprod_backward");
  table.add<decltype(kernels::cummax), cummax>("cummax");
  table.add<decltype(kernels::cummax_backward), cummax_backward>("cummax_backward");
}

}  // namespace karyon::cuda
