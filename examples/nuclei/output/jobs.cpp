#include "output/jobs.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "common/error.h"
#include "common/stop.h"
#include "common/text.h"
#include "dataset/bowl_layout.h"
#include "dataset/listing.h"
#include "imageio/tiff_source.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

bool is_picture(const fs::path& path) {
  static const std::set<std::string> known{".png",  ".jpg", ".jpeg", ".bmp", ".tif",
                                           ".tiff", ".tf2", ".tf8",  ".btf"};
  return known.contains(lower(path.extension().string()));
}

// A link that leads nowhere, or to itself, is neither.
bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}
bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

bool has_bowl_layout(const fs::path& folder) {
  return std::ranges::any_of(list_folder(folder),
                             [](const fs::path& entry) { return is_folder(entry / "images"); });
}

struct Search {
  std::vector<fs::path> pictures;
  std::map<std::string, std::size_t> others;  // how many files of which ending were passed over
  std::size_t hidden = 0, folders = 0;        // how many more were passed over
};

void search(const fs::path& folder, bool recursive, Search& found) {
  if (has_bowl_layout(folder)) {
    for (const Sample& sample : scan_bowl(folder, false)) found.pictures.push_back(sample.image);
    return;
  }
  const std::size_t before = found.pictures.size();
  const bool one_sample = is_folder(folder / "images") && is_folder(folder / "masks");
  for (const fs::path& entry : list_folder(folder, &found.hidden)) {
    if (StopOnSignal::signal()) return;
    if (is_file(entry)) {
      if (is_picture(entry)) {
        found.pictures.push_back(entry);
      } else {
        ++found.others[entry.has_extension() ? lower(entry.extension().string()) : "without an ending"];
      }
    } else if (recursive && !one_sample && is_folder(entry) && !fs::is_symlink(entry) &&
               !is_file(entry / "finished.jsonl")) {
      search(entry, recursive, found);
    } else if (!is_folder(entry)) {
      ++found.others["neither file nor folder"];  // a pipe, a device, a link that leads nowhere
    } else {
      found.folders += !one_sample;
    }
  }
  if (found.pictures.size() == before && is_folder(folder / "images") && (one_sample || !recursive))
    search(folder / "images", false, found);
}

/// "3 files that are no PNG, JPEG, BMP or TIFF (2 .czi, 1 .lif)".
std::string listed(const std::map<std::string, std::size_t>& others) {
  std::size_t total = 0;
  std::string endings;
  for (const auto& [ending, count] : others) {
    total += count;
    endings += (endings.empty() ? "" : ", ") + std::to_string(count) + " " + ending;
  }
  return counted(total, "file") + " not PNG, JPEG, BMP or TIFF (" + endings + ")";
}

constexpr const char* export_name = "images among them can be exported as TIFF or PNG, in Fiji for example";

/// What was passed over, or nothing.
std::string passed_over(const Search& found, bool recursive) {
  std::vector<std::string> parts;
  if (!found.others.empty()) parts.push_back(listed(found.others));
  if (found.hidden > 0) parts.push_back(counted(found.hidden, "hidden or system file"));
  if (found.folders > 0)
    parts.push_back(counted(found.folders, "folder") + (recursive ? "" : " (searched with --recursive)"));
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "passed over " : ", ") + part;
  return text + (found.others.empty() ? "" : std::string("; ") + export_name);
}

std::vector<fs::path> pictures_in(const fs::path& input, bool recursive, std::vector<std::string>& notes) {
  std::error_code error;
  if (!fs::exists(input, error)) throw Failure(input.string() + ": no such file or folder");
  if (!is_folder(input)) {
    if (!is_file(input))
      throw Failure(input.string() + ": expected a file or a folder, this is a pipe or a device");
    return {input};
  }
  Search found;
  search(input, recursive, found);
  if (found.pictures.empty() && !StopOnSignal::signal())
    throw Failure(input.string() + ": no images here; expected PNG, JPEG, BMP or TIFF files" +
                  (recursive ? "" : " (folders inside are searched with --recursive)") +
                  ", or the Data Science Bowl layout" +
                  (found.others.empty() ? "" : "; there are " + listed(found.others) + "; " + export_name));
  if (const std::string text = passed_over(found, recursive); !text.empty())
    notes.push_back(input.string() + ": " + text);
  return std::move(found.pictures);
}

void add_pages(std::vector<Job>& jobs, const fs::path& file, const std::string& below,
               std::optional<int> page) {
  if (page != 0) return jobs.push_back({file, below, page, page.value_or(1) > 1});
  int pages = 1;
  try {
    pages = page_count(file);
  } catch (const Failure&) {
    // It will be reported when its turn comes.
  }
  for (int i = 1; i <= pages; ++i) jobs.push_back({file, below, i, pages > 1});
}

}  // namespace

std::string place_of(const fs::path& file) { return fs::absolute(file).lexically_normal().string(); }

Jobs list_jobs(const std::vector<fs::path>& inputs, std::optional<int> page, bool recursive) {
  Jobs all;
  std::set<std::string> places;
  std::vector<std::string> twice;
  for (const fs::path& input : inputs) {
    const bool folder = is_folder(input);
    for (const fs::path& file : pictures_in(input, recursive, all.notes)) {
      if (StopOnSignal::signal()) return all;
      if (!places.insert(place_of(file)).second) {
        twice.push_back(file.string());
        continue;
      }
      const fs::path below = folder ? file.lexically_relative(input) : file.filename();
      add_pages(all.jobs, file, below.generic_string(), page);
    }
  }
  if (!twice.empty())
    all.notes.push_back(twice.front() +
                        (twice.size() > 1 ? " and " + std::to_string(twice.size() - 1) + " more" : "") +
                        ": given twice, taken once");
  return all;
}

}  // namespace nuclei
