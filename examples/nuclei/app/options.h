#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace nuclei {

/// Options that several commands have.
void add_threads_and_device(CLI::App& app, std::string& device);

/// f32 or bf16.
///   effect  the end of the help text: what bf16 changes
void add_precision(CLI::App& app, std::string& precision, const std::string& effect);

/// How the network looks at an image: --tta, --zoom.
void add_tta(CLI::App& app, bool& tta);
void add_zoom(CLI::App& app, int& zoom);

/// The group of options that choose a picture of a file, and one of them.
inline constexpr const char* choice_group = "Which picture of a file";
void add_channel(CLI::App& app, std::string& channel);

/// What bf16 changes in the nuclei that are found.
inline constexpr const char* bf16_outlines = "and outlines differ by a pixel here and there";

}  // namespace nuclei
