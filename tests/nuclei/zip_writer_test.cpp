#include "imageio/zip_writer.h"

#include <catch2/catch.hpp>

#include "temp_folder.h"

using namespace nuclei;
using Catch::Matchers::Contains;
using karyon::test::read_file;
using karyon::test::TempFolder;

TEST_CASE("nuclei: an archive appears whole or not at all", "[nuclei][zip]") {
  const TempFolder folder;
  {
    ZipWriter zip(folder / "a.zip");
    zip.add("x.roi", "hello");
    CHECK_FALSE(std::filesystem::exists(folder / "a.zip"));
    zip.finish();
  }
  const std::string bytes = read_file(folder / "a.zip");
  CHECK(bytes.starts_with("PK\x03\x04"));
  CHECK(bytes.substr(bytes.size() - 22, 4) == "PK\x05\x06");
  { ZipWriter abandoned(folder / "b.zip"); }
  CHECK(folder.entry_count() == 1);
  // More entries than the old directory counts.
  {
    ZipWriter zip(folder / "c.zip");
    for (int i = 0; i < 65536; ++i) zip.add(std::to_string(i), "");
    zip.finish();
  }
  CHECK_THAT(read_file(folder / "c.zip"),
             Contains(std::string("PK\x06\x06")) && Contains(std::string("PK\x06\x07")));
}
