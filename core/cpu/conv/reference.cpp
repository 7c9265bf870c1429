// Convolution by plain loops in f32 and f64: the engine for every geometry, and the reference for tests of
// the others.
#include <algorithm>
#include <utility>

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/finish.h>
#include <karyon/core/parallel.h>

namespace karyon::cpu {
namespace {

// The output position that reads input position `in` through tap `t`, or -1.
std::int64_t output_at(std::int64_t in, std::int64_t t, std::int64_t stride, std::int64_t padding,
                       std::int64_t dilation, std::int64_t size) {
  const std::int64_t scaled = in + padding - t * dilation;
  return scaled >= 0 && scaled % stride == 0 && scaled / stride < size ? scaled / stride : -1;
}

}  // namespace

void conv2d_reference(const ConvGeometry& g, const ConvHints&, const Tensor& x_tensor, const Tensor& w_tensor,
                      const Tensor& bias, Tensor& y_tensor) {
  dispatch_floating(x_tensor.dtype(), "conv2d", [&]<class T>() {
    const T *x = x_tensor.data<T>(), *weight = w_tensor.data<T>(),
            *b = bias.defined() ? bias.data<T>() : nullptr;
    T* y = y_tensor.data<T>();
    const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups;
    parallel_for(g.n * g.h_out, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t n = row / g.h_out, oh = row % g.h_out;
        for (std::int64_t ow = 0; ow < g.w_out; ++ow) {
          for (std::int64_t k = 0; k < g.k; ++k) {
            T sum = b ? b[k] : T(0);
            for (std::int64_t i = 0; i < g.kernel.h; ++i) {
              const std::int64_t ih = oh * g.stride.h - g.padding.h + i * g.dilation.h;
              if (ih < 0 || ih >= g.h) continue;
              for (std::int64_t j = 0; j < g.kernel.w; ++j) {
                const std::int64_t iw = ow * g.stride.w - g.padding.w + j * g.dilation.w;
                if (iw < 0 || iw >= g.w) continue;
                const T* in = x + ((n * g.h + ih) * g.w + iw) * g.c + k / kg * cg;
                const T* filter = weight + ((k * g.kernel.h + i) * g.kernel.w + j) * cg;
                for (std::int64_t c = 0; c < cg; ++c) sum += in[c] * filter[c];
              }
            }
            y[(row * g.w_out + ow) * g.k + k] = sum;
          }
        }
      }
    });
  });
}

void conv2d_backward_data_reference(const ConvGeometry& g, const ConvHints&, const Tensor& dy_tensor,
                                    const Tensor& w_tensor, const Tensor& bias, Tensor& dx_tensor) {
  dispatch_floating(dy_tensor.dtype(), "conv2d_backward_data", [&]<class T>() {
    const T *dy = dy_tensor.data<T>(), *weight = w_tensor.data<T>(),
            *b = bias.defined() ? bias.data<T>() : nullptr;
    T* dx = dx_tensor.data<T>();
    const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups;
    parallel_for(g.n * g.h, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t n = row / g.h, ih = row % g.h;
        for (std::int64_t iw = 0; iw < g.w; ++iw) {
          T* out = dx + (row * g.w + iw) * g.c;
          for (std::int64_t c = 0; c < g.c; ++c) out[c] = b ? b[c] : T(0);
          for (std::int64_t i = 0; i < g.kernel.h; ++i) {
            const std::int64_t oh = output_at(ih, i, g.stride.h, g.padding.h, g.dilation.h, g.h_out);
            if (oh < 0) continue;
            for (std::int64_t j = 0; j < g.kernel.w; ++j) {
              const std::int64_t ow = output_at(iw, j, g.stride.w, g.padding.w, g.dilation.w, g.w_out);
              if (ow < 0) continue;
              const T* in = dy + ((n * g.h_out + oh) * g.w_out + ow) * g.k;
              for (std::int64_t k = 0; k < g.k; ++k) {
                const T* filter = weight + ((k * g.kernel.h + i) * g.kernel.w + j) * cg;
                T* group = out + k / kg * cg;
                for (std::int64_t c = 0; c < cg; ++c) group[c] += in[k] * filter[c];
              }
            }
          }
        }
      }
    });
  });
}

void conv2d_backward_weight_reference(const ConvGeometry& g, const Tensor& x_tensor, const Tensor& dy_tensor,
                                      Tensor& dw_tensor) {
  dispatch_floating(x_tensor.dtype(), "conv2d_backward_weight", [&]<class T>() {
    const T *x = x_tensor.data<T>(), *dy = dy_tensor.data<T>();
    T* dw = dw_tensor.data<T>();
    const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups, filter_size = g.kernel.h * g.kernel.w * cg;
    parallel_for(g.k, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) {
        T* filter = dw + k * filter_size;
        std::fill(filter, filter + filter_size, T(0));
        for (std::int64_t row = 0; row < g.n * g.h_out; ++row) {
          const std::int64_t n = row / g.h_out, oh = row % g.h_out;
          for (std::int64_t ow = 0; ow < g.w_out; ++ow) {
            const T scale = dy[(row * g.w_out + ow) * g.k + k];
            for (std::int64_t i = 0; i < g.kernel.h; ++i) {
              const std::int64_t ih = oh * g.stride.h - g.padding.h + i * g.dilation.h;
              if (ih < 0 || ih >= g.h) continue;
              for (std::int64_t j = 0; j < g.kernel.w; ++j) {
                const std::int64_t iw = ow * g.stride.w - g.padding.w + j * g.dilation.w;
                if (iw < 0 || iw >= g.w) continue;
                const T* in = x + ((n * g.h + ih) * g.w + iw) * g.c + k / kg * cg;
                T* out = filter + (i * g.kernel.w + j) * cg;
                for (std::int64_t c = 0; c < cg; ++c) out[c] += scale * in[c];
              }
            }
          }
        }
      }
    });
  });
}

void scale_and_shift(const Tensor& scale_tensor, const Tensor& shift_tensor, const ConvFinish& finish,
                     Tensor& y_tensor) {
  dispatch_floating(y_tensor.dtype(), "conv2d_affine", [&]<class T>() {
    const T* scale = scale_tensor.defined() ? scale_tensor.data<T>() : nullptr;
    const T* shift = shift_tensor.defined() ? shift_tensor.data<T>() : nullptr;
    const T* residual = finish.residual.defined() ? std::as_const(finish.residual).data<T>() : nullptr;
    T* y = y_tensor.data<T>();
    const std::int64_t channels = y_tensor.size(-1);
    visit(finish.activation, [&](auto activation) {
      parallel_for(y_tensor.numel() / channels, 1024, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin * channels; i < end * channels; ++i) {
          const std::int64_t k = i % channels;
          const T value = (scale ? scale[k] : T(1)) * y[i] + (shift ? shift[k] : T(0));
          y[i] = activation(residual ? value + residual[i] : value);
        }
      });
    });
  });
}

void conv2d_affine_reference(const ConvGeometry& g, const ConvHints& hints, const Tensor& x,
                             const Tensor& weight, const Tensor& scale, const Tensor& shift,
                             const ConvFinish& finish, Tensor& y) {
  conv2d_reference(g, hints, x, weight, {}, y);
  scale_and_shift(scale, shift, finish, y);
}

}  // namespace karyon::cpu
