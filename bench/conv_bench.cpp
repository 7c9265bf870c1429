// Our convolutions: forward, backward-data, backward-weights, with packing, padding and filter transforms.
#include <karyon/core/cpu/conv/tiles_bf16.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/random.h>

#include "conv_layers.h"

namespace karyon::bench {
namespace {

std::function<void()> prepare(const Layer& l, Pass pass, DType dtype) {
  Generator generator(1);
  // As the kernels see it, a transposed convolution is backward-data of a strided one.
  const std::int64_t large = l.transposed ? 2 * l.size : l.size, stride = l.transposed ? 2 : 1;
  const std::int64_t c = l.transposed ? l.out : l.in, k = l.transposed ? l.in : l.out;
  const ConvGeometry g{.n = layer_batch,
                       .h = large,
                       .w = large,
                       .c = c,
                       .h_out = l.size,
                       .w_out = l.size,
                       .k = k,
                       .kernel = l.kernel,
                       .stride = stride,
                       .padding = l.kernel == 3 ? 1 : 0};
  const Tensor w = rand({k, l.kernel, l.kernel, c}, generator).to(dtype);
  Tensor x = rand({g.n, g.h, g.w, c}, generator).to(dtype);
  Tensor y = rand({g.n, g.h_out, g.w_out, k}, generator).to(dtype);
  if (pass == Pass::backward_weights)
    return [g, x, y, dw = empty_like(w)]() mutable { kernels::conv2d_backward_weight(g, x, y, dw); };
  if ((pass == Pass::forward) != l.transposed)
    return [g, x, w, y]() mutable { kernels::conv2d(g, {}, x, w, {}, y); };
  return [g, x, w, y]() mutable { kernels::conv2d_backward_data(g, {}, y, w, {}, x); };
}

const int registered = [] {
  std::vector<Layer> layers = layers_3x3();
  for (const Layer& l :
       {Layer{256, 3, 32}, Layer{256, 32, 1, 1}, Layer{16, 512, 256, 2, true}, Layer{32, 256, 128, 2, true},
        Layer{64, 128, 64, 2, true}, Layer{128, 64, 32, 2, true}})
    layers.push_back(l);
  for (const Layer& l : layers)
    for (const Pass pass : passes) {
      register_flops(l.name("karyon", pass), l.flops(), [l, pass] { return prepare(l, pass, f32); });
      if (cpu::has_bf16_dot())
        register_bf16_flops(l.name("karyon_bf16", pass), l.flops(),
                            [l, pass] { return prepare(l, pass, bf16); });
    }
  return 0;
}();

}  // namespace
}  // namespace karyon::bench
