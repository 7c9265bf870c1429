#pragma once

#include <filesystem>

namespace nuclei {

struct DoctorOptions {
  std::filesystem::path data;
  std::filesystem::path json;  // empty: not written
  bool all = false;            // list every file, not the first few of each kind
};

/// Prints what is wrong with a data set, why it matters and what to do; writes it as JSON too if asked to.
///   returns  whether there was no error among it
/// Throws Failure if the folder cannot be listed or the JSON file not be written.
bool doctor(const DoctorOptions& options);

}  // namespace nuclei
