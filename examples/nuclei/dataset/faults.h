#pragma once

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

/// The fault of that key, which there is.
const Fault& fault(const std::string& key);

struct Finding {
  const Fault* fault;
  std::string file;  // below the data folder: a file, an image's folder, or "." for the whole set
  std::string what;  // what came
};

}  // namespace nuclei
