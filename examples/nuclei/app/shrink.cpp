#include <cstdio>
#include <filesystem>

#include "app/command.h"
#include "common/error.h"
#include "common/text.h"
#include "imageio/atomic_file.h"
#include "inference/segmenter.h"

namespace nuclei {
namespace {

// The copy has filters as bf16, which halves it, and everything else as it is. It is read like any other
// model.
struct Shrink : Command {
  std::filesystem::path model, out;
  std::string thresholds;
  bool overwrite = false;

  Shrink() : Command("shrink", "write a copy of a model at half the size, to pass on") {}

  void add_options(CLI::App& app) override {
    app.add_option("file,--model", model,
                   "model.safetensors of a run, or default: the one that comes with nuclei")
        ->required();
    app.add_option("--out", out, "file to write")->required();
    app.add_option("--thresholds", thresholds,
                   "thresholds to keep in place of the model's, as nuclei info shows them");
    app.add_flag("--overwrite", overwrite, "replace the file if it is there");
    app.footer("Example:\n  nuclei shrink run/model.safetensors --out nuclei.safetensors");
  }

  int run() override {
    model = model_file(model);
    if (!overwrite) require_free(out);
    const Segmenter checked(model, karyon::Device::cpu());
    karyon::TensorFile file = karyon::load_safetensors(model);
    for (auto& [name, tensor] : file.tensors)
      if (tensor.dim() == 4 && tensor.dtype() == karyon::f32) tensor = tensor.to(karyon::bf16);
    if (!thresholds.empty()) {
      file.metadata[thresholds_key] = checked_thresholds();
      file.metadata.erase("nuclei.validation");  // scores with other thresholds
    }
    karyon::save_safetensors(out, file);
    std::printf("%s: %.1f MB, from %.1f MB\n", printable(out.string()).c_str(),
                static_cast<double>(std::filesystem::file_size(out)) / 1e6,
                static_cast<double>(std::filesystem::file_size(model)) / 1e6);
    return 0;
  }

 private:
  std::string checked_thresholds() const try {
    return to_text(thresholds_from(thresholds));
  } catch (const Failure& e) {
    throw UsageError(std::string("--thresholds: expects JSON such as ") + to_text(SegmentOptions{}) + ": " +
                     e.what());
  }
};

}  // namespace

std::unique_ptr<Command> shrink_command() { return std::make_unique<Shrink>(); }

}  // namespace nuclei
