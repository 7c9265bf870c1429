#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <optional>

#include <karyon/core/atomic_file.h>
#include <karyon/core/check.h>

#include "temp_folder.h"

using Catch::Contains;
using karyon::AtomicFile;
using karyon::remove_stale_files;
using karyon::test::read_file;
using karyon::test::TempFolder;
using karyon::test::write_file;

namespace fs = std::filesystem;

namespace {

void write_text(const fs::path& path, const std::string& text) {
  AtomicFile file(path);
  file.write(text.data(), text.size());
  file.commit();
}

// A process that is killed while it writes the file.
void killed_writer(const fs::path& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    AtomicFile file(path);
    file.write("half", 4);
    ::raise(SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
}

}  // namespace

TEST_CASE("atomic file: what a killed writer left is in nobody's way, and is removed") {
  const TempFolder folder;
  for (int i = 0; i < 3; ++i) {
    killed_writer(folder / "a.txt");
    CHECK(folder.entry_count() == (i == 0 ? 1 : 2));
    write_text(folder / "a.txt", "whole");
    CHECK(folder.entry_count() == 1);
    CHECK(read_file(folder / "a.txt") == "whole");
  }
}

TEST_CASE("atomic file: writers of the same file at the same time do not meet") {
  const TempFolder folder;
  std::optional<AtomicFile> first(std::in_place, folder / "a.txt");
  first->write("first", 5);
  write_text(folder / "a.txt", "second");
  CHECK(read_file(folder / "a.txt") == "second");
  AtomicFile third(folder / "a.txt");
  remove_stale_files(folder.path());
  first->commit();
  CHECK(read_file(folder / "a.txt") == "first");
  third.write("third", 5);
  third.commit();
  CHECK(read_file(folder / "a.txt") == "third");
  CHECK(folder.entry_count() == 1);
}

TEST_CASE("atomic file: only files that killed writers left are removed") {
  const TempFolder folder;
  killed_writer(folder / "gone.txt");
  AtomicFile live(folder / "live.txt");
  write_file(folder / "mine.tmp", "1");
  write_file(folder / "gone.txt.karyon-.tmp", "2");
  write_file(folder / "gone.txt.karyon-x.tmp", "3");
  write_file(folder / ".karyon-0.tmp", "4");
  fs::create_directory(folder / "folder.karyon-0.tmp");
  fs::create_symlink("mine.tmp", folder / "link.karyon-0.tmp");
  REQUIRE(::mkfifo((folder / "pipe.karyon-0.tmp").c_str(), 0600) == 0);
  const std::ptrdiff_t before = folder.entry_count();
  remove_stale_files(folder.path());
  CHECK(folder.entry_count() == before - 1);
  CHECK_FALSE(fs::exists(folder / "gone.txt.karyon-0.tmp"));
  live.commit();
  CHECK(fs::exists(folder / "live.txt"));
  remove_stale_files(folder / "nowhere");
}

TEST_CASE("atomic file: names that leave no room for an ending") {
  const TempFolder folder;
  const std::string longest(255, 'n');
  write_text(folder / longest, "text");
  CHECK(read_file(folder / longest) == "text");
  CHECK(folder.entry_count() == 1);
}

TEST_CASE(
    "atomic file: a folder that was cleared meanwhile is an Error, and other writers keep their files") {
  const TempFolder folder;
  const fs::path run = folder / "run";
  fs::create_directory(run);
  std::optional<AtomicFile> first(std::in_place, run / "a.txt");
  fs::remove_all(run);
  CHECK_THROWS_WITH(first->commit(), Contains("a.txt") && Contains("No such file"));
  fs::create_directory(run);
  AtomicFile second(run / "a.txt");
  second.write("second", 6);
  CHECK_THROWS_WITH(first->commit(), Contains("a.txt"));
  first.reset();
  second.commit();
  CHECK(read_file(run / "a.txt") == "second");
}
