#include <algorithm>
#include <set>

#include <karyon/models/onnx/fusion.h>
#include <karyon/models/onnx/onnx.h>

namespace karyon {
namespace {

using namespace onnx;

/// A level of the names of parameters: "layer1" of "layer1.0.weight".
class Level : public Module {
 public:
  void add(const std::string& path, Tensor& slot, bool trainable) {
    const std::size_t dot = path.find('.');
    if (dot == std::string::npos)
      return trainable ? register_parameter(path, slot) : register_buffer(path, slot);
    const std::string name = path.substr(0, dot);
    auto& level = levels_[name];
    if (!level) {
      level = std::make_unique<Level>();
      register_module(name, *level);
    }
    level->add(path.substr(dot + 1), slot, trainable);
  }
  const std::map<std::string, std::unique_ptr<Level>>& levels() const { return levels_; }

 private:
  std::map<std::string, std::unique_ptr<Level>> levels_;
};

/// Names that fit: no empty level, and no name that is a tensor and a level at once.
std::vector<std::string> registered_names(const std::vector<Initializer>& initializers) {
  std::set<std::string> levels, taken;
  std::vector<std::string> names;
  for (const Initializer& initializer : initializers)
    for (std::size_t dot = initializer.name.find('.'); dot != std::string::npos;
         dot = initializer.name.find('.', dot + 1))
      levels.insert(initializer.name.substr(0, dot));
  for (const Initializer& initializer : initializers) {
    std::string name = initializer.name;
    const bool fits = ("." + name + ".").find("..") == std::string::npos && levels.count(name) == 0;
    if (!fits) std::replace(name.begin(), name.end(), '.', '_');
    while (!taken.insert(name).second || (!fits && levels.count(name) != 0)) name += "_";
    names.push_back(name);
  }
  return names;
}

std::string sizes_text(const std::vector<std::int64_t>& sizes) {
  std::string text = "[";
  for (std::size_t i = 0; i < sizes.size(); ++i)
    text += (i != 0 ? ", " : "") + (sizes[i] < 0 ? "?" : std::to_string(sizes[i]));
  return text + "]";
}

/// An input as operators take it. It fits what the file says about it.
Value accepted(const std::string& name, const Tensor& x, const Fact& fact) {
  check(x.defined(), "onnx: the input '", name, "' is undefined");
  if (fact.sizes) {
    bool fits = x.dim() == static_cast<int>(fact.sizes->size());
    for (int d = 0; fits && d < x.dim(); ++d) {
      const std::int64_t size = (*fact.sizes)[static_cast<std::size_t>(d)];
      fits = size < 0 || size == x.size(d);
    }
    check(fits, "onnx: the input '", name, "' expects ", sizes_text(*fact.sizes), ", got ", x.shape());
  }
  if (fact.type == undefined_type) return Value(x.to(kernel_dtype(x.dtype())), natural_type(x.dtype()));
  const DType wanted = dtype_of_type(fact.type);
  const bool fits = is_floating(wanted) ? is_floating(x.dtype())
                    : wanted == boolean ? x.dtype() == boolean
                                        : !is_floating(x.dtype());
  check(fits, "onnx: the input '", name, "' expects ", type_name(fact.type), ", got ", x.dtype());
  return Value(x.to(wanted), fact.type);
}

}  // namespace

struct OnnxModule::Folder {
  Level root;
};

OnnxModule::OnnxModule(std::shared_ptr<const Program> program) : program_(std::move(program)) {
  const auto& initializers = program_->graph.initializers;
  const std::vector<std::string> names = registered_names(initializers);
  root_ = std::make_unique<Folder>();
  for (std::size_t i = 0; i < initializers.size(); ++i) {
    const bool trainable = initializers[i].trainable;
    const Tensor& value = initializers[i].value.tensor;
    Tensor& slot = *state_.emplace_back(std::make_unique<Tensor>(trainable ? value.clone() : value));
    if (names[i].find('.') != std::string::npos)
      root_->root.add(names[i], slot, trainable);
    else
      trainable ? register_parameter(names[i], slot) : register_buffer(names[i], slot);
  }
  for (const auto& [name, level] : root_->root.levels()) register_module(name, *level);
}
OnnxModule::~OnnxModule() = default;

std::unique_ptr<Module> OnnxModule::rebuilt() const {
  return std::unique_ptr<Module>(new OnnxModule(program_));
}

std::vector<Tensor> OnnxModule::forward(const std::vector<Tensor>& inputs) {
  const Graph& graph = program_->graph;
  const std::vector<std::string>& names = input_names();
  check(inputs.size() == names.size(), "onnx: ", program_->file, " expects ", names.size(), " inputs, got ",
        inputs.size());
  Scope scope(*program_, nullptr);
  for (std::size_t i = 0; i < state_.size(); ++i) {
    Value value = graph.initializers[i].value;
    value.tensor = *state_[i];
    scope.set(graph.initializers[i].name, std::move(value));
  }
  for (std::size_t i = 0; i < inputs.size(); ++i)
    scope.set(names[i], accepted(names[i], inputs[i], graph.facts.at(names[i])));
  std::vector<Tensor> outputs;
  for (Value& value : scope.run(graph)) {
    check(value.list == nullptr, "onnx: an output is a sequence, not a tensor");
    outputs.push_back(value.channels_last ? to_channels_first(value.tensor) : std::move(value.tensor));
  }
  return outputs;
}

StateDict OnnxModule::forward_by_name(const StateDict& inputs) {
  std::vector<Tensor> ordered;
  for (const std::string& name : input_names()) {
    const auto found = inputs.find(name);
    check(found != inputs.end(), "onnx: the input '", name, "' is missing");
    ordered.push_back(found->second);
  }
  for (const auto& [name, x] : inputs)
    check(std::find(input_names().begin(), input_names().end(), name) != input_names().end(),
          "onnx: there is no input '", name, "'");
  const std::vector<Tensor> outputs = forward(ordered);
  StateDict named;
  for (std::size_t i = 0; i < outputs.size(); ++i) named[output_names()[i]] = outputs[i];
  return named;
}

Tensor OnnxModule::forward(Tensor x) {
  std::vector<Tensor> outputs = forward(std::vector<Tensor>{std::move(x)});
  check(!outputs.empty(), "onnx: ", program_->file, " has no output");
  return std::move(outputs[0]);
}

const std::vector<std::string>& OnnxModule::input_names() const { return program_->graph.inputs; }
const std::vector<std::string>& OnnxModule::output_names() const { return program_->graph.outputs; }

std::unique_ptr<OnnxModule> load_onnx(const std::filesystem::path& path) {
  std::shared_ptr<Program> program = read_program(path);
  find_operators(*program);
  remove_identities(program->graph);
  prepare_state(program->graph);
  find_linear_layers(program->graph);
  fold_constants(*program);
  fuse(program->graph);
  find_last_uses(program->graph);
  return std::unique_ptr<OnnxModule>(new OnnxModule(std::move(program)));
}

}  // namespace karyon
