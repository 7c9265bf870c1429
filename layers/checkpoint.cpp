#include <bit>
#include <set>

#include <karyon/core/serialize.h>
#include <karyon/layers/checkpoint.h>

namespace karyon {
namespace {

// In the file's metadata. A later layout gets another number.
constexpr const char* version_key = "karyon.checkpoint";
constexpr const char* version = "1";

template <class T>
Tensor scalars(const std::vector<T>& values, const Shape& shape) {
  Tensor x = empty(shape, {.dtype = dtype_of<T>});
  std::copy(values.begin(), values.end(), x.data<T>());
  return x;
}

void check_pointers(const std::string& op, const Checkpoint& parts) {
  for (std::size_t i = 0; i < parts.generators.size(); ++i)
    check(parts.generators[i] != nullptr, op, "generator ", i, " expects a pointer, got none");
  for (const auto& [name, number] : parts.numbers)
    check(std::visit([](auto* value) { return value != nullptr; }, number), op, "the number '", name,
          "' expects a pointer, got none");
  for (const auto& [name, text] : parts.texts)
    check(text != nullptr, op, "the text '", name, "' expects a pointer, got none");
}

// ---- writing

void add(TensorFile& file, const std::string& prefix, const StateDict& state) {
  for (const auto& [name, x] : state) file.tensors.emplace(prefix + name, x);
}

void add(TensorFile& file, const std::string& prefix, const std::map<std::string, double>& state) {
  for (const auto& [name, value] : state)
    file.tensors.emplace(prefix + name, scalars(std::vector{value}, {}));
}

Tensor tensor_of(const Generator& generator) {
  return scalars<std::int64_t>(
      {std::bit_cast<std::int64_t>(generator.seed()), std::bit_cast<std::int64_t>(generator.position())},
      {2});
}

// ---- reading

/// The parts of a file. Each is checked as it is taken, before anything is changed.
class Reader {
 public:
  explicit Reader(const TensorFile& file) : file_(file) {
    const auto found = file.metadata.find(version_key);
    check(found != file.metadata.end(), "is not a checkpoint of save_checkpoint");
    check(found->second == version, "is a checkpoint of version ", found->second, ", expected ", version);
  }

  /// The tensors whose names begin with `prefix`, which is left out.
  StateDict part(const std::string& prefix) {
    StateDict out;
    for (auto it = file_.tensors.lower_bound(prefix); it != file_.tensors.end(); ++it) {
      if (!it->first.starts_with(prefix)) break;
      out.emplace(it->first.substr(prefix.size()), it->second);
      used_.insert(it->first);
    }
    check(!out.empty(), "holds no ", prefix.substr(0, prefix.size() - 1));
    return out;
  }

  StateDict state_of(const Module& module, const std::string& prefix) {
    StateDict expected = module.state_dict();
    StateDict out = expected.empty() ? StateDict() : part(prefix);
    module.check_state_dict(out);
    for (const auto& [name, x] : expected)
      check(out.at(name).dtype() == x.dtype(), prefix, name, " expects ", x.dtype(), ", got ",
            out.at(name).dtype());
    return out;
  }

  std::map<std::string, double> numbers(const std::string& prefix) {
    std::map<std::string, double> out;
    for (const auto& [name, x] : part(prefix)) out.emplace(name, value<double>(prefix + name));
    return out;
  }

  template <class T>
  T value(const std::string& name) {
    return values<T>(name, {})[0];
  }

  Generator generator(const std::string& name) {
    const auto words = values<std::int64_t>(name, {2});
    return Generator(std::bit_cast<std::uint64_t>(words[0]), std::bit_cast<std::uint64_t>(words[1]));
  }

  std::string text(const std::string& name) {
    const auto found = file_.metadata.find(name);
    check(found != file_.metadata.end(), "holds no text '", name, "'");
    used_texts_.insert(name);
    return found->second;
  }

  /// Throws Error if there is something that nobody took.
  void check_all_used() const {
    for (const auto& [name, x] : file_.tensors)
      check(used_.contains(name), "holds '", name, "', which is not asked for");
    for (const auto& [name, text] : file_.metadata)
      check(name == version_key || used_texts_.contains(name), "holds the text '", name,
            "', which is not asked for");
  }

 private:
  template <class T>
  std::vector<T> values(const std::string& name, const Shape& shape) {
    const auto found = file_.tensors.find(name);
    check(found != file_.tensors.end(), "holds no '", name, "'");
    const Tensor& x = found->second;
    check(x.dtype() == dtype_of<T> && x.shape() == shape, "'", name, "' expects ", dtype_of<T>, shape,
          ", got ", x.dtype(), x.shape());
    used_.insert(name);
    return x.to_vector<T>();
  }

