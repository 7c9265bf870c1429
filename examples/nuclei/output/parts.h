#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace nuclei {

// Several processes share out the pictures of one folder of results. Each writes its pictures' own files there
// and keeps its tables and its list of finished pictures in a folder inside, its part.

std::filesystem::path part_folder(const std::filesystem::path& out, int rank);

/// Whether an earlier run was cut off and left parts.
bool has_parts(const std::filesystem::path& out);

/// Appends what stands in all parts to the tables and the list of `out`, and removes the parts. Files of
/// pictures that were not finished are removed. A run that is cut off here is continued by the next call.
///   order  keys of pictures (Finished::Entry), which come in this order; others follow
/// Throws Failure if a table was cut or cannot be written, or the parts are of another run.
void join_parts(const std::filesystem::path& out, const std::vector<std::string>& order);

}  // namespace nuclei
