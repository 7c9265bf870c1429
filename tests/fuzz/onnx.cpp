// ONNX files of any bytes. What loads also runs, on one image.
#include <karyon/core/autograd.h>
#include <karyon/models/onnx/onnx.h>

#include "fuzz.h"
#include "onnx/model_builder.h"

namespace {

using namespace karyon;
using test::ModelBuilder;

void run(fuzz::Bytes input) {
  if (input.size() > 4096) return;  // sizes stay small enough to run
  std::unique_ptr<OnnxModule> net;
  if (!fuzz::succeeds<Error>([&] { net = load_onnx(fuzz::as_file(input)); })) return;
  const NoGradGuard guard;
  const std::vector<Tensor> inputs(net->input_names().size(), ones({1, 2, 4, 4}));
  std::vector<Tensor> once, again;
  if (!fuzz::succeeds<Error>([&] { once = net->forward(inputs); })) return;
  again = net->forward(inputs);
  fuzz::expect(once.size() == net->output_names().size(), "outputs and their names differ in number");
  for (std::size_t i = 0; i < once.size(); ++i)
    fuzz::expect(once[i].shape() == again[i].shape(), "a second forward gives another shape");
}

std::vector<std::uint8_t> bytes_of(const ModelBuilder& builder) {
  const std::string bytes = builder.bytes();
  return {bytes.begin(), bytes.end()};
}

fuzz::Inputs seeds() {
  fuzz::Inputs all;
  for (const char* type :
       {"Relu", "Softmax", "GlobalAveragePool", "Flatten", "Shape", "LRN", "DepthToSpace", "ArgMax"}) {
    ModelBuilder builder;
    builder.input("x", {1, 2, 4, 4}).output("y");
    builder.node(type, {"x"}, {"y"});
    all.push_back(bytes_of(builder));
  }
  ModelBuilder conv;
  conv.input("x", {1, 2, 4, 4}).output("y").initializer("w", ones({3, 2, 3, 3})).initializer("b", ones({3}));
  ModelBuilder::integers(conv.node("Conv", {"x", "w", "b"}, {"c"}), "pads", {1, 1, 1, 1});
  conv.node("BatchNormalization", {"c", "b", "b", "b", "b"}, {"n"});
  conv.node("Relu", {"n"}, {"r"});
  onnx_file::Node& pool = conv.node("MaxPool", {"r"}, {"y", "places"});
  ModelBuilder::integers(pool, "kernel_shape", {2, 2});
  ModelBuilder::integers(pool, "strides", {2, 2});
  all.push_back(bytes_of(conv));
  for (const char* type : {"Reshape", "Gather", "Slice", "Pad", "Tile", "ScatterND", "Resize", "OneHot"}) {
    ModelBuilder builder;
    builder.input("x", {1, 2, 4, 4}).output("y").initializer("i", tensor({1, 1, 1, 2}, {.dtype = i64}));
    builder.node(type, {"x", "i", "i", "i"}, {"y"});
    all.push_back(bytes_of(builder));
  }
  return all;
}

const fuzz::Register target({"onnx", run, seeds});

}  // namespace
