#include "common/progress.h"

#include <pty.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <memory>
#include <string>

using namespace nuclei;
using Catch::Matchers::Contains;

namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

std::string contents(std::FILE* file) {
  std::rewind(file);
  std::string text;
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
  return text;
}

}  // namespace

TEST_CASE("nuclei: durations read well", "[nuclei][progress]") {
  CHECK(format_duration(0) == "0s");
  CHECK(format_duration(59.6) == "1m 0s");
  CHECK(format_duration(80) == "1m 20s");
  CHECK(format_duration(7500) == "2h 5m");
  CHECK(format_duration(3 * 86400 + 4 * 3600) == "3d 4h");
  CHECK(format_duration(-1) == "?");
  CHECK(format_duration(1e300) == "11574d 1h");
}

TEST_CASE("nuclei: a log file gets few plain lines", "[nuclei][progress]") {
  const File file(std::tmpfile());
  REQUIRE(file);
  {
    Progress progress("training", 1000, file.get());
    for (int i = 1; i <= 1000; ++i) progress.update(i, "loss 0.5");
    progress.finish();
    progress.finish();
    progress.update(1, "too late");
  }
  const std::string text = contents(file.get());
  CHECK_THAT(text, Contains("training 1000/1000") && Contains("loss 0.5"));
  CHECK_THAT(text, !Contains("\r") && !Contains("\x1b") && !Contains("late"));
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
}

TEST_CASE("nuclei: a task left early or without steps still ends its line", "[nuclei][progress]") {
  const File file(std::tmpfile());
  REQUIRE(file);
  { Progress(std::string("empty"), 0, file.get()); }
  {
    Progress progress("broken", 10, file.get());
    progress.update(99);
  }
  CHECK_THAT(contents(file.get()), Contains("empty 0/0") && Contains("broken 10/10"));
}

TEST_CASE("nuclei: a log has lines of text without blank ones between, and a share where asked",
          "[nuclei][progress]") {
  const File file(std::tmpfile());
  REQUIRE(file);
  {
    Progress progress("finding", 100, file.get(), Progress::Show::percent);
    progress.say("skipped: a");
    progress.update(63, "x");
  }
  CHECK_THAT(contents(file.get()), Catch::Matchers::Matches("skipped: a\nfinding 63 %  [^\n]*x\n"));
}

TEST_CASE("nuclei: a terminal has a bar that fits in its line", "[nuclei][progress]") {
  int screen = -1, terminal = -1;
  winsize size{.ws_row = 5, .ws_col = 50, .ws_xpixel = 0, .ws_ypixel = 0};
  REQUIRE(::openpty(&screen, &terminal, nullptr, nullptr, &size) == 0);
  {
    const File file(::fdopen(terminal, "w"));
    Progress progress("finding", 4, file.get());
    progress.update(2, std::string(100, 'x'));
    progress.say("skipped: a");
    progress.finish();
  }
  std::array<char, 4096> buffer{};
  std::string text;
  for (ssize_t n; (n = ::read(screen, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(n));
  ::close(screen);
  CHECK_THAT(text, Contains("finding [                        ] 0/4"));
  CHECK_THAT(text, Contains("\r\x1b[Kskipped: a\r\n"));
  const std::string half = "finding [============            ] 2/4";
  REQUIRE_THAT(text, Contains(half));
  // The escape that erases the rest follows the last column but one.
  const std::size_t at = text.find(half);
  CHECK(text.find("\x1b[K", at) - at == 49);
  CHECK(text.ends_with("\x1b[K\r\n"));
}
