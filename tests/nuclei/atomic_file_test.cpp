#include "imageio/atomic_file.h"

#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <csignal>

#include "common/error.h"
#include "temp_folder.h"

using namespace nuclei;
using Catch::Matchers::Contains;
using karyon::test::read_file;
using karyon::test::TempFolder;

TEST_CASE("nuclei: a file is replaced as a whole", "[nuclei][atomic_file]") {
  const TempFolder folder;
  write_file_atomically(folder / "a.txt", "first and longer");
  write_file_atomically(folder / "a.txt", "second");
  CHECK(read_file(folder / "a.txt") == "second");
  write_file_atomically(folder / "a.txt", "");
  CHECK(read_file(folder / "a.txt").empty());
  CHECK(folder.entry_count() == 1);
}

TEST_CASE("nuclei: a symbolic link stays, its file is replaced", "[nuclei][atomic_file]") {
  const TempFolder folder;
  write_file_atomically(folder / "real.txt", "old");
  std::filesystem::create_symlink(folder / "real.txt", folder / "link.txt");
  write_file_atomically(folder / "link.txt", "new");
  CHECK(std::filesystem::is_symlink(folder / "link.txt"));
  CHECK(read_file(folder / "real.txt") == "new");
}

TEST_CASE("nuclei: a full device is reported", "[nuclei][atomic_file]") {
  CHECK_THROWS_WITH(write_file_atomically("/dev/full", "text"),
                    Contains("/dev/full") && Contains("No space left") && Contains("free some"));
  CHECK_NOTHROW(write_file_atomically("/dev/null", "text"));
}

TEST_CASE("nuclei: targets that cannot be written are reported", "[nuclei][atomic_file]") {
  const TempFolder folder;
  CHECK_THROWS_WITH(write_file_atomically(folder / "none/a.txt", "text"),
                    Contains("none/a.txt") && Contains("create the folder"));
  CHECK_THROWS_WITH(write_file_atomically(folder.path(), "text"), Contains("directory"));
  CHECK(folder.entry_count() == 0);
}

TEST_CASE("nuclei: a write that fails half-way leaves the old file and nothing else",
          "[nuclei][atomic_file]") {
  const TempFolder folder;
  write_file_atomically(folder / "a.txt", "precious");
  // A file size limit makes the kernel take the first part of the text and refuse the rest.
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{4096, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &tight) == 0);
  std::string message;
  try {
    write_file_atomically(folder / "a.txt", std::string(100000, 'x'));
  } catch (const Failure& failure) {
    message = failure.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  CHECK_THAT(message, Contains("File too large"));
  CHECK(read_file(folder / "a.txt") == "precious");
  CHECK(folder.entry_count() == 1);
}

TEST_CASE("nuclei: what is no file is not read", "[nuclei][atomic_file]") {
  const TempFolder folder;
  CHECK_THROWS_WITH(read_if_there(folder.path()), Contains("expected a file, this is a folder"));
  CHECK(read_if_there(folder / "none").empty());
}
