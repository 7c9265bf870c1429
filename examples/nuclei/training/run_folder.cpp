#include "training/run_folder.h"

#include <system_error>

#include "common/error.h"
#include "imageio/atomic_file.h"
#include "report/html_report.h"
#include "training/checkpoint.h"

namespace nuclei {

std::filesystem::path run_checkpoint(const TrainOptions& options) { return options.out / "last.ckpt"; }

bool resumes_in_place(const TrainOptions& options) {
  std::error_code ignored;
  return options.resume &&
         std::filesystem::equivalent(checkpoint_file(*options.resume), run_checkpoint(options), ignored);
}

void check_run_folder(const TrainOptions& options) {
  if (options.data.empty())
    throw UsageError("--data: say where the images are (a folder in the Data Science Bowl layout)");
  if (options.out.empty()) throw UsageError("--out: say where the run's files go");
  if (resumes_in_place(options) || options.overwrite) return;
  std::error_code error;
  if (std::filesystem::exists(run_checkpoint(options), error))
    throw Failure(options.out.string() + " already holds a run: go on with --resume " + options.out.string() +
                  ", choose another --out, or replace it by --overwrite");
  for (const char* file : {"model.safetensors", "metrics.csv", "split.csv"}) require_free(options.out / file);
  require_ours(options.out / "report.html", report_mark);
}

void remove_earlier_run(const TrainOptions& options) {
  if (resumes_in_place(options) || !options.overwrite) return;
  for (const char* file : {"last.ckpt", "model.safetensors", "metrics.csv", "split.csv", "report.html"}) {
    std::error_code error;
    if (!std::filesystem::remove(options.out / file, error) && error)
      throw Failure("removing " + (options.out / file).string() + ": " + error.message());
  }
}

}  // namespace nuclei
