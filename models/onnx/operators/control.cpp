#include <algorithm>

#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/call.h>
#include <karyon/models/onnx/layout.h>

// Graphs in graphs, and sequences of tensors.
namespace karyon::onnx {
namespace {

const Graph& graph_of(const Call& call, const std::string& attribute) {
  const Attribute* found = call.node.find(attribute);
  check(found != nullptr && found->g != nullptr, "has no graph '", attribute, "'");
  return *found->g;
}
Values run_graph(const Call& call, const Graph& graph, Values inputs) {
  check(inputs.size() == graph.inputs.size(), "its graph expects ", graph.inputs.size(), " inputs, got ",
        inputs.size());
  Scope scope(call.scope().program(), &call.scope());
  for (std::size_t i = 0; i < inputs.size(); ++i) scope.set(graph.inputs[i], std::move(inputs[i]));
  return scope.run(graph);
}
Tensor plain(const Value& value) {
  check(value.tensor.defined(), "expects a tensor, got a sequence");
  return value.channels_last ? to_channels_first(value.tensor) : value.tensor;
}

Values if_(const Call& call) {
  const bool yes = call.x(0).to_vector<std::int64_t>().at(0) != 0;
  return run_graph(call, graph_of(call, yes ? "then_branch" : "else_branch"), {});
}

/// The results of all rounds, stacked; of no round, what the file says about their shape.
Value stacked(const std::vector<Tensor>& rounds, const Graph& body, std::size_t output, int axis = 0) {
  if (!rounds.empty()) return Value(stack(rounds, axis));
  const auto fact = body.facts.find(body.outputs[output]);
  Shape shape{0};
  DType dtype = f32;
  if (fact != body.facts.end()) {
    if (is_known(fact->second.type)) dtype = dtype_of_type(fact->second.type);
    if (fact->second.sizes)
      for (const std::int64_t size : *fact->second.sizes) shape.push_back(std::max<std::int64_t>(size, 0));
  }
  return Value(empty(shape, {.dtype = dtype}));
}

Values loop(const Call& call) {
  const Graph& body = graph_of(call, "body");
  const std::int64_t rounds = call.has(0) ? static_cast<std::int64_t>(call.number(0, 0)) : highest(int64);
  bool on = !call.has(1) || call.number(1, 1) != 0;
  Values carried;
  for (int i = 2; i < call.count(); ++i) carried.push_back(call.has(i) ? call.value(i) : Value());
  check(body.inputs.size() == carried.size() + 2 && body.outputs.size() >= carried.size() + 1,
        "its graph has other inputs and outputs than the loop");
  const std::size_t scans = body.outputs.size() - 1 - carried.size();
  std::vector<std::vector<Tensor>> scanned(scans);
  for (std::int64_t i = 0; i < rounds && on; ++i) {
    Values inputs{Value(tensor(i).reshape(Shape()), int64), Value(tensor(true), boolean_type)};
    inputs.insert(inputs.end(), carried.begin(), carried.end());
    Values outputs = run_graph(call, body, std::move(inputs));
    on = plain(outputs[0]).to_vector<std::int64_t>().at(0) != 0;
    for (std::size_t k = 0; k < carried.size(); ++k) carried[k] = std::move(outputs[k + 1]);
    for (std::size_t k = 0; k < scans; ++k) scanned[k].push_back(plain(outputs[k + 1 + carried.size()]));
  }
  Values results = carried;
  for (std::size_t k = 0; k < scans; ++k)
    results.push_back(stacked(scanned[k], body, k + 1 + carried.size()));
  return results;
}

Values scan(const Call& call) {
  const Graph& body = graph_of(call, "body");
  const auto scans = static_cast<int>(call.node.integer("num_scan_inputs", 0));
  check(scans >= 1 && scans <= call.count(), "num_scan_inputs is ", scans);
  const int states = call.count() - scans;
  Values carried;
  for (int i = 0; i < states; ++i) carried.push_back(call.value(i));
  const auto numbers = [&](const char* attribute, std::size_t i) {
    const std::vector<std::int64_t> all = call.node.integers(attribute);
    return i < all.size() ? all[i] : 0;
  };
  std::vector<std::vector<Tensor>> slices;
  for (int i = 0; i < scans; ++i) {
    const Tensor x = call.x(states + i);
    slices.push_back(unbind(x, static_cast<int>(numbers("scan_input_axes", static_cast<std::size_t>(i)))));
    if (numbers("scan_input_directions", static_cast<std::size_t>(i)) != 0)
      std::reverse(slices.back().begin(), slices.back().end());
    check(slices.back().size() == slices[0].size(), "its inputs differ in length");
  }
  check(body.outputs.size() >= carried.size(), "its graph has fewer outputs than states");
  std::vector<std::vector<Tensor>> scanned(body.outputs.size() - carried.size());
  for (std::size_t t = 0; t < slices[0].size(); ++t) {
    Values inputs = carried;
    for (std::size_t i = 0; i < slices.size(); ++i)
      inputs.emplace_back(slices[i][t], call.type(states + static_cast<int>(i)));
    Values outputs = run_graph(call, body, std::move(inputs));
    for (std::size_t k = 0; k < carried.size(); ++k) carried[k] = std::move(outputs[k]);
    for (std::size_t k = 0; k < scanned.size(); ++k) scanned[k].push_back(plain(outputs[k + carried.size()]));
  }
  Values results = carried;
  for (std::size_t k = 0; k < scanned.size(); ++k) {
    if (numbers("scan_output_directions", k) != 0) std::reverse(scanned[k].begin(), scanned[k].end());
    results.push_back(
        stacked(scanned[k], body, k + carried.size(), static_cast<int>(numbers("scan_output_axes", k))));
  }
  return results;
}
std::string scan_refuses(const Node& node, const Facts&) {
  return !node.inputs.empty() && node.inputs[0].empty() ? "of operator set 8" : "";
}

// ---- sequences ----

Value sequence(std::vector<Value> items) {
  Value value;
  value.list = std::make_shared<const std::vector<Value>>(std::move(items));
  return value;
}
const std::vector<Value>& items_of(const Call& call, int i) {
  check(call.value(i).list != nullptr, "input ", i, " is a tensor, not a sequence");
  return *call.value(i).list;
}
std::size_t place(const Call& call, int i, std::size_t size, std::size_t otherwise) {
  if (!call.has(i)) return otherwise;
  auto at = call.x(i).item<std::int64_t>();
  if (at < 0) at += static_cast<std::int64_t>(size);
  check(at >= 0 && at <= static_cast<std::int64_t>(size), "place ", at, " in a sequence of ", size);
  return static_cast<std::size_t>(at);
}

Values sequence_construct(const Call& call) {
  std::vector<Value> items;
  for (int i = 0; i < call.count(); ++i) items.push_back(call.value(i));
  return {sequence(std::move(items))};
}
Values sequence_empty(const Call&) { return {sequence({})}; }
Values sequence_length(const Call& call) {
  return {Value(tensor(static_cast<std::int64_t>(items_of(call, 0).size())), int64)};
}
Values sequence_at(const Call& call) {
  const std::vector<Value>& items = items_of(call, 0);
  const std::size_t at = place(call, 1, items.size(), 0);
  check(at < items.size(), "place ", at, " in a sequence of ", items.size());
  return {items[at]};
}
Values sequence_insert(const Call& call) {
  std::vector<Value> items = items_of(call, 0);
  items.insert(items.begin() + static_cast<std::ptrdiff_t>(place(call, 2, items.size(), items.size())),
               call.value(1));
  return {sequence(std::move(items))};
}
Values sequence_erase(const Call& call) {
  std::vector<Value> items = items_of(call, 0);
  check(!items.empty(), "the sequence is empty");
  const std::size_t at = place(call, 1, items.size(), items.size() - 1);
  check(at < items.size(), "place ", at, " in a sequence of ", items.size());
  items.erase(items.begin() + static_cast<std::ptrdiff_t>(at));
  return {sequence(std::move(items))};
}
Values sequence_map(const Call& call) {
  const Graph& body = graph_of(call, "body");
  const std::size_t rounds = items_of(call, 0).size();
  std::vector<std::vector<Value>> results(body.outputs.size());
  for (std::size_t t = 0; t < rounds; ++t) {
    Values inputs;
    for (int i = 0; i < call.count(); ++i) {
      const Value& value = call.value(i);
      check(!value.list || t < value.list->size(), "its sequences differ in length");
      inputs.push_back(value.list ? (*value.list)[t] : value);
    }
    Values outputs = run_graph(call, body, std::move(inputs));
    for (std::size_t k = 0; k < results.size(); ++k) results[k].push_back(std::move(outputs[k]));
  }
  Values sequences;
  for (auto& items : results) sequences.push_back(sequence(std::move(items)));
  return sequences;
}
Values split_to_sequence(const Call& call) {
  const Tensor x = call.x(0);
  const int axis = normalize_dim(call.axis("axis", 0), x.dim(), "onnx");
  std::vector<Tensor> parts;
  if (!call.has(1))
    parts = split(x, 1, axis);
  else if (call.x(1).dim() == 0)
    parts = split(x, call.x(1).item<std::int64_t>(), axis);
  else
    parts = split(x, call.numbers(1), axis);
  const bool keep = call.has(1) || call.node.integer("keepdims", 1) != 0;
  std::vector<Value> items;
  for (const Tensor& part : parts) items.emplace_back(keep ? part : squeeze(part, axis), call.type(0));
  return {sequence(std::move(items))};
}
Values concat_from_sequence(const Call& call) {
  std::vector<Tensor> parts;
  for (const Value& item : items_of(call, 0)) parts.push_back(plain(item));
  const int axis = call.axis("axis", 0);
  return {call.node.integer("new_axis", 0) != 0 ? stack(parts, axis) : cat(parts, axis)};
}

Values optional(const Call& call) { return {call.has(0) ? call.value(0) : Value()}; }
Values optional_has(const Call& call) { return {Value(tensor(call.has(0)), boolean_type)}; }
Values optional_get(const Call& call) { return {call.value(0)}; }

}  // namespace

std::vector<Operator> control_operators() {
  return {
      {"If", if_},
      {"Loop", loop},
      {"Scan", scan, scan_refuses},
      {"SequenceConstruct", sequence_construct},
      {"SequenceEmpty", sequence_empty},
      {"SequenceLength", sequence_length},
      {"SequenceAt", sequence_at},
      {"SequenceInsert", sequence_insert},
      {"SequenceErase", sequence_erase},
      {"SequenceMap", sequence_map},
      {"SplitToSequence", split_to_sequence},
      {"ConcatFromSequence", concat_from_sequence},
      {"Optional", optional},
      {"OptionalHasElement", optional_has},
      {"OptionalGetElement", optional_get},
  };
}

}  // namespace karyon::onnx
