#include "common/progress.h"

#include <algorithm>
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
