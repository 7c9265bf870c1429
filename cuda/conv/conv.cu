// Convolution as one matrix product per group (gemm.h), without intermediate results in memory:
//
//   forward          y [pixels of y, K]      = patches of x [pixels of y, taps C] . filters^T
//   backward-data    dx [pixels of x, C]     = patches of dy [pixels of x, taps K] . filters
//   backward-weight  dweight [K, taps C]     = dy^T [K, pixels of y] . patches of x
//
// The idea for strides: the pixels of dx with the same remainder by the stride meet the same taps. For them
// backward-data is a convolution with stride 1 over those taps alone. So stride s takes s x s products of 1 /
// (s x s) of the work, none of it with zeros.
#include <numeric>

#include <karyon/core/kernels/conv.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/conv/conv.h>
#include <karyon/cuda/gemm/gemm.h>
#include <karyon/cuda/columns.cuh>
#include <karyon/cuda/launch.cuh>

namespace karyon::cuda {
namespace {

int narrow(std::int64_t n, const char* what) {
  check(n >= -(std::int64_t{1} << 30) && n < std::int64_t{1} << 31, "conv2d: ", what, " ", n,
        " is more than the cuda kernels take");
  return static_cast<int>(n);
}

void check_dtype(const Tensor& x, const char* op) {
  check(x.dtype() == f32 || x.dtype() == bf16, op, ": the cuda kernel expects f32 or bf16, got ", x.dtype());
}

// Whether chunks of 16 bytes that start at multiples of `count` elements are aligned.
bool whole_chunks(const Tensor& x, std::initializer_list<std::int64_t> counts) {
  const auto elements = static_cast<std::int64_t>(16 / element_size(x.dtype()));
  for (std::int64_t count : counts)
    if (count % elements != 0) return false;
  return reinterpret_cast<std::uintptr_t>(x.data_ptr()) % 16 == 0;
}

// One product per group; channels of one group of A, B and C in elements from one to the next.
Product make_product(const ConvGeometry& g, std::int64_t m, std::int64_t n, std::int64_t k,
                     std::int64_t stride_a, std::int64_t stride_b, std::int64_t stride_c) {
  Product p{.m = narrow(m, "a product of rows"),
            .n = narrow(n, "a product of columns"),
            .k = narrow(k, "a sum over")};
  p.dims = 1;
  p.batches = narrow(g.groups, "a number of groups");
  p.size[0] = Divisor(g.groups);
  p.stride_a[0] = stride_a;
  p.stride_b[0] = stride_b;
  p.stride_c = stride_c;
  return p;
}

void set_parameter(const Tensor& values, const void*& data, bool& is_f32) {
  if (!values.defined()) return;
  data = values.data_ptr();
  is_f32 = values.dtype() == f32;
}

// Patches of x at the positions of y.
Patches input_patches(const ConvGeometry& g, const Tensor& x, bool vector) {
  const std::int64_t cg = g.c / g.groups;
  narrow(g.h * g.w * g.c, "an image of");
  return {.data = x.data_ptr(),
          .image = g.h * g.w * g.c,
          .h = narrow(g.h, "a height of"),
          .w = narrow(g.w, "a width of"),
          .pixel = narrow(g.c, "a pixel of"),
          .stride_h = narrow(g.stride.h, "a stride of"),
          .stride_w = narrow(g.stride.w, "a stride of"),
          .base_h = narrow(-g.padding.h, "a padding of"),
          .base_w = narrow(-g.padding.w, "a padding of"),
          .step_h = narrow(g.dilation.h, "a dilation of"),
          .step_w = narrow(g.dilation.w, "a dilation of"),
          .depth = Divisor(cg),
          .taps_w = Divisor(g.kernel.w),
          .out_w = Divisor(g.w_out),
          .out_image = Divisor(g.h_out * g.w_out),
          .vector = vector};
}

void forward(const char* op, const ConvGeometry& g, const Tensor& x, const Tensor& weight,
             const Tensor& scale, const Tensor& shift, bool relu, Tensor& y) {
  check_dtype(x, op);
  const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups, filter = g.kernel.h * g.kernel.w * cg;
  const Product p = make_product(g, g.n * g.h_out * g.w_out, kg, filter, cg, kg * filter, kg);
  const Rows b{.data = weight.data_ptr(), .stride = filter, .vector = whole_chunks(weight, {cg})};
  Output out{.data = y.data_ptr(), .relu = relu, .vector = whole_chunks(y, {g.k, kg}), .image_stride = g.k};
  set_parameter(scale, out.scale, out.scale_f32);
  set_parameter(shift, out.shift, out.shift_f32);
  multiply(x.dtype(), p, input_patches(g, x, whole_chunks(x, {cg, g.c})), b, out);
}

// The taps for one remainder of positions in x along one dimension, as a convolution with stride 1 over y.
// Position first + stride r is reached from r + base + q step by tap + q skip, for q < taps.
struct Phase {
  std::int64_t positions, taps, tap, skip, base, step;
};

Phase make_phase(std::int64_t first, std::int64_t size, std::int64_t kernel, std::int64_t stride,
                 std::int64_t padding, std::int64_t dilation) {
  const std::int64_t common = std::gcd(stride, dilation), skip = stride / common;
  std::int64_t tap = 0;
  while (tap < skip && (first + padding - tap * dilation) % stride != 0) ++tap;
  const bool any = tap < skip && tap < kernel;
  return {.positions = size > first ? (size - first - 1) / stride + 1 : 0,
          .taps = any ? (kernel - 1 - tap) / skip + 1 : 0,
          .tap = tap,
          .skip = skip,
          .base = any ? (first + padding - tap * dilation) / stride : 0,
          .step = -(dilation / common)};
}

}  // namespace

void conv2d_gemm(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
                 Tensor& y) {
  forward("conv2d", g, x, weight, {}, bias, false, y);
}

void conv2d_affine_gemm(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& scale,
                        const Tensor& shift, bool relu, Tensor& y) {
  forward("conv2d_affine", g, x, weight, scale, shift, relu, y);
}

void conv2d_backward_data_gemm(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                               const Tensor& bias, Tensor& dx) {
  check_dtype(dy, "conv2d_backward_data");
  const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups, filter = g.kernel.h * g.kernel.w * cg;
  narrow(g.h_out * g.w_out * g.k, "an image of");
  narrow(filter, "a filter of");
  for (std::int64_t first_h = 0; first_h < std::min(g.stride.h, g.h); ++first_h)
    for (std::int64_t first_w = 0; first_w < std::min(g.stride.w, g.w); ++first_w) {
      const Phase v = make_phase(first_h, g.h, g.kernel.h, g.stride.h, g.padding.h, g.dilation.h);
      const Phase u = make_phase(first_w, g.w, g.kernel.w, g.stride.w, g.padding.w, g.dilation.w);
      const Product p =
          make_product(g, g.n * v.positions * u.positions, cg, v.taps * u.taps * kg, kg, kg * filter, cg);
      const Divisor taps_w(std::max<std::int64_t>(1, u.taps));
      const Patches a{.data = dy.data_ptr(),
                      .image = g.h_out * g.w_out * g.k,
                      .h = narrow(g.h_out, "a height of"),
                      .w = narrow(g.w_out, "a width of"),
                      .pixel = narrow(g.k, "a pixel of"),
                      .stride_h = 1,
                      .stride_w = 1,
                      .base_h = narrow(v.base, "a padding of"),
                      .base_w = narrow(u.base, "a padding of"),
                      .step_h = narrow(v.step, "a dilation of"),
                      .step_w = narrow(u.step, "a dilation of"),
                      .depth = Divisor(kg),
                      .taps_w = taps_w,
                      .out_w = Divisor(u.positions),
                      .out_image = Divisor(v.positions * u.positions),
                      .vector = whole_chunks(dy, {kg, g.k})};
      const TapRows b{.data = weight.data_ptr(),
                      .stride = filter,
                      .depth = Divisor(kg),
                      .taps_w = taps_w,
                      .first = static_cast<int>((v.tap * g.kernel.w + u.tap) * cg),
                      .step_h = static_cast<int>(v.skip * g.kernel.w * cg),
                      .step_w = static_cast<int>(u.skip * cg),
                      .vector = whole_chunks(weight, {cg})};
      Output out{.data = dx.data_ptr(),
                 .vector = whole_chunks(dx, {g.c, cg}),
                 .width = Divisor(u.positions),
                 .image = Divisor(v.positions * u.positions),
                 .image_stride = g.h * g.w * g.c,
                 .row_stride = g.stride.h * g.w * g.c,
                 .column_stride = g.stride.w * g.c,
                 .first = (first_h * g.w + first_w) * g.c};
      set_parameter(bias, out.shift, out.shift_f32);
      multiply(dy.dtype(), p, a, b, out);
    }
}

void conv2d_backward_weight_gemm(const ConvGeometry& g, const Tensor& x, const Tensor& dy, Tensor& dweight) {
  check_dtype(x, "conv2d_backward_weight");
  const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups, filter = g.kernel.h * g.kernel.w * cg;
  const std::int64_t pixels = g.n * g.h_out * g.w_out;
  const Product p = make_product(g, kg, filter, pixels, kg, cg, kg * filter);
  const TapRows a{.data = dy.data_ptr(),
                  .stride = g.k,
                  .depth = Divisor((std::int64_t{1} << 31) - 1),
                  .vector = whole_chunks(dy, {kg, g.k})};
  const Output out{.data = dweight.data_ptr(),
                   .data_f32 = dweight.dtype() == f32,
                   .vector = whole_chunks(dweight, {filter}),
                   .contiguous = true,
                   .image_stride = filter};
  multiply(x.dtype(), p, a, input_patches(g, x, whole_chunks(x, {cg, g.c})), out);
}

namespace {

/// The gradient itself; columns.cuh sums two values, of which this needs one.
template <class T>
struct GradientValues {
  template <int V>
  class Of {
   public:
    using Params = const T*;
    __device__ Of(Params dy, std::int64_t, int) : dy_(dy) {}
    __device__ void operator()(std::int64_t at, std::int64_t, float (&value)[V], float (&none)[V]) const {
      load_vector<T, V>(dy_ + at, value);
#pragma unroll
      for (int i = 0; i < V; ++i) none[i] = 0;
    }

   private:
    const T* dy_;
  };
};

template <class T>
void sum_pixels(const Tensor& dy, Tensor& dbias) {
  const std::int64_t k = dy.size(-1);
  const ColumnGrid g(1, dy.numel() / k, k, whole_vectors(dy), 32);
  Workspace sums(column_sums_bytes(g));
  launch_column_sums<GradientValues<T>::template Of>(g, dy.data<T>(), sums.data<double>());
  auto join = [&]<class Out>(Out* out) {
    launch(join_column_sums<Out>, grid_for(k, column_threads), column_threads, 0, sums.data<double>(),
           std::int64_t{g.chunks}, g.columns, out, nullptr);
  };
  dbias.dtype() == f32 ? join(dbias.data<float>()) : join(dbias.data<BFloat16>());
}

}  // namespace

void conv2d_backward_bias(const Tensor& dy, Tensor& dbias) {
  check_dtype(dy, "conv2d_backward_bias");
  dy.dtype() == f32 ? sum_pixels<float>(dy, dbias) : sum_pixels<BFloat16>(dy, dbias);
}

}  // namespace karyon::cuda
