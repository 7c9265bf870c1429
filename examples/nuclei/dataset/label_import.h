#pragma once

#include <filesystem>
#include <string>

#include "instances/label_map.h"

namespace nuclei {

/// Each nucleus of a mask file as a label: one per value or colour besides 0 or, if there is a single one,
/// one per connected part.
///   note  receives a line about what is doubtful, or nothing
/// Throws Failure if the file cannot be read, has several pages or channels, is full of scattered values, or
/// if another value than 0 seems to be the background.
LabelMap import_labels(const std::filesystem::path& file, std::string* note);

}  // namespace nuclei
