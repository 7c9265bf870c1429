#include <catch2/catch.hpp>
#include <fstream>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "output/finished.h"
#include "output/parts.h"
#include "output/results.h"
#include "temp_folder.h"

using namespace nuclei;
namespace fs = std::filesystem;

namespace {

const std::string header = "image,area\n";

std::string settings_text(const std::string& model = "a") {
  nlohmann::ordered_json settings{{"model", model}};
  to_json(settings, ResultOptions());
  return settings.dump();
}

/// What a rank leaves: a row for each of its pictures, and one that it has begun.
void write_part(const fs::path& out, int rank, const std::vector<std::string>& pictures,
                const std::string& settings = settings_text()) {
  const fs::path folder = part_folder(out, rank);
  fs::create_directories(folder);
  Finished list(folder, settings, false, [](const std::string&) { return true; });
  GrowingFile table(folder / shared_files[0], header, 0);
  for (const std::string& picture : pictures) {
    table.add(picture + "," + std::to_string(rank) + "\n");
    list.add({"key of " + picture, picture, 1, {table.size(), 0, 0}});
  }
  list.begin("begun-" + std::to_string(rank));
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> names_in(const fs::path& out) {
  std::vector<std::string> names;
  const auto list = Finished::earlier(out);
  REQUIRE(list);
  for (const Finished::Entry& entry : list->entries) names.push_back(entry.name);
  return names;
}

}  // namespace

TEST_CASE("parts: tables of several ranks become one, in the order of pictures") {
  const karyon::test::TempFolder folder;
  const fs::path out = folder.path();
  write_part(out, 0, {"p", "r"});
  write_part(out, 1, {"q", "s", "t"});
  write_part(out, 2, {});
  fs::create_directories(part_folder(out, 3));  // of a rank that had nothing to do
  fs::create_directories(out / "labels");
  std::ofstream(out / "labels" / "begun-1.png") << "half of a picture";
  CHECK(has_parts(out));
  join_parts(out, {"key of p", "key of q", "key of r", "key of s"});
  CHECK_FALSE(has_parts(out));
  CHECK(text_of(out / shared_files[0]) == header + "p,0\nq,1\nr,0\ns,1\nt,1\n");
  CHECK(names_in(out) == std::vector<std::string>{"p", "q", "r", "s", "t"});
  CHECK_FALSE(fs::exists(out / "labels" / "begun-1.png"));
  CHECK_FALSE(fs::exists(out / shared_files[1]));
  // A later job adds to it.
  write_part(out, 0, {"u"});
  join_parts(out, {});
  CHECK(text_of(out / shared_files[0]) == header + "p,0\nq,1\nr,0\ns,1\nt,1\nu,0\n");
}

TEST_CASE("parts: a join that was cut off is continued") {
  const karyon::test::TempFolder folder;
  const fs::path out = folder.path();
  write_part(out, 0, {"p", "r"});
  join_parts(out, {});
  write_part(out, 0, {"p", "r"});  // the parts were not removed yet
  write_part(out, 1, {"q"});
  std::ofstream(out / shared_files[0], std::ios::app) << "q,";  // and a row was cut
  join_parts(out, {"key of p", "key of q", "key of r"});
  CHECK(text_of(out / shared_files[0]) == header + "p,0\nr,0\nq,1\n");
  CHECK(names_in(out) == std::vector<std::string>{"p", "r", "q"});
}

TEST_CASE("parts: those of two runs, and tables that were cut, are refused") {
  const karyon::test::TempFolder folder;
  const fs::path out = folder.path();
  write_part(out, 0, {"p"});
  write_part(out, 1, {"q"}, settings_text("b"));
  CHECK_THROWS_WITH(join_parts(out, {}), Catch::Contains("is of another run than"));
  fs::remove_all(part_folder(out, 1));
  fs::resize_file(part_folder(out, 0) / shared_files[0], header.size() + 1);
  CHECK_THROWS_WITH(join_parts(out, {}), Catch::Contains("expected at least 15 bytes, it has 12"));
}
