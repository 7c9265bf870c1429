#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <karyon/core/autograd.h>

// What recorded operations were called with, for those who write a graph down, as export_onnx() does.
namespace karyon {

/// Options of an operation by name, as PyTorch names them. Flags are 0 or 1.
using TraceOption =
    std::variant<std::int64_t, double, std::vector<std::int64_t>, std::vector<double>, std::string, Tensor>;
using TraceOptions = std::map<std::string, TraceOption>;

struct Trace {
  std::vector<Tensor> constants;  ///< the inputs that require no gradient; undefined for the others
  TraceOptions options;
};

/// While it lives, operations that this thread records have a Trace in their nodes.
class TraceGuard {
 public:
  TraceGuard();
  ~TraceGuard();
  TraceGuard(const TraceGuard&) = delete;
  TraceGuard& operator=(const TraceGuard&) = delete;

 private:
  bool before_;
};
bool is_tracing();

/// Adds options() to the trace of the operation that recorded y, if there is one. Returns y.
template <class F>
Tensor traced(Tensor y, const F& options) {
  if (is_tracing() && y.node() != nullptr && y.node()->trace) y.node()->trace->options = options();
  return y;
}

/// compute(), an operation composed of others. Under a TraceGuard it is one node, with options() and without a
/// gradient.
template <class F, class O>
Tensor traced_whole(const char* name, const std::vector<Tensor>& inputs, const F& compute, const O& options) {
  if (!is_tracing()) return compute();
  Tensor y;
  {
    const NoGradGuard guard;
    y = compute().detach();
  }
  return traced(
      record(name, y, inputs,
             [name](const Tensor&) -> std::vector<Tensor> {
               throw Error(std::string(name) + ": was recorded under a TraceGuard, without a gradient");
             }),
      options);
}

}  // namespace karyon
