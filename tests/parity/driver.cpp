// Runs many calls of Karyon's operations: reads them from one safetensors file and writes results, gradients
// and errors to another. check.py makes the calls and compares; calls.h has the format.
#include <cstdio>
#include <exception>
#include <string>

#include <karyon/karyon.h>

#include "calls.h"

namespace {

using namespace karyon;
using parity::Call;

/// Gradients of the call's inputs, for the gradients `upstream.I` of its results.
void backward(const Call& call, const std::vector<Tensor>& results) {
  Tensor total;  // its gradients in the results are the upstream ones, to the bit
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Tensor upstream = call.tensor("upstream." + std::to_string(i));
    if (!upstream.defined()) continue;
    check(results[i].requires_grad(), "result ", i, " has no gradient");
    if (results.size() == 1) return results[0].backward(upstream.to(results[0].dtype()));
    const Tensor part = sum(mul(results[i], upstream.to(results[i].dtype())));
    total = total.defined() ? total + part : part;
  }
  if (total.defined()) total.backward();
}

/// The same, recorded; then the gradients of the gradients, each of them times `weight.I`.
void backward_twice(const Call& call, const std::vector<Tensor>& results, TensorFile& answers) {
  std::vector<Tensor> outputs, upstreams, inputs, gradients, weights;
  std::vector<std::string> numbers;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Tensor upstream = call.tensor("upstream." + std::to_string(i));
    if (!upstream.defined()) continue;
    outputs.push_back(results[i]);
    upstreams.push_back(upstream.to(results[i].dtype()));
  }
  for (std::size_t i = 0; i < call.inputs().size(); ++i) {
    const Tensor& x = call.inputs()[i];
    if (!x.defined() || !x.requires_grad()) continue;
    inputs.push_back(x);
    numbers.push_back(std::to_string(i));
  }
  const auto first = grad(outputs, inputs, upstreams, {.create_graph = true, .allow_unused = true});
  for (std::size_t i = 0; i < first.size(); ++i) {
    const Tensor weight = call.tensor("weight." + numbers[i]);
    if (!first[i].defined()) continue;
    answers.tensors[call.name() + ".grad." + numbers[i]] = first[i].detach().clone();
    if (!first[i].requires_grad() || !weight.defined()) continue;
    gradients.push_back(first[i]);
    weights.push_back(weight);
  }
  if (gradients.empty()) return;
  const auto second = grad(gradients, inputs, weights, {.allow_unused = true});
  for (std::size_t i = 0; i < second.size(); ++i)
    if (second[i].defined()) answers.tensors[call.name() + ".second." + numbers[i]] = second[i].clone();
}

bool twice(const Call& call) {
  for (std::size_t i = 0; i < call.inputs().size(); ++i)
    if (call.tensor("weight." + std::to_string(i)).defined()) return true;
  return false;
}

void run(const Call& call, TensorFile& answers) {
  std::string& state = answers.metadata[call.name()];
  try {
    state = "refused: ";
    std::vector<Tensor> results = parity::apply(call);
    for (std::size_t i = 0; i < results.size(); ++i)
      answers.tensors[call.name() + ".result." + std::to_string(i)] = results[i].detach().clone();
    state = "refused backward: ";
    if (twice(call)) {
      backward_twice(call, results, answers);
      state = "done";
      return;
    }
    backward(call, results);
    for (std::size_t i = 0; i < call.inputs().size(); ++i)
      if (const Tensor& x = call.inputs()[i]; x.defined() && x.grad().defined())
        answers.tensors[call.name() + ".grad." + std::to_string(i)] = x.grad();
    state = "done";
  } catch (const Error& error) {
    state += error.what();
  } catch (const std::exception& error) {
    state = std::string("failed: ") + error.what();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: parity_driver CALLS.safetensors ANSWERS.safetensors\n");
    return 2;
  }
  try {
    const TensorFile calls = load_safetensors(argv[1]);
    TensorFile answers;
    for (const auto& [name, text] : calls.metadata) run(Call(name, text, calls), answers);
    save_safetensors(argv[2], answers);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "parity_driver: %s\n", error.what());
    return 1;
  }
}
