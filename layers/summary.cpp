#include <array>
#include <iomanip>
#include <sstream>

#include <karyon/core/autograd.h>
#include <karyon/layers/call_observer.h>
#include <karyon/layers/summary.h>

namespace karyon {
namespace {

struct Recorder : CallObserver {
  std::map<const Module*, std::string> names;
  Summary* out = nullptr;

  void called(const Module& module, const Shape& input, const Tensor& output) override {
    if (!module.named_children().empty()) return;
    const auto name = names.find(&module);
    Summary::Row row{
        .name = name == names.end() ? "" : name->second,
        .type = module.type(),
        .output = output.shape(),
        .multiply_adds = module.multiply_adds(input, output.shape()),
        .activation_bytes = output.numel() * static_cast<std::int64_t>(element_size(output.dtype()))};
    for (const Tensor& p : module.parameters()) row.parameters += p.numel();
    out->multiply_adds += row.multiply_adds;
    out->activation_bytes += row.activation_bytes;
    out->rows.push_back(std::move(row));
  }
};

/// Sets evaluation mode for all modules and restores each module's mode at the end.
struct Evaluation {
  std::vector<std::pair<std::string, Module*>> modules;
  std::vector<bool> before;

  explicit Evaluation(Module& root) : modules(root.named_modules()) {
    for (const auto& [name, m] : modules) before.push_back(m->is_training());
    root.eval();
  }
  // Parents come first, so the children's modes are set last.
  ~Evaluation() {
    for (std::size_t i = 0; i < modules.size(); ++i) modules[i].second->train(before[i]);
  }
};

std::string text_of(const Shape& shape) {
  std::ostringstream os;
  os << shape;
  return os.str();
}

std::string scaled(std::int64_t n, double base, const char* const (&units)[5]) {
  auto value = static_cast<double>(n);
  std::size_t unit = 0;
  while (value >= base && unit + 1 < 5) value /= base, ++unit;
  std::ostringstream os;
  os << std::fixed << std::setprecision(unit == 0 ? 0 : 2) << value << units[unit];
  return os.str();
}

std::string counted(std::int64_t n) { return scaled(n, 1000, {"", " k", " M", " G", " T"}); }
std::string bytes(std::int64_t n) { return scaled(n, 1024, {" B", " KiB", " MiB", " GiB", " TiB"}); }

}  // namespace

Summary summary(Module& module, const Shape& input) {
  const NoGradGuard no_grad;
  const Evaluation evaluation(module);
  Summary out{.type = module.type(), .input = input};
  TensorOptions options;
  for (const Tensor& p : module.parameters()) {
    if (out.parameters == 0) options = {.dtype = p.dtype(), .device = p.device()};
    out.parameters += p.numel();
  }
  Recorder recorder;
  recorder.out = &out;
  for (const auto& [name, m] : evaluation.modules) recorder.names.emplace(m, name);
  module(zeros(input, options));
  return out;
}

std::ostream& operator<<(std::ostream& os, const Summary& s) {
  std::vector<std::array<std::string, 6>> table{
      {"layer", "type", "output", "parameters", "multiply-adds", "activations"}};
  for (const Summary::Row& r : s.rows)
    table.push_back({r.name, r.type, text_of(r.output), std::to_string(r.parameters),
                     counted(r.multiply_adds), bytes(r.activation_bytes)});
  table.push_back({"total", s.type, "", std::to_string(s.parameters), counted(s.multiply_adds),
                   bytes(s.activation_bytes)});
  std::array<std::size_t, 6> width{};
  std::size_t line = 10;
  for (const auto& row : table)
    for (std::size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
  for (const std::size_t w : width) line += w;
  std::ostringstream text;
  for (std::size_t r = 0; r < table.size(); ++r) {
    if (r == 1 || r + 1 == table.size()) text << std::string(line, '-') << '\n';
    for (std::size_t c = 0; c < 6; ++c)
      text << (c ? "  " : "") << (c < 3 ? std::left : std::right) << std::setw(static_cast<int>(width[c]))
           << table[r][c];
    text << '\n';
  }
  return os << text.str();
}

}  // namespace karyon
