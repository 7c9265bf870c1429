#pragma once
#include <string>
#include <vector>

#include <karyon/models/onnx/graph.h>

namespace karyon::onnx {

/// One node with its inputs, as a function of an operator sees it.
class Call {
 public:
  Call(const Node& called, Values inputs, const Scope& scope)
      : node(called), inputs_(std::move(inputs)), scope_(&scope) {}

  const Node& node;

  int count() const { return static_cast<int>(inputs_.size()); }
  bool has(int i) const { return i < count() && inputs_[static_cast<std::size_t>(i)].present(); }
  /// Input i. Throws Error if it is absent.
  const Value& value(int i) const;
  /// Input i in the file's layout, and as [N, ..., C].
  Tensor x(int i) const;
  Tensor image(int i) const;
  /// Input i as it lies in memory, for operations on each element; like() gives the result that layout.
  Tensor raw(int i) const;
  /// x(i) or, if it is absent, an undefined tensor.
  Tensor maybe(int i) const { return has(i) ? x(i) : Tensor(); }
  int type(int i) const { return value(i).type; }
  /// The whole numbers of input i, or of the attribute if there is no such input.
  std::vector<std::int64_t> numbers(int i) const;
  std::vector<std::int64_t> numbers(int i, const std::string& attribute) const;
  bool has(int i, const std::string& attribute) const { return has(i) || node.has(attribute); }
  /// Input i, or the attribute, as one number.
  double number(int i, double otherwise) const;
  double number(int i, const std::string& attribute, double otherwise) const;
  /// A whole number that fits an int.
  int axis(const std::string& attribute, std::int64_t otherwise) const;

  std::int64_t opset() const { return scope_->program().opset(); }
  const Scope& scope() const { return *scope_; }
  int outputs() const { return static_cast<int>(node.outputs.size()); }
  bool wants(int output) const {
    return output < outputs() && !node.outputs[static_cast<std::size_t>(output)].empty();
  }

 private:
  Values inputs_;
  const Scope* scope_;
};

/// y with the layout of input i: for operations on each element.
Value like(const Call& call, int i, Tensor y);
std::vector<int> dims_of(const std::vector<std::int64_t>& axes);
Shape shape_of(const std::vector<std::int64_t>& sizes);
Tensor numbers_of(const std::vector<std::int64_t>& numbers);
/// A floating tensor of one element, of x's dtype.
Tensor scalar_like(const Tensor& x, double value);

/// An operator of ONNX.
struct Operator {
  const char* name;
  Values (*run)(const Call& call);
  /// Why this node cannot run, or "". Looks at attributes and facts.
  std::string (*refuses)(const Node& node, const Facts& facts) = nullptr;
};
/// The operator of a domain ("" is ONNX's own), or null.
const Operator* find_operator(const std::string& domain, const std::string& name);

// The table, by family.
std::vector<Operator> activation_operators();
std::vector<Operator> arithmetic_operators();
std::vector<Operator> attention_operators();
std::vector<Operator> cast_operators();
std::vector<Operator> control_operators();
std::vector<Operator> conv_operators();
std::vector<Operator> gather_operators();
std::vector<Operator> logic_operators();
std::vector<Operator> loss_operators();
std::vector<Operator> make_operators();
std::vector<Operator> matmul_operators();
std::vector<Operator> norm_operators();
std::vector<Operator> pool_operators();
std::vector<Operator> quantize_operators();
std::vector<Operator> recurrent_operators();
std::vector<Operator> reduce_operators();
std::vector<Operator> resize_operators();
std::vector<Operator> shape_operators();
std::vector<Operator> vision_operators();

}  // namespace karyon::onnx
