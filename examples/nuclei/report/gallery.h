#pragma once

#include <string>

#include "evaluation/evaluation.h"

namespace nuclei {

/// How outlines of nuclei that met this fate are drawn, as a small SVG for legends.
std::string line_sample(Fate fate);

/// The worst and the best images with the outlines of true and found nuclei, and switches for the fates.
std::string gallery(const Evaluation& evaluation);

}  // namespace nuclei
