// Runs cases of ONNX's own backend tests: folders with model.onnx and test_data_set_N/{input,output}_K.pb.
//   usage: backend_runner < list of lines "FOLDER RTOL ATOL"
// Prints a line for each: FOLDER, a tab, and "passed", "refused: reason" or "failed: reason".
#include <cmath>
#include <fstream>
#include <iostream>
#include <sstream>

#include <karyon/core/autograd.h>
#include <karyon/models/onnx/onnx.h>
#include <karyon/models/onnx/tensor_file.h>

namespace {

using namespace karyon;

onnx::Value read_value(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  onnx_file::Tensor file;
  check(file.ParseFromIstream(&in), "cannot read ", path);
  return onnx::read_tensor(file, path.parent_path());
}

std::string difference(Tensor got, const onnx::Value& wanted, double rtol, double atol) {
  std::ostringstream os;
  // A small float is f32 here; who wants the file's type rounds it.
  if (got.dtype() == f32 && wanted.type != onnx::float32) got = onnx::converted(got, wanted.type);
  if (got.shape() != wanted.tensor.shape()) {
    os << "shape " << got.shape() << ", expected " << wanted.tensor.shape();
    return os.str();
  }
  if (got.dtype() != wanted.tensor.dtype()) {
    os << "dtype " << got.dtype() << ", expected " << wanted.tensor.dtype();
    return os.str();
  }
  if (got.dtype() == i64)
    return got.to_vector<std::int64_t>() == wanted.tensor.to_vector<std::int64_t>() ? ""
                                                                                    : "whole numbers differ";
  const std::vector<double> a = got.to_vector<double>(), b = wanted.tensor.to_vector<double>();
  if (wanted.type == onnx::bfloat16) rtol = std::max(rtol, 1.0 / 64);
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (a[i] == b[i] || std::fabs(a[i] - b[i]) <= atol + rtol * std::fabs(b[i])) continue;
    os << "element " << i << " is " << a[i] << ", expected " << b[i];
    return os.str();
  }
  return "";
}

std::string run(const std::filesystem::path& folder, double rtol, double atol) {
  std::unique_ptr<OnnxModule> net;
  try {
    net = load_onnx(folder / "model.onnx");
  } catch (const Error& error) {
    return std::string("refused: ") + error.what();
  }
  const NoGradGuard guard;
  for (int set = 0;; ++set) {
    const std::filesystem::path data = folder / ("test_data_set_" + std::to_string(set));
    if (!std::filesystem::exists(data)) return set == 0 ? "failed: no data" : "passed";
    std::vector<Tensor> inputs;
    for (std::size_t i = 0; i < net->input_names().size(); ++i)
      inputs.push_back(read_value(data / ("input_" + std::to_string(i) + ".pb")).tensor);
    const std::vector<Tensor> outputs = net->forward(inputs);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const onnx::Value wanted = read_value(data / ("output_" + std::to_string(i) + ".pb"));
      const std::string wrong = difference(outputs[i], wanted, rtol, atol);
      if (!wrong.empty()) return "failed: output " + net->output_names()[i] + ": " + wrong;
    }
  }
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream fields(line);
    std::string folder;
    double rtol = 1e-3, atol = 1e-7;
    fields >> folder >> rtol >> atol;
    std::string verdict;
    try {
      verdict = run(folder, rtol, atol);
    } catch (const std::exception& error) {
      verdict = std::string("failed: ") + error.what();
    }
    for (char& c : verdict)
      if (c == '\n' || c == '\t') c = ' ';
    std::cout << folder << '\t' << verdict << std::endl;
  }
}
