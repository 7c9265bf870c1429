#pragma once
#include <map>
#include <string>
#include <vector>

#include <karyon/core/ops/layout.h>
#include <karyon/core/serialize.h>

namespace parity {

/// One call of an operation, as a file of calls has it: under its name the text
/// `OPERATION inputs=N grad=I,J KEY=NUMBERS ...`, and the tensors `NAME.input.I` and `NAME.upstream.I`. An
/// input that is not in the file is an undefined tensor.
class Call {
 public:
  Call(const std::string& name, const std::string& text, const karyon::TensorFile& file);

  const std::string& name() const { return name_; }
  const std::string& operation() const { return operation_; }
  const std::vector<karyon::Tensor>& inputs() const { return inputs_; }
  const karyon::Tensor& operator[](std::size_t i) const { return inputs_.at(i); }
  /// The tensor NAME.`part` of the file; undefined if there is none.
  karyon::Tensor tensor(const std::string& part) const;

  // Options. Throw std::out_of_range for one that is not there.
  double number(const std::string& key) const { return options_.at(key).at(0); }
  std::int64_t integer(const std::string& key) const { return static_cast<std::int64_t>(number(key)); }
  bool flag(const std::string& key) const { return number(key) != 0; }
  bool has(const std::string& key) const { return options_.count(key) != 0; }
  karyon::Pair pair(const std::string& key) const { return {integers(key).at(0), integers(key).at(1)}; }
  karyon::Shape shape(const std::string& key) const;
  std::vector<std::int64_t> integers(const std::string& key) const;
  std::vector<int> dims(const std::string& key) const;

 private:
  std::string name_, operation_;
  const karyon::TensorFile& file_;
  std::vector<karyon::Tensor> inputs_;
  std::map<std::string, std::vector<double>> options_;
};

/// The results of the call. Throws karyon::Error as the operation does.
std::vector<karyon::Tensor> apply(const Call& call);

}  // namespace parity
