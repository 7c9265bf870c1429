#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace nuclei {

/// A picture to find nuclei in.
struct Job {
  std::filesystem::path file;
  std::string below;        // the file's path below the folder that was given, or its name
  std::optional<int> page;  // not given: the first, with a note where there are more
  bool paged = false;       // results are named by the page
};

struct Jobs {
  std::vector<Job> jobs;
  std::vector<std::string> notes;  // lines for the user: what was passed over
};

/// The pictures of files, folders of pictures, and folders in the Data Science Bowl layout (also a single
/// <id> folder), each once. Other files in folders are passed over and counted in a note.
///   page       of TIFF files, from 1; 0: all; not given: the first
///   recursive  folders inside folders too, but for those that hold results of nuclei predict
/// Ends early where a signal asks for a stop (StopOnSignal). Throws Failure where an input is not there or
/// holds no picture.
Jobs list_jobs(const std::vector<std::filesystem::path>& inputs, std::optional<int> page, bool recursive);

/// The absolute path without "." and "..", which is the same for two inputs that are the same file.
std::string place_of(const std::filesystem::path& file);

}  // namespace nuclei
