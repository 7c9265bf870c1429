// Runs the seeds of fuzz targets and the inputs that once found a defect, or writes the seeds.
#include <cstdio>
#include <cstring>
#include <fstream>

#include <karyon/core/parallel.h>

#include "fuzz.h"

namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    "usage: fuzz_replay TARGET [FILE ...]     run a target's seeds and regressions, or the files\n"
    "       fuzz_replay --list                name all targets\n"
    "       fuzz_replay --seeds TARGET FOLDER write a target's seeds as files\n";

/// Regressions are kept as text: hexadecimal digits, and lines of remarks that begin with #.
std::vector<std::uint8_t> from_hex(const fs::path& path) {
  std::vector<std::uint8_t> bytes;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    for (std::size_t i = 0; i + 1 < line.size(); i += 2)
      bytes.push_back(static_cast<std::uint8_t>(std::stoi(line.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

bool holds(const fuzz::Target& target, const std::string& input, fuzz::Bytes bytes) {
  try {
    target.run(bytes);
    return true;
  } catch (const std::exception& e) {
    std::printf("%s, %s: %s\n", target.name, input.c_str(), e.what());
    return false;
  }
}

int replay(const fuzz::Target& target, const std::vector<std::string>& files) {
  karyon::set_num_threads(1);
  std::size_t count = 0, failed = 0;
  const auto run = [&](const std::string& input, fuzz::Bytes bytes) {
    ++count;
    failed += !holds(target, input, bytes);
  };
  for (const std::string& file : files)
    run(file, file.ends_with(".hex") ? from_hex(file) : fuzz::file_bytes(file));
  if (files.empty()) {
    run("nothing", {});
    const fuzz::Inputs seeds = target.seeds();
    for (std::size_t i = 0; i < seeds.size(); ++i) run("seed " + std::to_string(i), seeds[i]);
    const fs::path folder = fs::path(KARYON_FUZZ_REGRESSIONS) / target.name;
    if (fs::is_directory(folder))
      for (const auto& entry : fs::directory_iterator(folder))
        run(entry.path().string(), from_hex(entry.path()));
  }
  std::printf("%s: %zu inputs, %zu failed\n", target.name, count, failed);
  return failed == 0 ? 0 : 1;
}

int write_seeds(const fuzz::Target& target, const fs::path& folder) {
  fs::create_directories(folder);
  const fuzz::Inputs seeds = target.seeds();
  for (std::size_t i = 0; i < seeds.size(); ++i)
    std::ofstream(folder / ("seed-" + std::to_string(i)), std::ios::binary)
        .write(reinterpret_cast<const char*>(seeds[i].data()), static_cast<std::streamsize>(seeds[i].size()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 1 && arguments[0] == "--list") {
    for (const fuzz::Target& target : fuzz::targets()) std::puts(target.name);
    return 0;
  }
  const bool seeds = arguments.size() == 3 && arguments[0] == "--seeds";
  for (const fuzz::Target& target : fuzz::targets()) {
    if (seeds && arguments[1] == target.name) return write_seeds(target, arguments[2]);
    if (!seeds && !arguments.empty() && arguments[0] == target.name)
      return replay(target, {arguments.begin() + 1, arguments.end()});
  }
  std::fputs(usage, stderr);
  return 2;
}