  const TensorFile& file_;
  std::set<std::string> used_, used_texts_;
};

/// What load_checkpoint puts into place once all of it is known to fit.
struct Values {
  StateDict model, average, optimizer;
  std::map<std::string, double> schedule, plateau;
  std::vector<Generator> generators;
  std::map<std::string, std::variant<std::int64_t, double>> numbers;
  std::map<std::string, std::string> texts;
};

Values read(const TensorFile& file, const Checkpoint& parts, bool strict) {
  Reader reader(file);
  Values out;
  if (parts.model) out.model = reader.state_of(*parts.model, "model.");
  if (parts.average) out.average = reader.state_of(*parts.average, "average.");
  if (parts.optimizer) out.optimizer = reader.part("optimizer.");
  if (parts.schedule) out.schedule = reader.numbers("schedule.");
  if (parts.plateau) out.plateau = reader.numbers("plateau.");
  for (std::size_t i = 0; i < parts.generators.size(); ++i)
    out.generators.push_back(reader.generator("generator." + std::to_string(i)));
  for (const auto& [name, number] : parts.numbers)
    std::visit([&, &key = name]<class T>(T*) { out.numbers.emplace(key, reader.value<T>("number." + key)); },
               number);
  for (const auto& [name, text] : parts.texts) out.texts.emplace(name, reader.text(name));
  if (strict) reader.check_all_used();
  return out;
}

// Puts schedules and the optimizer's state in place, or throws and leaves them as they were.
void load_optimizer(const Checkpoint& parts, const Values& values) {
  const auto schedule = parts.schedule ? parts.schedule->state() : std::map<std::string, double>();
  const auto plateau = parts.plateau ? parts.plateau->state() : std::map<std::string, double>();
  std::vector<double> rates;
  for (std::size_t g = 0; parts.optimizer && g < parts.optimizer->groups(); ++g)
    rates.push_back(parts.optimizer->lr(g));
  try {
    if (parts.schedule) parts.schedule->load_state(values.schedule);
    if (parts.plateau) parts.plateau->load_state(values.plateau);
    if (parts.optimizer) parts.optimizer->load_state_dict(values.optimizer);  // its rate is the last word
  } catch (...) {
    if (parts.schedule) parts.schedule->load_state(schedule);
    if (parts.plateau) parts.plateau->load_state(plateau);
    for (std::size_t g = 0; g < rates.size(); ++g) parts.optimizer->set_lr(rates[g], g);
    throw;
  }
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const Checkpoint& parts) {
  const std::string op = "save_checkpoint: " + path.string() + ": ";
  check_pointers(op, parts);
  TensorFile file;
  if (parts.model) add(file, "model.", parts.model->state_dict());
  if (parts.average) add(file, "average.", parts.average->state_dict());
  if (parts.optimizer) add(file, "optimizer.", parts.optimizer->state_dict());
  if (parts.schedule) add(file, "schedule.", parts.schedule->state());
  if (parts.plateau) add(file, "plateau.", parts.plateau->state());
  for (std::size_t i = 0; i < parts.generators.size(); ++i)
    file.tensors.emplace("generator." + std::to_string(i), tensor_of(*parts.generators[i]));
  for (const auto& [name, number] : parts.numbers)
    std::visit([&, &key = name]<class T>(
                   T* value) { file.tensors.emplace("number." + key, scalars(std::vector{*value}, {})); },
               number);
  file.metadata[version_key] = version;
  for (const auto& [name, text] : parts.texts)
    check(file.metadata.emplace(name, *text).second, op, "the text '", name,
          "' has a name that the file needs for itself");
  save_safetensors(path, file);
}

void load_checkpoint(const std::filesystem::path& path, const Checkpoint& parts, bool strict) {
  const std::string op = "load_checkpoint: " + path.string() + ": ";
  check_pointers(op, parts);
  const TensorFile file = load_safetensors(path);
  try {
    Values values = read(file, parts, strict);
    load_optimizer(parts, values);
    // Nothing can fail from here on.
    if (parts.model) parts.model->load_state_dict(values.model);
    if (parts.average) parts.average->load_state_dict(values.average);
    for (std::size_t i = 0; i < parts.generators.size(); ++i) *parts.generators[i] = values.generators[i];
    for (const auto& [name, number] : parts.numbers)
      std::visit([&, &key = name]<class T>(T* to) { *to = std::get<T>(values.numbers.at(key)); }, number);
    for (const auto& [name, text] : parts.texts) *text = std::move(values.texts.at(name));
  } catch (const Error& e) {
    throw Error(op + e.what());
  }
}

}  // namespace karyon
