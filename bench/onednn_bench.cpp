// The same 3x3 layers through oneDNN, channels last as ours. As in ours, weights are passed in the user's
// layout, so every call includes the reorder to and from oneDNN's layout.
#include <oneapi/dnnl/dnnl.hpp>

#include <memory>
#include <unordered_map>

#include "conv_layers.h"

namespace karyon::bench {
namespace {

using dnnl::memory;

struct Convolution {
  dnnl::primitive run, reorder;
  std::unordered_map<int, memory> arguments, reorder_arguments;
  bool reorder_first;
};

std::function<void()> prepare(const Layer& l, Pass pass) try {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  static dnnl::stream stream(engine);
  const memory::dims x_dims{layer_batch, l.in, l.size, l.size}, w_dims{l.out, l.in, 3, 3};
  const memory::dims y_dims{layer_batch, l.out, l.size, l.size}, one{1, 1};
  const auto f32 = memory::data_type::f32;
  using Tag = memory::format_tag;
  const memory::desc x_desc(x_dims, f32, Tag::nhwc), y_desc(y_dims, f32, Tag::nhwc);
  const memory::desc w_desc(w_dims, f32, Tag::any), w_user(w_dims, f32, Tag::ohwi);
  auto filled = [&](const memory::desc& desc) {
    memory m(desc, engine);
    auto* values = static_cast<float*>(m.map_data());
    for (std::size_t i = 0; i < desc.get_size() / sizeof(float); ++i)
      values[i] = static_cast<float>(i * 7919 % 1000) / 1000;
    m.unmap_data(values);
    return m;
  };
  memory x = filled(x_desc), y = filled(y_desc), w = filled(w_user);
  const auto algorithm = dnnl::algorithm::convolution_auto;
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::convolution_forward::primitive_desc forward(engine, dnnl::prop_kind::forward_training,
                                                          algorithm, x_desc, w_desc, y_desc, one, one, one);
#else
  const dnnl::convolution_forward::primitive_desc forward(
      {dnnl::prop_kind::forward_training, algorithm, x_desc, w_desc, y_desc, one, one, one}, engine);
#endif
  auto c = std::make_shared<Convolution>();
  c->reorder_first = pass != Pass::backward_weights;
  memory packed;
  if (pass == Pass::forward) {
    packed = memory(forward.weights_desc(), engine);
    c->run = dnnl::convolution_forward(forward);
    c->arguments = {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DST, y}};
  } else if (pass == Pass::backward_data) {
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::convolution_backward_data::primitive_desc data(engine, algorithm, x_desc, w_desc, y_desc, one,
                                                               one, one, forward);
#else
    const dnnl::convolution_backward_data::primitive_desc data(
        {algorithm, x_desc, w_desc, y_desc, one, one, one}, engine, forward);
#endif
    packed = memory(data.weights_desc(), engine);
    c->run = dnnl::convolution_backward_data(data);
    c->arguments = {{DNNL_ARG_DIFF_SRC, x}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DIFF_DST, y}};
  } else {
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::convolution_backward_weights::primitive_desc weights(engine, algorithm, x_desc, w_desc,
                                                                     y_desc, one, one, one, forward);
#else
    const dnnl::convolution_backward_weights::primitive_desc weights(
        {algorithm, x_desc, w_desc, y_desc, one, one, one}, engine, forward);
#endif
    packed = memory(weights.diff_weights_desc(), engine);
    c->run = dnnl::convolution_backward_weights(weights);
    c->arguments = {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_WEIGHTS, packed}, {DNNL_ARG_DIFF_DST, y}};
  }
  memory& from = c->reorder_first ? w : packed;
  memory& to = c->reorder_first ? packed : w;
  c->reorder = dnnl::reorder(from, to);
  c->reorder_arguments = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
  return [c] {
    if (c->reorder_first) c->reorder.execute(stream, c->reorder_arguments);
    c->run.execute(stream, c->arguments);
    if (!c->reorder_first) c->reorder.execute(stream, c->reorder_arguments);
    stream.wait();
  };
} catch (const dnnl::error&) {
  return {};
}

const int registered = [] {
  const dnnl_version_t* version = dnnl_version();
  benchmark::AddCustomContext("onednn", std::to_string(version->major) + "." +
                                            std::to_string(version->minor) + "." +
                                            std::to_string(version->patch));
  for (const Layer& l : layers_3x3())
    for (const Pass pass : passes)
      register_flops(l.name("onednn", pass), l.flops(), [l, pass] { return prepare(l, pass); });
  return 0;
}();

}  // namespace
}  // namespace karyon::bench
