#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace nuclei {

enum class Severity {
  error,    // training stops here, or learns something wrong
  warning,  // probably wrong: look at it
  note,     // read as it is meant, but good to know
};
const char* name(Severity severity);

/// A thing that goes wrong with data sets.
struct Fault {
  const char* key;  // "size-mismatch"
  Severity severity;
  const char* title;
  const char* why;     // why it matters
  const char* remedy;  // what to do
};

/// Everything that is looked for, errors first.
const std::vector<Fault>& faults();

struct Finding {
  const Fault* fault;
  std::string file;  // below the data folder: a file, an image's folder, or "." for the whole set
  std::string what;  // what came
};

struct Diagnosis {
  std::size_t images = 0, masks = 0;
  std::vector<Finding> findings;  // in the order of faults(), then by file

  std::size_t count(Severity severity) const;
};

/// Looks at every file of a folder in the Data Science Bowl layout, on all processors, with progress on
/// stderr. Whatever is wrong with the data becomes a finding; throws Failure only if the folder cannot be
/// listed.
Diagnosis diagnose(const std::filesystem::path& data);

}  // namespace nuclei
