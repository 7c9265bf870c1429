#include "output/finished.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "imageio/atomic_file.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string line_of(const Finished::Entry& e) {
  const Json line = {{"image", e.key},
                     {"name", e.name},
                     {"nuclei", e.nuclei},
                     {"table_bytes", e.table_bytes},
                     {"bowl_bytes", e.bowl_bytes}};
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Finished::Finished(const fs::path& out, const std::string& settings, bool resume,
                   const std::function<bool(const std::string&)>& is_there)
    : out_(out), header_(Json{{"settings", settings}}.dump() + "\n") {
  const fs::path path = out / "finished.jsonl";
  const bool there = resume && fs::exists(path);
  if (there) {
    load(settings);
    take_back(is_there);
    write_file_atomically(path, text());
  }
  for (const Entry& entry : entries_) done_.insert(entry.key);
  file_.emplace(path, header_, there ? text().size() : 0);
}

bool Finished::any(const fs::path& out) {
  std::ifstream file(out / "finished.jsonl", std::ios::binary);
  std::string settings, first;
  return std::getline(file, settings) && std::getline(file, first) && !file.eof();
}

void Finished::add(const Entry& entry) {
  file_->add(line_of(entry));
  entries_.push_back(entry);
  done_.insert(entry.key);
}

/// Reads up to the last whole line.
void Finished::load(const std::string& settings) {
  std::ifstream file(out_ / "finished.jsonl", std::ios::binary);
  bool first = true;
  for (std::string line; std::getline(file, line) && !file.eof(); first = false) {
    const Json entry = Json::parse(line, nullptr, false);
    if (entry.is_discarded()) return;
    if (!first) {
      entries_.push_back({entry.at("image"), entry.at("name"), entry.at("nuclei"), entry.at("table_bytes"),
                          entry.at("bowl_bytes")});
    } else if (entry.value("settings", "") != settings) {
      throw Failure("continuing " + out_.string() +
                    ": it was begun with another model or other options; give the same ones, or start over "
                    "with --overwrite instead of --continue");
    }
  }
}

std::string Finished::text() const {
  std::string all = header_;
  for (const Entry& entry : entries_) all += line_of(entry);
  return all;
}

void Finished::take_back(const std::function<bool(const std::string&)>& is_there) {
  std::vector<bool> keep;
  for (const Entry& entry : entries_) keep.push_back(is_there(entry.name));
  const auto first = static_cast<std::size_t>(std::ranges::find(keep, false) - keep.begin());
  if (first == keep.size()) return;
  const std::vector<Entry> old = std::exchange(entries_, {});
  gone_ = static_cast<std::size_t>(std::ranges::count(keep, false));
  entries_.assign(old.begin(), old.begin() + static_cast<std::ptrdiff_t>(first));
  // Up to here the shared files stay as they are: if this is cut off, they and the list still agree.
  write_file_atomically(out_ / "finished.jsonl", text());
  for (std::size_t i = first; i < old.size(); ++i)
    if (keep[i]) entries_.push_back(old[i]);
  if (entries_.empty()) return;  // the shared files begin anew
  for (const auto& [name, bytes] :
       {std::pair("nuclei.csv", &Entry::table_bytes), {"bowl.csv", &Entry::bowl_bytes}}) {
    if (old.back().*bytes == 0) continue;
    const std::string rows = read_if_there(out_ / name);
    if (rows.size() < old.back().*bytes)
      throw Failure("continuing " + (out_ / name).string() + ": expected at least " +
                    std::to_string(old.back().*bytes) + " bytes, it has " + std::to_string(rows.size()) +
                    "; start over with --overwrite");
    const auto begin = [&](std::size_t i) { return i > 0 ? old[i - 1].*bytes : rows.find('\n') + 1; };
    std::string kept = rows.substr(0, begin(first));
    for (std::size_t i = first, at = first; i < old.size(); ++i) {
      if (!keep[i]) continue;
      kept += rows.substr(begin(i), old[i].*bytes - begin(i));
      entries_[at++].*bytes = kept.size();
    }
    write_file_atomically(out_ / name, kept);
  }
}

}  // namespace nuclei
