#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/grid_sample.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/grid_sample.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/shape.h>

namespace karyon {
namespace {

// Images as volumes of depth 1; grids alike.
Tensor as_volume(const Tensor& x) {
  return x.dim() == 5 ? x : x.reshape({x.size(0), 1, x.size(1), x.size(2), x.size(3)});
}

void check_arguments(const Tensor& x, const Tensor& grid) {
  const char* const op = "grid_sample";
  check(x.dim() == 4 || x.dim() == 5, op, ": expects x [N, H, W, C] or [N, D, H, W, C], got ", x.shape());
  check_computed(op, x);
  check(grid.dtype() == x.dtype() || (x.dtype() == bf16 && grid.dtype() == f32), op, ": x is ", x.dtype(),
        " but grid is ", grid.dtype());
  check(grid.dim() == x.dim() && grid.size(0) == x.size(0) && grid.size(-1) == x.dim() - 2, op,
        ": expects a grid [", x.size(0), x.dim() == 4 ? ", H, W, 2]" : ", D, H, W, 3]", " for ", x.shape(),
        ", got ", grid.shape());
  for (int d = 1; d < x.dim() - 1; ++d)
    check(x.size(d) >= 1, op, ": expects images of at least one pixel, got ", x.shape());
}

}  // namespace

Tensor grid_sample(const Tensor& input, const Tensor& any_grid, const GridSampleOptions& options) {
  check_arguments(input, any_grid);
  const Tensor x = as_volume(widen(input)), grid = as_volume(widen(any_grid));
  Shape shape = any_grid.shape();
  shape[shape.dims() - 1] = input.size(-1);
  Tensor y = empty({x.size(0), grid.size(1), grid.size(2), grid.size(3), x.size(4)},
                   {.dtype = x.dtype(), .device = x.device()});
  if (y.numel() > 0) kernels::grid_sample(x, grid, options, y);
  y = record("grid_sample", y, {x, grid},
             [options, x = SavedTensor(x), grid = SavedTensor(grid), want_x = x.requires_grad(),
              want_grid = grid.requires_grad()](const Tensor& dy) {
               Tensor dx, dgrid;
               const Tensor values = x.get(), places = grid.get();
               if (want_x) {
                 dx = zeros_like(values);
                 if (dy.numel() > 0) kernels::grid_sample_backward_data(dy, places, options, dx);
               }
               if (want_grid) {
                 dgrid = dy.numel() > 0 ? empty_like(places) : zeros_like(places);
                 if (dy.numel() > 0) kernels::grid_sample_backward_grid(dy, values, places, options, dgrid);
               }
               return std::vector{dx, dgrid};
             });
  return y.reshape(shape).to(input.dtype());
}

Tensor affine_grid(const Tensor& theta, const Shape& size, const AffineGridOptions& options) {
  const char* const op = "affine_grid";
  const int dims = size.dims();
  check(dims == 2 || dims == 3, op, ": expects a size {H, W} or {D, H, W}, got ", size);
  check(theta.dim() == 3 && theta.size(1) == dims && theta.size(2) == dims + 1, op, ": expects theta ",
        dims == 2 ? "[N, 2, 3]" : "[N, 3, 4]", " for ", size, ", got ", theta.shape());
  check_computed(op, theta);
  for (const std::int64_t n : size) check(n >= 1, op, ": expects a size of at least one pixel, got ", size);
  const Tensor map = widen(theta);
  // (x, y, 1) of each pixel: a column for each.
  const TensorOptions like{.dtype = map.dtype(), .device = map.device()};
  std::vector<Tensor> columns;
  for (int d = dims - 1; d >= 0; --d) {
    const std::int64_t n = size[d];
    Shape along;
    for (int other = 0; other < dims; ++other) along.push_back(other == d ? n : 1);
    std::vector<double> values;
    for (std::int64_t i = 0; i < n; ++i)
      values.push_back(n == 1 ? 0
                              : (static_cast<double>(2 * i + 1 - n) /
                                 static_cast<double>(options.align_corners ? n - 1 : n)));
    columns.push_back(expand(tensor(values, along, like), size).reshape({size.numel(), 1}));
  }
  columns.push_back(ones({size.numel(), 1}, like));
  Shape shape{theta.size(0)};
  for (const std::int64_t n : size) shape.push_back(n);
  shape.push_back(dims);
  const AutocastGuard exact(f32);  // places need all digits
  return matmul(cat(columns, 1), transpose(map, 1, 2)).reshape(shape).to(theta.dtype());
}

}  // namespace karyon
