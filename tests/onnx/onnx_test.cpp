#include <catch2/catch.hpp>

#include <karyon/core/autograd.h>
#include <karyon/core/optim/optimizer.h>
#include <karyon/karyon.h>
#include <karyon/models/onnx/onnx.h>

#include "model_builder.h"
#include "temp_folder.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

std::unique_ptr<OnnxModule> loaded(const std::string& bytes) {
  const TempFolder folder;
  write_file(folder / "net.onnx", bytes);
  return load_onnx(folder / "net.onnx");
}
std::unique_ptr<OnnxModule> loaded(const ModelBuilder& builder) { return loaded(builder.bytes()); }

/// The largest difference.
double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  return abs(a.detach() - b.detach()).max().item<double>();
}

/// Convolution, batch norm, ReLU, mean over the plane and a linear layer: two classes of images with 3
/// channels.
ModelBuilder small_net() {
  Generator generator(3);
  ModelBuilder builder;
  builder.input("image", {-1, 3, -1, -1}).output("scores");
  builder.initializer("conv.weight", randn({4, 3, 3, 3}, generator));
  builder.initializer("norm.weight", rand({4}, generator)).initializer("norm.bias", randn({4}, generator));
  builder.initializer("norm.running_mean", randn({4}, generator))
      .initializer("norm.running_var", rand({4}, generator) + 0.5);
  builder.initializer("head.weight", randn({2, 4}, generator))
      .initializer("head.bias", randn({2}, generator));
  ModelBuilder::integers(builder.node("Conv", {"image", "conv.weight"}, {"a"}), "pads", {1, 1, 1, 1});
  builder.node("BatchNormalization",
               {"a", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"}, {"b"});
  builder.node("Relu", {"b"}, {"c"});
  builder.node("GlobalAveragePool", {"c"}, {"d"});
  builder.node("Flatten", {"d"}, {"e"});
  ModelBuilder::integer(builder.node("Gemm", {"e", "head.weight", "head.bias"}, {"scores"}, "head"), "transB",
                        1);
  return builder;
}

/// The same by Karyon's operations, from images [N, 3, H, W].
Tensor by_hand(const StateDict& state, const Tensor& image) {
  const Tensor x = permute(image, {0, 2, 3, 1});
  Tensor y = conv2d(x, state.at("conv.weight"), {}, {.padding = 1});
  y = batch_norm(y, state.at("norm.weight"), state.at("norm.bias"), state.at("norm.running_mean"),
                 state.at("norm.running_var"));
  return linear(relu(y).mean({1, 2}), state.at("head.weight"), state.at("head.bias"));
}

}  // namespace

TEST_CASE("load_onnx: a convolutional network computes what its layers do, for any batch and size") {
  const auto net = loaded(small_net());
  CHECK(net->input_names() == std::vector<std::string>{"image"});
  CHECK(net->output_names() == std::vector<std::string>{"scores"});
  const StateDict state = net->state_dict();
  CHECK(state.at("conv.weight").shape() == Shape{4, 3, 3, 3});
  for (const Shape& shape : {Shape{1, 3, 8, 8}, Shape{3, 3, 7, 5}, Shape{0, 3, 4, 4}}) {
    const Tensor x = randn(shape);
    const Tensor y = (*net)(x);
    REQUIRE(y.shape() == Shape{shape[0], 2});
    if (shape[0] != 0) CHECK(distance(y, by_hand(state, x)) < 1e-5);
    const NoGradGuard guard;  // then convolution, norm and ReLU may be one pass
    if (shape[0] != 0) CHECK(distance((*net)(x), by_hand(state, x)) < 1e-5);
  }
  const Tensor x = randn({2, 3, 6, 6});
  CHECK(distance(net->forward_by_name({{"image", x}}).at("scores"), by_hand(state, x)) < 1e-5);
}

TEST_CASE("load_onnx: x Sigmoid(x) behind a convolution is SiLU, unless others read its parts") {
  const Tensor w = randn({20, 6, 1, 1}), x = randn({2, 6, 5, 4});
  const Tensor sums = conv2d(x.permute({0, 2, 3, 1}), w.permute({0, 2, 3, 1})).permute({0, 3, 1, 2});
  for (const bool swapped : {false, true})
    for (const char* also : {"", "sums", "gate"}) {
      ModelBuilder builder;
      builder.input("x", {-1, 6, -1, -1}).output("y").initializer("w", w);
      builder.node("Conv", {"x", "w"}, {"sums"});
      builder.node("Sigmoid", {"sums"}, {"gate"});
      builder.node(
          "Mul",
          swapped ? std::vector<std::string>{"gate", "sums"} : std::vector<std::string>{"sums", "gate"},
          {"y"});
      if (*also) builder.output(also);
      const auto net = loaded(builder);
      CHECK(distance(net->forward(std::vector{x})[0], silu(sums)) < 1e-5);
      const NoGradGuard guard;
      const std::vector<Tensor> y = net->forward(std::vector{x});
      CHECK(distance(y[0], silu(sums)) < 1e-5);
      if (*also) CHECK(distance(y[1], *also == 's' ? sums : sigmoid(sums)) < 1e-5);
    }
}

TEST_CASE("load_onnx: products with weights are linear layers, with what follows them") {
  const Tensor w = randn({24, 40}), bias = randn({40}), x = randn({3, 7, 24}), beside = randn({3, 7, 40});
  for (const bool turned : {false, true})          // the file has the weight the other way round
    for (const char* also : {"", "product", "w"})  // what others read, too
      for (const Shape& shape : {Shape{3, 7, 40}, Shape{7, 40}}) {
        ModelBuilder builder(20);
        builder.input("x", {-1, -1, 24})
            .input("beside", std::vector<std::int64_t>(shape.begin(), shape.end()));
        builder.output("y").initializer("w", turned ? transpose(w, 0, 1) : w).initializer("bias", bias);
        if (turned) ModelBuilder::integers(builder.node("Transpose", {"w"}, {"t"}), "perm", {1, 0});
        builder.node("MatMul", {"x", turned ? "t" : "w"}, {"product"});
        builder.node("Add", {"bias", "product"}, {"sum"});
        builder.node("Add", {"sum", "beside"}, {"all"});
        builder.node("Gelu", {"all"}, {"y"});
        if (*also) builder.node("Abs", {also}, {"also"}), builder.output("also");
        const auto net = loaded(builder);
        if (!turned && *also != 'w') CHECK(net->state_dict().at("w").shape() == Shape{40, 24});
        const Tensor other = shape.dims() == 2 ? beside.index({0}) : beside;
        const Tensor product = matmul(x, w), expected = gelu(product + bias + other);
        const auto check_outputs = [&] {
          const std::vector<Tensor> y = net->forward({x, other});
          CHECK(distance(y[0], expected) < 2e-5);
          if (*also == 'p') CHECK(distance(y[1], abs(product)) < 2e-5);
          if (*also == 'w') CHECK(distance(y[1], abs(turned ? transpose(w, 0, 1) : w)) == 0);
        };
        check_outputs();
        const NoGradGuard guard;
        check_outputs();
        check_outputs();  // by the weights that are kept
      }
}

TEST_CASE("load_onnx: a file cannot name operators of Karyon's own") {
  for (const char* type : {"Linear", "Conv", "Other"}) {
    ModelBuilder builder;
    builder.input("x", {2, 3}).output("y");
    builder.node(type, {"x"}, {"y"}).set_domain("karyon");
    CHECK_THROWS_WITH(loaded(builder), Contains("of the domain karyon, which no file may use"));
  }
}

TEST_CASE("OnnxModule trains: gradients are those of the layers, and statistics are no parameters") {
  const auto net = loaded(small_net());
  std::vector<std::string> names;
  for (const auto& [name, p] : net->named_parameters()) names.push_back(name);
  CHECK(names.size() == 5);
  CHECK(net->named_buffers().size() == 2);
  StateDict state;
  for (const auto& [name, x] : net->state_dict()) state[name] = x.clone();
  for (auto& [name, x] : state)
    if (name.find("running") == std::string::npos) x.requires_grad_();
  const Tensor x = randn({4, 3, 6, 6}), target = tensor({0, 1, 1, 0}, {.dtype = i64});
  cross_entropy((*net)(x), target).backward();
  cross_entropy(by_hand(state, x), target).backward();
  for (const auto& [name, p] : net->named_parameters())
    CHECK(distance(p.grad(), state.at(name).grad()) < 1e-5);

  SGD optimizer(net->parameters(), {.lr = 0.1});
  const double before = cross_entropy((*net)(x), target).item<double>();
  for (int step = 0; step < 20; ++step) {
    optimizer.zero_grad();
    cross_entropy((*net)(x), target).backward();
    optimizer.step();
  }
  CHECK(cross_entropy((*net)(x), target).item<double>() < before);
}

TEST_CASE("OnnxModule: a clone has its own values") {
  const auto net = loaded(small_net());
  const auto copy = clone(*net);
  const Tensor x = randn({1, 3, 5, 5});
  CHECK(distance((*copy)(x), (*net)(x)) == 0);
  {
    const NoGradGuard guard;
    copy->parameters()[0].zero_();
  }
  CHECK(distance((*copy)(x), (*net)(x)) > 0);
}

TEST_CASE("load_onnx names all operators that are missing, before anything runs") {
  ModelBuilder builder;
  builder.input("x", {2, 2}).output("y");
  builder.node("Frobnicate", {"x"}, {"a"}, "first");
  builder.node("Relu", {"a"}, {"b"});
  builder.node("Frobnicate", {"b"}, {"c"}, "second");
  builder.node("TfIdfVectorizer", {"c"}, {"y"}, "third").set_domain("com.example");
  CHECK_THROWS_WITH(loaded(builder),
                    Contains("net.onnx needs operators that are missing: Frobnicate (node first and 1 "
                             "more), com.example.TfIdfVectorizer (node third)"));
  ModelBuilder other;
  other.input("x", {2}, 8).output("y");
  other.node("Cast", {"x"}, {"y"}, "to text");
  CHECK_THROWS_WITH(loaded(other), Contains("input 'x' (of the network: tensors of type string)"));
}

TEST_CASE("OnnxModule refuses inputs that do not fit, by name") {
  const auto net = loaded(small_net());
  CHECK_THROWS_WITH((*net)(randn({1, 4, 8, 8})), Contains("'image' expects [?, 3, ?, ?], got [1, 4, 8, 8]"));
  CHECK_THROWS_WITH((*net)(zeros({1, 3, 8, 8}, {.dtype = i64})),
                    Contains("'image' expects float32, got i64"));
  CHECK_THROWS_WITH(net->forward(std::vector<Tensor>{}), Contains("expects 1 inputs, got 0"));
  CHECK_THROWS_WITH(net->forward_by_name({{"picture", randn({1, 3, 8, 8})}}), Contains("'image' is missing"));
  CHECK_THROWS_WITH(net->forward_by_name({{"image", randn({1, 3, 8, 8})}, {"more", ones({1})}}),
                    Contains("no input 'more'"));
}

TEST_CASE("OnnxModule: an error while it runs names the node") {
  ModelBuilder builder;
  builder.input("a", {-1}).input("b", {-1}).output("y");
  builder.node("Add", {"a", "b"}, {"y"}, "plus");
  const auto net = loaded(builder);
  CHECK_THROWS_WITH(net->forward({ones({2}), ones({3})}),
                    Contains("onnx: node 'plus' (Add): add: shapes [2] and [3]"));
}

TEST_CASE("OnnxModule: If and Loop run the graphs in them") {
  ModelBuilder builder;
  builder.input("n", {}, 7).input("x", {2}).output("y");
  builder.initializer("true", ones({}, {.dtype = boolean})).initializer("ten", tensor(10, {.dtype = i64}));
  onnx_file::Graph body, doubled, same;
  for (const char* name : {"i", "on", "v"}) body.add_input()->set_name(name);
  ModelBuilder::node_of(body, "Add", {"v", "x"}, {"w"});  // x is from around it
  ModelBuilder::node_of(body, "Identity", {"on"}, {"still"});
  for (const char* name : {"still", "w"}) body.add_output()->set_name(name);
  ModelBuilder::graph(builder.node("Loop", {"n", "true", "x"}, {"sum"}), "body", body);
  ModelBuilder::node_of(doubled, "Add", {"sum", "sum"}, {"d"});
  doubled.add_output()->set_name("d");
  ModelBuilder::node_of(same, "Identity", {"sum"}, {"s"});
  same.add_output()->set_name("s");
  builder.node("Less", {"n", "ten"}, {"few"});
  onnx_file::Node& choice = builder.node("If", {"few"}, {"y"});
  ModelBuilder::graph(choice, "then_branch", doubled);
  ModelBuilder::graph(choice, "else_branch", same);
  const auto net = loaded(builder);
  const Tensor x = tensor({1.0f, 2.0f});
  const auto run = [&](std::int64_t n) { return net->forward({tensor(n), x})[0].to_vector<float>(); };
  CHECK(run(3) == std::vector<float>{8, 16});
  CHECK(run(10) == std::vector<float>{11, 22});
}

TEST_CASE("OnnxModule: functions of the file are put in place of their calls") {
  ModelBuilder builder;
  builder.input("x", {2}).output("y");
  onnx_file::Function& twice = *builder.model.add_functions();
  twice.set_name("Twice");
  twice.set_domain("mine");
  twice.add_input("a");
  twice.add_output("b");
  onnx_file::Node& add = *twice.add_node();
  add.set_op_type("Add");
  add.add_input("a");
  add.add_input("a");
  add.add_output("b");
  builder.node("Twice", {"x"}, {"m"}).set_domain("mine");
  builder.node("Twice", {"m"}, {"y"}).set_domain("mine");
  CHECK((*loaded(builder))(ones({2})).to_vector<float>() == std::vector<float>{4, 4});
  // One that calls itself has no end.
  onnx_file::Node& again = *twice.add_node();
  again.set_op_type("Twice");
  again.set_domain("mine");
  again.add_input("b");
  again.add_output("c");
  CHECK_THROWS_WITH(loaded(builder), Contains("without an end"));
}

TEST_CASE("load_onnx: names of tensors that are no names of parameters are changed") {
  ModelBuilder builder;
  builder.input("x", {2}).output("y");
  builder.initializer("a", ones({2})).initializer("a.b", ones({2})).initializer(".c..d", ones({2}));
  builder.node("Add", {"x", "a"}, {"p"});
  builder.node("Add", {"p", "a.b"}, {"q"});
  builder.node("Add", {"q", ".c..d"}, {"y"});
  const auto net = loaded(builder);
  CHECK(net->parameters().size() == 3);
  CHECK((*net)(zeros({2})).to_vector<float>() == std::vector<float>{3, 3});
}

TEST_CASE("load_onnx: external data lies beside the file, and nowhere else") {
  const TempFolder folder;
  const auto file = [&](const std::string& location, const std::string& length) {
    ModelBuilder builder;
    builder.input("x", {2}).output("y").initializer("w", ones({2}));
    onnx_file::Tensor& w = *builder.graph().mutable_initializer(0);
    w.clear_raw_data();
    w.set_data_location(1);
    const auto entry = [&](const char* key, const std::string& value) {
      onnx_file::Entry& to = *w.add_external_data();
      to.set_key(key);
      to.set_value(value);
    };
    entry("location", location);
    entry("offset", "4");
    entry("length", length);
    builder.node("Mul", {"x", "w"}, {"y"});
    builder.save(folder / "net.onnx");
    return load_onnx(folder / "net.onnx");
  };
  const float values[] = {0, 3, 5};
  write_file(folder / "weights", std::string_view(reinterpret_cast<const char*>(values), sizeof values));
  CHECK((*file("weights", "8"))(ones({2})).to_vector<float>() == std::vector<float>{3, 5});
  CHECK_THROWS_WITH(file("weights", "12"), Contains("has 12 bytes"));
  CHECK_THROWS_WITH(file("weights", "eight"), Contains("expects a number as length"));
  CHECK_THROWS_WITH(file("../weights", "8"), Contains("not in this folder"));
  CHECK_THROWS_WITH(file("/etc/hostname", "8"), Contains("beside this one"));
  CHECK_THROWS_WITH(file("nothing", "8"), Contains("cannot read external data"));
}

TEST_CASE("load_onnx refuses files whose graph cannot run") {
  const auto refused = [](const auto& change) {
    ModelBuilder builder = small_net();
    change(builder);
    return builder;
  };
  CHECK_THROWS_WITH(loaded(refused([](ModelBuilder& b) { b.graph().mutable_node(0)->set_input(0, "e"); })),
                    Contains("reads 'e', which no input, initializer or node before it makes"));  // a cycle
  CHECK_THROWS_WITH(
      loaded(refused([](ModelBuilder& b) { b.graph().mutable_initializer()->DeleteSubrange(0, 1); })),
      Contains("reads 'conv.weight', which no input"));
  CHECK_THROWS_WITH(loaded(refused([](ModelBuilder& b) { b.graph().mutable_node(1)->set_output(0, "a"); })),
                    Contains("'a' is made twice"));
  CHECK_THROWS_WITH(
      loaded(refused([](ModelBuilder& b) { b.graph().mutable_output(0)->set_name("nothing"); })),
      Contains("nothing makes the output 'nothing'"));
  CHECK_THROWS_WITH(
      loaded(refused([](ModelBuilder& b) { b.graph().mutable_initializer(0)->set_dims(0, -4); })),
      Contains("'conv.weight' has a negative size, -4"));
  CHECK_THROWS_WITH(
      loaded(refused([](ModelBuilder& b) { b.graph().mutable_initializer(0)->set_dims(0, 1 << 30); })),
      Contains("bytes, the file has 432"));
  CHECK_THROWS_WITH(loaded(refused([](ModelBuilder& b) {
                      for (int i = 0; i < 4; ++i)
                        b.graph().mutable_initializer(0)->set_dims(i, std::int64_t{1} << 40);
                    })),
                    Contains("too large"));
  CHECK_THROWS_WITH(
      loaded(refused([](ModelBuilder& b) { b.graph().mutable_initializer(0)->set_data_type(99); })),
      Contains("is of type 99"));
  CHECK_THROWS_WITH(loaded(refused([](ModelBuilder& b) { b.graph().clear_node(); })),
                    Contains("nothing makes"));
  CHECK_THROWS_WITH(load_onnx("/nowhere/net.onnx"), Contains("cannot be read"));
  CHECK_THROWS_WITH(load_onnx("/tmp"), Contains("cannot be read"));
}

TEST_CASE("load_onnx: a file that is cut off or changed anywhere loads, or is refused with an Error") {
  const std::string whole = small_net().bytes();
  const Tensor x = randn({1, 3, 4, 4});
  const auto survive = [&](const std::string& bytes) {
    try {
      const auto net = loaded(bytes);
      (*net)(x);
    } catch (const Error&) {
    }
  };
  for (std::size_t length = 0; length < whole.size(); length += 7) survive(whole.substr(0, length));
  Generator generator(5);
  const std::vector<double> where = rand({600}, generator).to_vector<double>();
  const std::vector<double> what = rand({600}, generator).to_vector<double>();
  for (std::size_t i = 0; i < where.size(); ++i) {
    std::string changed = whole;
    changed[static_cast<std::size_t>(where[i] * static_cast<double>(whole.size()))] =
        static_cast<char>(what[i] * 256);
    survive(changed);
  }
  CHECK_THROWS_WITH(loaded(""), Contains("no ONNX file"));
  CHECK_THROWS_WITH(loaded("this is a text"), Contains("no ONNX file"));
}
