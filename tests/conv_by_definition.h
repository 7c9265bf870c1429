#pragma once
#include <karyon/core/ops/conv.h>
#include <karyon/core/tensor.h>

// What convolutions must give: plain loops over f64 tensors.
namespace karyon::test {

/// Straight from the definition, one output at a time, in double.
inline Tensor conv2d_by_definition(const Tensor& x, const Tensor& w, const Tensor& b,
                                   const Conv2dOptions& o) {
  const std::int64_t n = x.size(0), h = x.size(1), wd = x.size(2), c = x.size(3);
  const std::int64_t k = w.size(0), kh = w.size(1), kw = w.size(2), cg = w.size(3), kg = k / o.groups;
  const std::int64_t ho = (h + 2 * o.padding.h - o.dilation.h * (kh - 1) - 1) / o.stride.h + 1;
  const std::int64_t wo = (wd + 2 * o.padding.w - o.dilation.w * (kw - 1) - 1) / o.stride.w + 1;
  Tensor y = zeros({n, ho, wo, k}, {.dtype = f64});
  const double *in = x.data<double>(), *filter = w.data<double>();
  double* out = y.data<double>();
  for (std::int64_t in_n = 0; in_n < n; ++in_n)
    for (std::int64_t r = 0; r < ho; ++r)
      for (std::int64_t q = 0; q < wo; ++q)
        for (std::int64_t m = 0; m < k; ++m) {
          double sum = b.defined() ? b.data<double>()[m] : 0;
          for (std::int64_t i = 0; i < kh; ++i)
            for (std::int64_t j = 0; j < kw; ++j)
              for (std::int64_t d = 0; d < cg; ++d) {
                const std::int64_t row = r * o.stride.h - o.padding.h + i * o.dilation.h;
                const std::int64_t col = q * o.stride.w - o.padding.w + j * o.dilation.w;
                if (row < 0 || row >= h || col < 0 || col >= wd) continue;
                sum += in[((in_n * h + row) * wd + col) * c + m / kg * cg + d] *
                       filter[((m * kh + i) * kw + j) * cg + d];
              }
          out[((in_n * ho + r) * wo + q) * k + m] = sum;
        }
  return y;
}

/// Every input pixel scattered into the outputs it reaches.
inline Tensor conv_transpose2d_by_definition(const Tensor& x, const Tensor& w, const Tensor& b,
                                             const ConvTranspose2dOptions& o) {
  const std::int64_t n = x.size(0), h = x.size(1), wd = x.size(2), c = x.size(3);
  const std::int64_t kh = w.size(1), kw = w.size(2), kg = w.size(3), k = kg * o.groups, cg = c / o.groups;
  const std::int64_t ho =
      (h - 1) * o.stride.h - 2 * o.padding.h + o.dilation.h * (kh - 1) + o.output_padding.h + 1;
  const std::int64_t wo =
      (wd - 1) * o.stride.w - 2 * o.padding.w + o.dilation.w * (kw - 1) + o.output_padding.w + 1;
  Tensor y = zeros({n, ho, wo, k}, {.dtype = f64});
  double* out = y.data<double>();
  if (b.defined())
    for (std::int64_t i = 0; i < y.numel(); ++i) out[i] = b.data<double>()[i % k];
  for (std::int64_t in_n = 0; in_n < n; ++in_n)
    for (std::int64_t r = 0; r < h; ++r)
      for (std::int64_t q = 0; q < wd; ++q)
        for (std::int64_t d = 0; d < c; ++d)
          for (std::int64_t i = 0; i < kh; ++i)
            for (std::int64_t j = 0; j < kw; ++j)
              for (std::int64_t m = 0; m < kg; ++m) {
                const std::int64_t row = r * o.stride.h - o.padding.h + i * o.dilation.h;
                const std::int64_t col = q * o.stride.w - o.padding.w + j * o.dilation.w;
                if (row < 0 || row >= ho || col < 0 || col >= wo) continue;
                out[((in_n * ho + row) * wo + col) * k + d / cg * kg + m] +=
                    x.data<double>()[((in_n * h + r) * wd + q) * c + d] *
                    w.data<double>()[((d * kh + i) * kw + j) * kg + m];
              }
  return y;
}

}  // namespace karyon::test
