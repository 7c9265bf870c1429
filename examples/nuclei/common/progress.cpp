#include "common/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include "common/text.h"

namespace nuclei {
namespace {

using std::chrono::duration;

constexpr duration<double> terminal_interval{0.1}, plain_interval{10.0};
constexpr std::size_t bar_width = 24;

std::size_t columns(std::FILE* terminal) {
  winsize size{};
  if (ioctl(fileno(terminal), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

std::string format_duration(double seconds) {
  if (!(seconds >= 0)) return "?";
  constexpr double longest = 1e9;
  const auto s = static_cast<std::int64_t>(std::llround(std::min(seconds, longest)));
  const auto pair = [](std::int64_t large, const char* large_unit, std::int64_t small,
                       const char* small_unit) {
    return std::to_string(large) + large_unit + " " + std::to_string(small) + small_unit;
  };
  if (s < 60) return std::to_string(s) + "s";
  if (s < 3600) return pair(s / 60, "m", s % 60, "s");
  if (s < 86400) return pair(s / 3600, "h", s % 3600 / 60, "m");
  return pair(s / 86400, "d", s % 86400 / 3600, "h");
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Progress::Progress(std::string label, std::int64_t total, std::FILE* out, Show show)
    : label_(std::move(label)),
      total_(std::max<std::int64_t>(total, 0)),
      out_(out),
      show_(show),
      terminal_(show != Show::nothing && isatty(fileno(out)) != 0),
      start_(Clock::now()),
      last_drawn_(start_) {
  if (terminal_) draw(start_);
}

void Progress::update(std::int64_t done, std::string_view extra) {
  if (finished_) return;
  done_ = std::clamp<std::int64_t>(done, 0, total_);
  extra_ = extra;
  const Clock::time_point now = Clock::now();
  if (now - last_drawn_ >= (terminal_ ? terminal_interval : plain_interval)) draw(now);
}

void Progress::say(std::string_view text) {
  std::fprintf(out_, "%s%s\n", terminal_ ? "\r\x1b[K" : "", printable(text).c_str());
  if (terminal_ && !finished_) draw(Clock::now());
}

Progress::~Progress() {
  try {
    finish();
  } catch (const std::exception&) {
    // The bar alone is lost.
  }
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  if (terminal_ || drawn_ != done_) draw(Clock::now());
  if (terminal_) std::fputc('\n', out_);
  std::fflush(out_);
}

void Progress::draw(Clock::time_point now) {
  last_drawn_ = now;
  drawn_ = done_;
  if (show_ == Show::nothing) return;
  const double elapsed = duration<double>(now - start_).count();
  const double share = total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 1.0;
  std::string line = label_ + " ";
  if (terminal_) {
    const auto filled = static_cast<std::size_t>(share * static_cast<double>(bar_width));
    line += "[" + std::string(filled, '=') + std::string(bar_width - filled, ' ') + "] ";
  }
  line += show_ == Show::percent ? percent(share, 0) : std::to_string(done_) + "/" + std::to_string(total_);
  if (done_ == total_ || finished_) {
    line += "  " + format_duration(elapsed);
  } else if (done_ > 0) {
    line += "  " + format_duration(elapsed * (1 - share) / share) + " left";
  }
  if (!extra_.empty()) line += "  " + printable(extra_);
  if (terminal_) {
    // A line that wraps could not be overwritten; the escape erases what a longer one left behind.
    line.resize(std::min(line.size(), columns(out_) - 1));
    std::fprintf(out_, "\r%s\x1b[K", line.c_str());
  } else {
    std::fprintf(out_, "%s\n", line.c_str());
  }
  std::fflush(out_);
}

}  // namespace nuclei
