#include <algorithm>
#include <functional>

#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/call.h>

// RNN, GRU and LSTM: steps over sequences.
namespace karyon::onnx {
namespace {

Tensor activated(const std::string& name, const Tensor& x) {
  if (name == "Sigmoid") return sigmoid(x);
  if (name == "Tanh") return tanh(x);
  return relu(x);
}
bool is_activation(const std::string& name) { return name == "Sigmoid" || name == "Tanh" || name == "Relu"; }

/// The weights of one direction, and the state that goes from step to step.
struct Cell {
  const Node& node;
  Tensor w, r, w_bias, r_bias,
      peephole;  // [gates hidden, input], [gates hidden, hidden], [gates hidden], [3 hidden]
  std::vector<std::string> activations;
  Tensor h, c;

  std::vector<Tensor> gates(const Tensor& x, std::int64_t count) const { return chunk(x, count, -1); }

  void step_rnn(const Tensor& x) {
    h = activated(activations[0], add(linear(x, w, w_bias), linear(h, r, r_bias)));
  }

  void step_gru(const Tensor& x) {
    const auto from_x = gates(linear(x, w, w_bias), 3);
    const auto from_h = gates(linear(h, r, r_bias), 3);
    const Tensor update = activated(activations[0], add(from_x[0], from_h[0]));
    const Tensor reset = activated(activations[0], add(from_x[1], from_h[1]));
    Tensor hidden = mul(reset, from_h[2]);
    if (node.integer("linear_before_reset", 0) == 0) {
      const std::int64_t size = h.size(-1);
      hidden = linear(mul(reset, h), narrow(r, 0, 2 * size, size),
                      r_bias.defined() ? narrow(r_bias, 0, 2 * size, size) : Tensor());
    }
    const Tensor fresh = activated(activations[1], add(from_x[2], hidden));
    h = add(mul(add(mul(update, -1.0), 1.0), fresh), mul(update, h));
  }

  void step_lstm(const Tensor& x) {
    const auto g = gates(add(linear(x, w, w_bias), linear(h, r, r_bias)), 4);  // input, output, forget, cell
    const auto peeps = peephole.defined() ? chunk(peephole, 3, 0) : std::vector<Tensor>();
    const auto peeped = [&](const Tensor& gate, std::size_t which, const Tensor& state) {
      return peeps.empty() ? gate : add(gate, mul(peeps[which], state));
    };
    const Tensor input = activated(activations[0], peeped(g[0], 0, c));
    const Tensor forget = activated(activations[0], peeped(g[2], 2, c));
    c = add(mul(forget, c), mul(input, activated(activations[1], g[3])));
    const Tensor output = activated(activations[0], peeped(g[1], 1, c));
    h = mul(output, activated(activations[2], c));
  }
};

using Step = void (Cell::*)(const Tensor&);

struct Kind {
  Step step;
  std::int64_t gates;
  std::vector<std::string> activations;
  bool has_cell;
};

std::vector<std::string> activations_of(const Node& node, const Kind& kind, std::size_t direction) {
  const Attribute* named = node.find("activations");
  if (named == nullptr || named->strings.empty()) return kind.activations;
  const std::size_t each = kind.activations.size();
  check(named->strings.size() >= (direction + 1) * each, "expects ", each, " activations for each direction");
  const auto begin = named->strings.begin() + static_cast<std::ptrdiff_t>(direction * each);
  return {begin, begin + static_cast<std::ptrdiff_t>(each)};
}

Values recurrent(const Call& call, const Kind& kind) {
  const Node& node = call.node;
  const bool batch_first = node.integer("layout", 0) != 0;
  const Tensor x = batch_first ? transpose(call.x(0), 0, 1) : call.x(0);  // [T, B, input]
  const std::int64_t steps = x.size(0), batch = x.size(1), directions = call.x(1).size(0);
  const std::int64_t hidden = call.x(2).size(-1);
  const std::string direction = node.text_of("direction", "forward");
  check(directions == (direction == "bidirectional" ? 2 : 1), "has weights of ", directions, " directions");
  const auto initial = [&](int i, std::int64_t d) {
    if (!call.has(i)) return zeros({batch, hidden}, {.dtype = x.dtype(), .device = x.device()});
    return select(batch_first ? transpose(call.x(i), 0, 1) : call.x(i), 0, d);
  };
  Tensor lengths;
  if (call.has(4)) lengths = call.x(4).reshape({batch, 1});
  std::vector<Tensor> sequences, last_h, last_c;
  for (std::int64_t d = 0; d < directions; ++d) {
    Cell cell{node, select(call.x(1), 0, d), select(call.x(2), 0, d)};
    if (call.has(3)) {
      const auto both = chunk(select(call.x(3), 0, d), 2, 0);
      cell.w_bias = both.at(0);
      cell.r_bias = both.at(1);
    }
    if (kind.has_cell && call.has(7)) cell.peephole = select(call.x(7), 0, d);
    cell.activations = activations_of(node, kind, static_cast<std::size_t>(d));
    cell.h = initial(5, d);
    cell.c = kind.has_cell ? initial(6, d) : Tensor();
    const bool backwards = direction == "reverse" || d == 1;
    std::vector<Tensor> outputs(static_cast<std::size_t>(steps));
    for (std::int64_t i = 0; i < steps; ++i) {
      const std::int64_t t = backwards ? steps - 1 - i : i;
      const Tensor h = cell.h, c = cell.c;
      (cell.*kind.step)(select(x, 0, t));
      Tensor out = cell.h;
      if (lengths.defined()) {  // a sequence that has ended keeps its state
        const Tensor on = gt(lengths, static_cast<double>(t));
        out = where(on, cell.h, zeros_like(cell.h));
        cell.h = where(on, cell.h, h);
        if (kind.has_cell) cell.c = where(on, cell.c, c);
      }
      outputs[static_cast<std::size_t>(t)] = out;
    }
    check(steps > 0, "expects a step or more");
    sequences.push_back(stack(outputs, 0));
    last_h.push_back(cell.h);
    last_c.push_back(cell.c);
  }
  const Tensor y = stack(sequences, 1),
               h = stack(last_h, 0);  // [T, directions, B, hidden], [directions, B, hidden]
  Values results{batch_first ? permute(y, {2, 0, 1, 3}) : y, batch_first ? transpose(h, 0, 1) : h};
  if (kind.has_cell) {
    const Tensor c = stack(last_c, 0);
    results.push_back(batch_first ? transpose(c, 0, 1) : c);
  }
  return results;
}

Values rnn(const Call& call) { return recurrent(call, {&Cell::step_rnn, 1, {"Tanh"}, false}); }
Values gru(const Call& call) { return recurrent(call, {&Cell::step_gru, 3, {"Sigmoid", "Tanh"}, false}); }
Values lstm(const Call& call) {
  return recurrent(call, {&Cell::step_lstm, 4, {"Sigmoid", "Tanh", "Tanh"}, true});
}

std::string recurrent_refuses(const Node& node, const Facts&) {
  if (const Attribute* named = node.find("activations"))
    for (const std::string& name : named->strings)
      if (!is_activation(name)) return "with activation " + name;
  for (const char* name : {"clip", "activation_alpha", "activation_beta"})
    if (node.has(name)) return std::string("with ") + name;
  return node.integer("input_forget", 0) != 0 ? "with input_forget" : "";
}

}  // namespace

std::vector<Operator> recurrent_operators() {
  return {
      {"RNN", rnn, recurrent_refuses}, {"GRU", gru, recurrent_refuses}, {"LSTM", lstm, recurrent_refuses}};
}

}  // namespace karyon::onnx
