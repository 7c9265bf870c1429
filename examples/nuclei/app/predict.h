#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "inference/segmenter.h"
#include "output/results.h"

namespace nuclei {

struct PredictOptions {
  std::filesystem::path model;  // empty or "default": the one that comes with the program
  std::vector<std::filesystem::path> inputs;
  std::filesystem::path out = "nuclei-out";
  std::string device = "auto";
  bool recursive = false;   // folders inside folders too
  std::optional<int> page;  // of TIFF files; 0: all; not given: the first, with a note where there are more
  std::string channel;      // number or name; empty: colours, or else the first
  double pixel_size = 0;    // micrometres; 0: what the file says
  std::size_t max_memory = 2'000'000'000;
  bool tta = false;
  double zoom = auto_zoom;
  std::string precision = "f32";  // or bf16
  bool resume = false;            // skip what an interrupted run has finished
  bool overwrite = false;         // replace the results of an earlier run
  ResultOptions results = {};
};

struct PredictSummary {
  std::size_t images = 0, failed = 0, skipped = 0;
  std::map<double, std::size_t> by_zoom;  // images, by the zoom that --zoom auto chose
  std::int64_t nuclei = 0;
  bool interrupted = false;
};

/// Finds nuclei in images: files, folders of images, or folders in the Data Science Bowl layout. Results
/// (results.h) are written image by image; out/finished.jsonl says which are complete. An image that cannot
/// be read is reported on stderr and skipped. Ctrl-C and SIGTERM (StopOnSignal) stop within seconds and leave
/// complete results. A picture that was finished but whose files are gone is worked on again. Throws Failure
/// if there is nothing to read, a result cannot be written, a run to continue had other settings, or out
/// holds an earlier run that is neither to be continued nor overwritten. Ranks of a job share out the pictures;
/// each gets the summary of all.
PredictSummary predict(const PredictOptions& options);

/// How to go on with a run that is not complete.
std::string to_go_on(const PredictOptions& options);

/// "2GB", "500 MB" or bytes; also KiB, MiB and GiB. Throws UsageError for anything else.
std::size_t parse_size(const std::string& text);

}  // namespace nuclei
