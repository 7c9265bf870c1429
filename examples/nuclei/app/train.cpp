#include "app/command.h"
#include "common/error.h"
#include "common/ranks.h"
#include "common/stop.h"
#include "training/training.h"

namespace nuclei {
namespace {

struct Train : Command {
  TrainOptions options;
  std::string resume;
  std::vector<std::string> data;
  const CLI::App* given = nullptr;

  Train() : Command("train", "train a U-Net on images with masks") {}

  void add_options(CLI::App& app) override {
    given = &app;
    app.add_option(
           "--data", data,
           "folder in the Data Science Bowl layout: <id>/images/*.png, <id>/masks/*.png; may be given "
           "several times, each with a weight of its crops: other:2")
        ->type_name("FOLDER[:WEIGHT]");
    app.add_option(
           "--validate-on", options.validate_on,
           "hold out this folder as a whole, in place of a share of --data; may be given several times")
        ->type_name("FOLDER");
    app.add_option("--out", options.out,
                   "folder for the run: model.safetensors, last.ckpt, metrics.csv, report.html");
    app.add_option(
        "--resume", resume,
        "go on with the run in this folder, with its settings; the result is the same as without the break");
    app.add_flag("--overwrite", options.overwrite,
                 "replace the run in --out, and files of the names that it writes");
    app.add_option("--init", options.init,
                   "begin with the weights of this model, to fit it to images of your own in few epochs; "
                   "default: the one that comes with nuclei");
    app.add_option("--epochs", options.epochs,
                   "passes over the images (default: 40, or what fits in --max-minutes)");
    app.add_option("--max-minutes", options.max_minutes, "stop cleanly after this time");
    for (const Setting& setting : settings) add_setting(app, setting);
    app.add_flag("--compress-gradients", options.compress_gradients,
                 "in a job of several processes: send gradients as bf16, half as many bytes; give it again "
                 "with --resume");
    add_ignore_faults(app, options.ignore_faults);
    app.footer(
        "Example:\n  nuclei train --data stage1_train --out run --max-minutes 60\n  nuclei train --resume "
        "run\n"
        "  nuclei train --data stage1_train --out folds --folds 5\n"
        "  mpirun -n 4 nuclei train --data stage1_train --out run --threads 8\n"
        "  nuclei train --data my_images --out mine --init default --epochs 10 --lr 0.0005");
    add_threads_and_device(app, options.device);
  }

  bool shares_work() const override { return true; }

  int run() override {
    const QuietRank quiet;
    if (options.init && (is_given("--base-width") || is_given("--depth")))
      throw UsageError("--init brings a network; leave --base-width and --depth out");
    if (!options.validate_on.empty() && is_given("--validation"))
      throw UsageError(
          "--validate-on holds out whole folders and --validation a share of --data; choose one");
    if (options.overwrite && !resume.empty())
      throw UsageError("--resume goes on with a run and --overwrite replaces it; choose one");
    for (const std::string& text : data) options.data.push_back(data_set_from(text));
    if (!resume.empty()) {
      options.resume = resume;
      for (const char* option : {"--init", "--validate-on"}) require_unchanged(option);
      for (const Setting& setting : settings) require_unchanged(option_name(setting));
    }
    // A signal is an exit code of its own: a script must not go on with a model that is not finished. A
    // training that --max-minutes ended did what was asked.
    return train(options) ? 0 : StopOnSignal::exit_code();
  }

 private:
  void add_setting(CLI::App& app, const Setting& setting) {
    std::visit(
        [&](auto member) {
          auto& value = options.*member;
          if constexpr (std::is_same_v<decltype(value), std::string&>) {
            add_precision(app, value, setting.help);
          } else {
            CLI::Option* option = app.add_option(option_name(setting), value, setting.help);
            if (setting.shows_default) option->capture_default_str();
          }
        },
        setting.member);
  }

  bool is_given(const std::string& option) const { return given->count(option) > 0; }

  void require_unchanged(const std::string& option) const {
    if (is_given(option))
      throw UsageError(option + " cannot change in a run that is resumed; leave it out, or start a new run");
  }
};

}  // namespace

std::unique_ptr<Command> train_command() { return std::make_unique<Train>(); }

}  // namespace nuclei
