#pragma once

#include <filesystem>

#include "training/settings.h"

namespace nuclei {

/// The checkpoint of the run in options.out.
std::filesystem::path run_checkpoint(const TrainOptions& options);

/// Whether the run that is resumed is the one in options.out.
bool resumes_in_place(const TrainOptions& options);

/// Throws UsageError where options name no images or no folder; Failure where the run would replace files that
/// are there.
void check_run_folder(const TrainOptions& options);

/// The files of a run that is replaced.
void remove_earlier_run(const TrainOptions& options);

}  // namespace nuclei
