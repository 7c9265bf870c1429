#include <cmath>

#include <karyon/core/ops/dropout.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/shape.h>
#include <karyon/layers/rnn.h>

namespace karyon {
namespace {

std::int64_t gates_of(RecurrentCell cell) {
  return cell == RecurrentCell::lstm ? 4 : cell == RecurrentCell::gru ? 3 : 1;
}

void check_sizes(const char* name, std::int64_t input_size, std::int64_t hidden_size) {
  check(input_size >= 1 && hidden_size >= 1, name, ": expects sizes of at least 1, got ", input_size, " and ",
        hidden_size);
}

// PyTorch's initial values: uniform in +-1 / sqrt(hidden_size).
RecurrentWeights drawn_weights(RecurrentCell cell, std::int64_t input_size, std::int64_t hidden_size,
                               bool bias, Generator& generator) {
  const double bound = 1 / std::sqrt(static_cast<double>(hidden_size));
  const std::int64_t rows = gates_of(cell) * hidden_size;
  RecurrentWeights w{empty({rows, input_size}), empty({rows, hidden_size}), {}, {}};
  if (bias) {
    w.bias_ih = empty({rows});
    w.bias_hh = empty({rows});
  }
  for (Tensor* p : {&w.weight_ih, &w.weight_hh, &w.bias_ih, &w.bias_hh})
    if (p->defined()) uniform_(*p, -bound, bound, generator);
  return w;
}

std::int64_t directions_of(const RecurrentLayerOptions& options) { return options.bidirectional ? 2 : 1; }

// As they are kept: with the generator only where it is needed again.
RecurrentLayerOptions checked(const char* name, RecurrentLayerOptions o) {
  check(o.num_layers >= 1, name, ": expects at least 1 layer, got ", o.num_layers);
  check(o.dropout >= 0 && o.dropout <= 1, name, ": expects dropout in [0, 1], got ", o.dropout);
  if (o.dropout == 0) o.generator = nullptr;
  return o;
}

Tensor layer_of(const Tensor& state, std::int64_t i) {
  return state.defined() ? select(state, 0, i) : Tensor();
}

}  // namespace

Recurrent::Recurrent(const char* name, RecurrentCell kind, std::int64_t input, std::int64_t hidden,
                     const Options& o)
    : cell(kind), input_size(input), hidden_size(hidden), options(checked(name, o)) {
  check_sizes(name, input, hidden);
  const std::int64_t directions = directions_of(options);
  for (std::int64_t i = 0; i < options.num_layers * directions; ++i) {
    const std::int64_t layer = i / directions;
    RecurrentWeights& w =
        weights_.emplace_back(drawn_weights(cell, layer == 0 ? input_size : directions * hidden_size,
                                            hidden_size, options.bias, generator_or_default(o.generator)));
    const std::string suffix = "_l" + std::to_string(layer) + (i % directions == 1 ? "_reverse" : "");
    register_parameter("weight_ih" + suffix, w.weight_ih);
    register_parameter("weight_hh" + suffix, w.weight_hh);
    register_parameter("bias_ih" + suffix, w.bias_ih);
    register_parameter("bias_hh" + suffix, w.bias_hh);
  }
}

Tensor Recurrent::forward(Tensor x) { return forward(x, RecurrentState{}).output; }

RecurrentResult Recurrent::forward(const Tensor& x, const RecurrentState& state) {
  check((x.dim() == 3 || x.dim() == 2) && x.size(-1) == input_size, type(), ": expects [",
        options.batch_first ? "N, T, " : "T, N, ", input_size, "] or [T, ", input_size, "], got ", x.shape());
  for (const Tensor* s : {&state.h, &state.c})
    check(!s->defined() || (s->dim() == x.dim() && s->size(0) == options.num_layers * directions_of(options)),
          type(), ": expects units of ", options.num_layers * directions_of(options), " layers in ", x.dim(),
          " dimensions", s->defined() ? ", got " : "", s->defined() ? s->shape() : Shape());
  if (x.dim() == 2) {
    const auto batched = [](const Tensor& s) { return s.defined() ? unsqueeze(s, 1) : s; };
    const auto single = [](const Tensor& s) { return s.defined() ? squeeze(s, 1) : s; };
    const RecurrentResult r = run(unsqueeze(x, 1), {batched(state.h), batched(state.c)});
    return {single(r.output), {single(r.state.h), single(r.state.c)}};
  }
  RecurrentResult r = run(options.batch_first ? transpose(x, 0, 1) : x, state);
  if (options.batch_first) r.output = transpose(r.output, 0, 1);
  return r;
}

// x is [T, N, I].
RecurrentResult Recurrent::run(Tensor x, const RecurrentState& state) {
  const std::int64_t directions = directions_of(options);
  std::vector<Tensor> hs, cs;
  for (std::int64_t layer = 0; layer < options.num_layers; ++layer) {
    std::vector<Tensor> outputs;
    for (std::int64_t direction = 0; direction < directions; ++direction) {
      const std::int64_t i = layer * directions + direction;
      const RecurrentOutput r = recurrent(cell, x, layer_of(state.h, i), layer_of(state.c, i),
                                          weights_[static_cast<std::size_t>(i)], direction == 1);
      outputs.push_back(r.output);
      hs.push_back(r.h);
      cs.push_back(r.c);
    }
    x = outputs.size() == 1 ? outputs[0] : cat(outputs, -1);
    if (options.dropout > 0 && layer + 1 < options.num_layers)
      x = dropout(x, options.dropout, is_training(), generator_or_default(options.generator));
  }
  return {x, {stack(hs), cell == RecurrentCell::lstm ? stack(cs) : Tensor()}};
}

std::unique_ptr<Module> LSTM::rebuilt() const {
  return std::make_unique<LSTM>(input_size, hidden_size, options);
}
std::unique_ptr<Module> GRU::rebuilt() const {
  return std::make_unique<GRU>(input_size, hidden_size, options);
}
std::unique_ptr<Module> RNN::rebuilt() const {
  return std::make_unique<RNN>(input_size, hidden_size,
                               cell == RecurrentCell::rnn_relu ? Nonlinearity::relu : Nonlinearity::tanh,
                               options);
}

RecurrentStep::RecurrentStep(const char* name, RecurrentCell kind, std::int64_t inputs, std::int64_t units,
                             const Options& options)
    : cell(kind) {
  check_sizes(name, inputs, units);
  weights = drawn_weights(cell, inputs, units, options.bias, generator_or_default(options.generator));
  register_parameter("weight_ih", weights.weight_ih);
  register_parameter("weight_hh", weights.weight_hh);
  register_parameter("bias_ih", weights.bias_ih);
  register_parameter("bias_hh", weights.bias_hh);
}

Tensor RecurrentStep::forward(Tensor x) { return forward(x, RecurrentState{}).h; }

RecurrentState RecurrentStep::forward(const Tensor& x, const RecurrentState& state) {
  check(x.dim() == 2 && x.size(1) == weights.weight_ih.size(1), type(), ": expects [N, ",
        weights.weight_ih.size(1), "], got ", x.shape());
  const RecurrentOutput r = recurrent(cell, unsqueeze(x, 0), state.h, state.c, weights);
  return {r.h, r.c};
}

std::unique_ptr<Module> LSTMCell::rebuilt() const {
  return std::make_unique<LSTMCell>(weights.weight_ih.size(1), weights.weight_hh.size(1),
                                    Options{.bias = weights.bias_ih.defined()});
}
std::unique_ptr<Module> GRUCell::rebuilt() const {
  return std::make_unique<GRUCell>(weights.weight_ih.size(1), weights.weight_hh.size(1),
                                   Options{.bias = weights.bias_ih.defined()});
}

}  // namespace karyon
