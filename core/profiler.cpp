#include <algorithm>
#include <cstdio>
#include <map>
#include <mutex>
#include <sstream>

#include <nlohmann/json.hpp>

#include <karyon/core/atomic_file.h>
#include <karyon/core/check.h>
#include <karyon/core/kernels/profiled_call.h>
#include <karyon/core/profiler.h>

namespace karyon {
namespace {

using Clock = std::chrono::steady_clock;

// Guards all below.
std::mutex mutex;
std::vector<ProfileEvent>* recording = nullptr;  // null: nothing records
Clock::time_point start;
int recordings = 0, threads = 0;

thread_local bool in_backward = false;
thread_local int thread_number = 0, numbered_in = 0;  // of the recording with that number

double microseconds(Clock::duration time) { return std::chrono::duration<double, std::micro>(time).count(); }

// Keeps an event that ends now.
void add(ProfileEvent event, Clock::time_point begin) {
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex);
  if (recording == nullptr || begin < start) return;
  if (numbered_in != recordings) {
    numbered_in = recordings;
    thread_number = threads++;
  }
  event.thread = thread_number;
  event.begin = microseconds(begin - start);
  event.duration = microseconds(now - begin);
  event.backward = in_backward;
  recording->push_back(std::move(event));
}

}  // namespace

constinit std::atomic<bool> profiling_is_on{false};

Profiler::Profiler() {
  const std::lock_guard lock(mutex);
  check(recording == nullptr, "Profiler: another one records");
  recording = &events_;
  start = Clock::now();
  ++recordings;
  threads = 0;
  profiling_is_on = true;
}

Profiler::~Profiler() { stop(); }

void Profiler::stop() {
  const std::lock_guard lock(mutex);
  if (recording != &events_) return;
  profiling_is_on = false;
  recording = nullptr;
}

std::vector<ProfileEvent> Profiler::events() const {
  const std::lock_guard lock(mutex);
  return events_;
}

std::string Profiler::table(std::size_t rows) const {
  struct Row {
    std::string name;
    std::int64_t calls = 0, bytes = 0;
    double time = 0;
  };
  std::map<std::string, Row> by_name;
  double total = 0;
  for (const ProfileEvent& event : events()) {
    if (event.range) continue;
    Row& row = by_name[event.name];
    row.name = event.name;
    ++row.calls;
    row.bytes += event.bytes;
    row.time += event.duration;
    total += event.duration;
  }
  std::vector<Row> sorted;
  for (const auto& [name, row] : by_name) sorted.push_back(row);
  std::sort(sorted.begin(), sorted.end(), [](const Row& a, const Row& b) { return a.time > b.time; });
  sorted.resize(std::min(rows, sorted.size()));
  std::ostringstream out;
  char line[160];
  const auto print = [&](const auto&... values) {
    std::snprintf(line, sizeof line, values...);
    out << line;
  };
  print("%-36s %8s %10s %6s %10s\n", "operation", "calls", "ms", "%", "MB");
  for (const Row& row : sorted)
    print("%-36.36s %8lld %10.3f %6.1f %10.1f\n", row.name.c_str(), static_cast<long long>(row.calls),
          row.time / 1e3, total > 0 ? 100 * row.time / total : 0.0, static_cast<double>(row.bytes) / 1e6);
  return out.str();
}

void Profiler::save_chrome_trace(const std::filesystem::path& path) const {
  AtomicFile file(path);
  std::string text = R"({"displayTimeUnit":"ms","traceEvents":[)";
  const char* separator = "\n";
  for (const ProfileEvent& event : events()) {
    nlohmann::json json{{"name", event.name},
                        {"cat", event.range      ? event.backward ? "backward range" : "range"
                                : event.backward ? "backward"
                                                 : "forward"},
                        {"ph", "X"},
                        {"pid", 1},
                        {"tid", event.thread},
                        {"ts", event.begin},
                        {"dur", event.duration}};
    if (!event.range) json["args"] = {{"tensors", event.tensors}, {"bytes", event.bytes}};
    text += separator + json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    separator = ",\n";
    if (text.size() > 1 << 20) {
      file.write(text.data(), text.size());
      text.clear();
    }
  }
  text += "\n]}\n";
  file.write(text.data(), text.size());
  file.commit();
}

void ProfileRange::begin(std::string_view name, bool backward) {
  name_ = name;
  before_ = in_backward;
  in_backward = in_backward || backward;
  begin_ = Clock::now();
}

void ProfileRange::end() {
  add({.name = std::move(name_), .range = true}, begin_);
  in_backward = before_;
}

ProfiledCall::ProfiledCall(const char* name, const std::vector<const Tensor*>& tensors) : name_(name) {
  std::ostringstream text;
  for (const Tensor* x : tensors) {
    text << (x == tensors.front() ? "" : ", ") << x->dtype() << x->shape();
    bytes_ += x->numel() * static_cast<std::int64_t>(element_size(x->dtype()));
  }
  tensors_ = text.str();
  begin_ = Clock::now();
}

ProfiledCall::~ProfiledCall() {
  add({.name = name_, .tensors = std::move(tensors_), .bytes = bytes_}, begin_);
}

}  // namespace karyon
