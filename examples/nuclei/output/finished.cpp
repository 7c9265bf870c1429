#include "output/finished.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/text.h"
#include "imageio/atomic_file.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char *list_file = "finished.jsonl", *begun_file = "unfinished";
constexpr std::array byte_keys{"table_bytes", "images_bytes", "bowl_bytes"};  // of shared_files
static_assert(byte_keys.size() == shared_files.size());

std::string line_of(const Finished::Entry& e) {
  Json line = {{"image", to_utf8(e.key)}, {"name", to_utf8(e.name)}, {"nuclei", e.nuclei}};
  for (std::size_t i = 0; i < byte_keys.size(); ++i) line[byte_keys[i]] = e.bytes[i];
  return line.dump() + "\n";
}

/// Nothing where the line is no complete picture.
std::optional<Finished::Entry> entry_of(const Json& line) try {
  Finished::Entry entry{from_utf8(line.at("image").get<std::string>()),
                        from_utf8(line.at("name").get<std::string>()),
                        line.at("nuclei"),
                        {}};
  for (std::size_t i = 0; i < byte_keys.size(); ++i)
    entry.bytes[i] = line.value(byte_keys[i], std::uint64_t{0});
  return entry;
} catch (const Json::exception&) {
  return {};
}

/// Nothing where the list's first line has no settings.
std::optional<std::string> settings_of(const Json& line) try {
  return line.at("settings").get<std::string>();
} catch (const Json::exception&) {
  return {};
}

/// Names of results come from a file, and paths are made of them.
bool is_a_name(const std::string& name) {
  return !name.empty() && fs::path(name).filename() == name && name != "." && name != "..";
}

/// Nothing is read where the path is a pipe, which might never end.
std::ifstream open_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) ? std::ifstream(path, std::ios::binary) : std::ifstream();
}

/// The next whole line. A run that was cut off may have left a part of one.
bool next_line(std::ifstream& file, std::string& line) { return std::getline(file, line) && !file.eof(); }

/// The picture that a killed run was working on, or an empty name. Names may hold line breaks.
std::string begun_name(const fs::path& out) {
  std::ifstream file = open_file(out / begun_file);
  std::string name{std::istreambuf_iterator<char>(file), {}};
  if (!name.ends_with('\n')) return {};
  name.pop_back();
  return is_a_name(name) ? name : "";
}

/// A line's content; nothing where it is no JSON, as a run that was cut off leaves it.
std::optional<Json> parsed(const std::string& line) {
  constexpr std::size_t longest = 1 << 16;  // several times what paths may have
  if (line.size() > longest) return {};
  Json json = Json::parse(line, nullptr, false);
  if (json.is_discarded()) return {};
  return json;
}

}  // namespace

Finished::Finished(const fs::path& out, const std::string& settings, bool resume,
                   const std::function<bool(const std::string&)>& is_there)
    : out_(out), header_(Json{{"settings", settings}}.dump() + "\n") {
  const fs::path path = out / list_file;
  if (resume && fs::exists(path)) {
    load(settings);
    take_back(is_there);
  }
  // The list is whole from its first byte on, so that any run can be continued.
  write_file_atomically(path, text());
  for (const Entry& entry : entries_) done_.insert(entry.key);
  file_.emplace(path, header_, text().size());
}

bool Finished::any(const fs::path& out) {
  std::ifstream file = open_file(out / list_file);
  std::string settings, first;
  return next_line(file, settings) && next_line(file, first);
}

std::optional<Finished::Earlier> Finished::earlier(const fs::path& out) {
  std::ifstream file = open_file(out / list_file);
  std::string line;
  if (!std::getline(file, line)) return {};
  const std::optional<std::string> settings = settings_of(parsed(line).value_or(Json()));
  if (!settings) return {};
  Earlier run{.settings = *settings, .entries = {}, .begun = begun_name(out)};
  while (next_line(file, line)) {
    std::optional<Entry> entry = entry_of(parsed(line).value_or(Json()));
    if (!entry) break;
    if (is_a_name(entry->name)) run.entries.push_back(std::move(*entry));
  }
  if (std::ranges::find(run.entries, run.begun, &Entry::name) != run.entries.end()) run.begun.clear();
  return run;
}

void Finished::begin(const std::string& name) const { std::ofstream(out_ / begun_file) << name << '\n'; }

void Finished::end() const {
  std::error_code ignored;
  fs::remove(out_ / begun_file, ignored);
}

void Finished::check() const { file_->check(); }

void Finished::add(const Entry& entry) {
  file_->add(line_of(entry));
  entries_.push_back(entry);
  done_.insert(entry.key);
}

/// Reads up to the last whole line.
void Finished::load(const std::string& settings) {
  std::ifstream file = open_file(out_ / list_file);
  std::string line;
  for (bool first = true; next_line(file, line); first = false) {
    const std::optional<Json> json = parsed(line);
    if (!json) return;
    if (!first) {
      const std::optional<Entry> entry = entry_of(*json);
      if (!entry) damaged();
      add_loaded(*entry);
    } else if (settings_of(*json) != settings) {
      throw Failure("continuing " + out_.string() +
                    ": it was begun with another model or other options; give the same ones, or start over "
                    "with --overwrite instead of --continue");
    }
  }
}

void Finished::add_loaded(const Entry& entry) {
  const SharedBytes before = bytes();
  for (std::size_t i = 0; i < before.size(); ++i)
    if (entry.bytes[i] < before[i] || !std::in_range<std::int64_t>(entry.bytes[i])) damaged();
  if (!is_a_name(entry.name)) damaged();
  entries_.push_back(entry);
}

void Finished::damaged() const {
  throw Failure("continuing " + (out_ / list_file).string() + ": damaged: line " +
                std::to_string(entries_.size() + 2) +
                " is no picture that was finished; start over with --overwrite instead of --continue");
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
  write_file_atomically(out_ / list_file, text());
  for (std::size_t i = first; i < old.size(); ++i)
    if (keep[i]) entries_.push_back(old[i]);
  if (entries_.empty()) return;  // the shared files begin anew
  for (std::size_t f = 0; f < shared_files.size(); ++f) {
    const fs::path path = out_ / shared_files[f];
    const std::uint64_t length = old.back().bytes[f];
    if (length == 0) continue;
    const std::string rows = read_if_there(path);
    if (rows.size() < length)
      throw Failure("continuing " + path.string() + ": expected at least " + std::to_string(length) +
                    " bytes, it has " + std::to_string(rows.size()) + "; start over with --overwrite");
    const auto begin = [&](std::size_t i) { return i > 0 ? old[i - 1].bytes[f] : rows.find('\n') + 1; };
    std::string kept = rows.substr(0, begin(first));
    for (std::size_t i = first, at = first; i < old.size(); ++i) {
      if (!keep[i]) continue;
      kept += rows.substr(begin(i), old[i].bytes[f] - begin(i));
      entries_[at++].bytes[f] = kept.size();
    }
    write_file_atomically(path, kept);
  }
}

}  // namespace nuclei
