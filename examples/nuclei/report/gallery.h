#pragma once

#include <string>

#include "evaluation/evaluation.h"

namespace nuclei {

/// A small SVG for legends: a line as the outlines of nuclei with this fate are drawn.
std::string line_sample(Fate fate);

/// The worst and the best images with the outlines of true and found nuclei, and switches for the fates.
std::string gallery(const Evaluation& evaluation);

}  // namespace nuclei
