#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include <karyon/core/random.h>

#include "common/error.h"
#include "dataset/bowl_layout.h"
#include "dataset/diagnosis.h"
#include "dataset/synthetic.h"
#include "imageio/label_image.h"
#include "temp_folder.h"

using namespace nuclei;
namespace fs = std::filesystem;
using Catch::Contains;
using karyon::test::read_file;
using karyon::test::TempFolder;
using karyon::test::write_file;

namespace {

constexpr int side = 64;

using Pixels = std::vector<std::uint8_t>;

Pixels disc(int cx, int cy, int radius, std::uint8_t value = 255) {
  Pixels pixels(side * side);
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      if ((x - cx) * (x - cx) + (y - cy) * (y - cy) <= radius * radius)
        pixels[static_cast<std::size_t>(y * side + x)] = value;
    }
  }
  return pixels;
}

Pixels max_of(Pixels a, const Pixels& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = std::max(a[i], b[i]);
  return a;
}

/// Four large nuclei, which the frame cuts.
Pixels corners(std::uint8_t value) {
  Pixels all(side * side);
  for (int k = 0; k < 4; ++k) all = max_of(all, disc(k % 2 * (side - 1), k / 2 * (side - 1), 24, value));
  return all;
}

void write_grey(const fs::path& file, const Pixels& pixels, int width = side, int height = side) {
  fs::create_directories(file.parent_path());
  write_png8(file, {width, height, 1, pixels});
}

/// A sound set of six images with three bright nuclei each, no two alike.
struct Sound {
  TempFolder root;

  Sound() {
    for (int i = 0; i < 6; ++i) add("id" + std::to_string(i), static_cast<std::uint64_t>(i));
  }
  void add(const std::string& id, std::uint64_t seed) {
    karyon::Generator random(100 + seed);
    Pixels picture(side * side);
    for (auto& value : picture) value = static_cast<std::uint8_t>(10 + random.below(6));
    for (int k = 0; k < 3; ++k) {
      const Pixels nucleus = disc(10 + static_cast<int>(random.below(44)), 10 + 21 * k,
                                  4 + static_cast<int>(random.below(4)), 200);
      picture = max_of(picture, nucleus);
      Pixels mask = nucleus;
      for (auto& value : mask) value = value > 0 ? 255 : 0;
      write_grey(mask_file(id, k), mask);
    }
    write_grey(image_file(id), picture);
  }
  fs::path image_file(const std::string& id) const { return root / id / "images" / (id + ".png"); }
  fs::path mask_file(const std::string& id, int k) const {
    return root / id / "masks" / ("mask" + std::to_string(k) + ".png");
  }
  void remove_masks(const std::string& id) const {
    fs::remove_all(root / id / "masks");
    fs::create_directories(root / id / "masks");
  }
  Pixels pixels_of(const fs::path& file) const {
    const LabelImage labels = read_label_image(file);
    return {labels.begin(), labels.end()};
  }
  std::multiset<std::string> found() const {
    std::multiset<std::string> keys;
    for (const Finding& finding : diagnose(root.path()).findings) {
      UNSCOPED_INFO(finding.fault->key << " " << finding.file << ": " << finding.what);
      keys.insert(finding.fault->key);
    }
    return keys;
  }
};

using Keys = std::multiset<std::string>;

// Each plants one fault into a sound set. The name starts with the fault's key.
struct Planted {
  const char* name;
  void (*plant)(Sound&);

  std::string key() const { return std::string(name).substr(0, std::string(name).find_first_of(" ,")); }
};

constexpr Planted planted[] = {
    {"no-image", [](Sound& s) { fs::remove(s.image_file("id1")); }},
    {"several-images", [](Sound& s) { fs::copy_file(s.image_file("id0"), s.root / "id1/images/other.png"); }},
    {"no-masks", [](Sound& s) { s.remove_masks("id1"); }},
    {"size-mismatch", [](Sound& s) { write_grey(s.mask_file("id1", 0), Pixels(32 * 32, 255), 32, 32); }},
    {"empty-mask", [](Sound& s) { write_grey(s.mask_file("id1", 3), Pixels(side * side)); }},
    {"inverted-mask",
     [](Sound& s) {
       s.remove_masks("id1");
       Pixels mask = disc(20, 20, 8);
       for (auto& value : mask) value = static_cast<std::uint8_t>(255 - value);
       write_grey(s.mask_file("id1", 0), mask);
     }},
    {"full-mask",
     [](Sound& s) {
       s.remove_masks("id1");
       write_grey(s.mask_file("id1", 0), Pixels(side * side, 255));
     }},
    {"background-mask, nuclei over most of the frame",
     [](Sound& s) {
       s.remove_masks("id1");
       write_grey(s.image_file("id1"), max_of(corners(180), disc(0, 0, 200, 12)));
       Pixels mask = corners(255);
       for (auto& value : mask) value = static_cast<std::uint8_t>(255 - value);
       write_grey(s.mask_file("id1", 0), mask);
     }},
    {"background-mask beside those of nuclei, on a light background",
     [](Sound& s) {
       s.remove_masks("id1");
       Pixels picture = corners(180), rest = corners(255);
       for (auto& value : picture) value = value > 0 ? 60 : 230;
       for (auto& value : rest) value = static_cast<std::uint8_t>(255 - value);
       write_grey(s.image_file("id1"), picture);
       write_grey(s.mask_file("id1", 0), rest);
       for (int k = 0; k < 4; ++k)
         write_grey(s.mask_file("id1", k + 1), disc(k % 2 * (side - 1), k / 2 * (side - 1), 24));
     }},
    {"label-image",
     [](Sound& s) {
       s.remove_masks("id1");
       Pixels labels = disc(20, 20, 8, 1);
       labels = max_of(max_of(labels, disc(40, 20, 8, 2)), disc(20, 45, 6, 3));
       write_grey(s.mask_file("id1", 0), labels);
     }},
    {"all-in-one",
     [](Sound& s) {
       Pixels all(side * side);
       for (int k = 0; k < 3; ++k) all = max_of(all, s.pixels_of(s.mask_file("id1", k)));
       s.remove_masks("id1");
       write_grey(s.mask_file("id1", 0), all);
     }},
    {"several-parts",
     [](Sound& s) {
       const Pixels both = max_of(s.pixels_of(s.mask_file("id1", 0)), s.pixels_of(s.mask_file("id1", 1)));
       fs::remove(s.mask_file("id1", 1));
       write_grey(s.mask_file("id1", 0), both);
     }},
    {"specks",
     [](Sound& s) {
       Pixels mask = s.pixels_of(s.mask_file("id1", 0));
       mask[side * side - 1] = 255;
       write_grey(s.mask_file("id1", 0), mask);
     }},
    {"holes",
     [](Sound& s) {
       Pixels mask = disc(32, 32, 9);
       mask[32 * side + 32] = 0;
       s.remove_masks("id1");
       write_grey(s.mask_file("id1", 0), mask);
       write_grey(s.image_file("id1"), max_of(disc(32, 32, 9, 180), disc(0, 0, 200, 12)));
     }},
    {"identical-masks", [](Sound& s) { fs::copy_file(s.mask_file("id1", 0), s.mask_file("id1", 4)); }},
    {"overlapping-masks",
     [](Sound& s) {
       s.remove_masks("id1");
       write_grey(s.image_file("id1"), max_of(disc(32, 32, 12, 180), disc(0, 0, 200, 12)));
       write_grey(s.mask_file("id1", 0), disc(30, 32, 8));
       write_grey(s.mask_file("id1", 1), disc(36, 32, 8));
     }},
    {"small-overlaps",
     [](Sound& s) {
       s.remove_masks("id1");
       write_grey(s.image_file("id1"),
                  max_of(max_of(disc(20, 32, 8, 180), disc(35, 32, 8, 180)), disc(0, 0, 200, 12)));
       write_grey(s.mask_file("id1", 0), disc(20, 32, 8));
       write_grey(s.mask_file("id1", 1), disc(35, 32, 8));
     }},
    {"dark-mask",
     [](Sound& s) {
       Pixels mask = s.pixels_of(s.mask_file("id1", 0));
       for (auto& value : mask) value = value > 0 ? 1 : 0;
       write_grey(s.mask_file("id1", 0), mask);
     }},
    {"dark-mask in 16 bits",  // read by others as black
     [](Sound& s) {
       std::vector<std::uint16_t> deep;
       for (const auto value : s.pixels_of(s.mask_file("id1", 0))) deep.push_back(value);
       write_png16(s.mask_file("id1", 0), {side, side, 1, deep});
     }},
    {"opaque-mask",
     [](Sound& s) {
       Pixels rgba;
       for (const auto value : s.pixels_of(s.mask_file("id1", 0)))
         for (const std::uint8_t sample : {value, value, value, std::uint8_t{255}}) rgba.push_back(sample);
       write_png8(s.mask_file("id1", 0), {side, side, 4, rgba});
     }},
    {"mask-in-alpha",
     [](Sound& s) {
       Pixels rgba;
       for (const auto value : s.pixels_of(s.mask_file("id1", 0)))
         for (const std::uint8_t sample : {std::uint8_t{255}, std::uint8_t{255}, std::uint8_t{255}, value})
           rgba.push_back(sample);
       write_png8(s.mask_file("id1", 0), {side, side, 4, rgba});
     }},
    {"grey-mask",  // what lossy compression leaves around a nucleus
     [](Sound& s) {
       Pixels mask = s.pixels_of(s.mask_file("id1", 0));
       karyon::Generator random(5);
       for (std::size_t i = 0; i < mask.size(); ++i) {
         const bool near = (i > 0 && mask[i - 1] == 255) || (i + 1 < mask.size() && mask[i + 1] == 255);
         if (mask[i] == 0 && near) mask[i] = static_cast<std::uint8_t>(1 + random.below(100));
       }
       write_grey(s.mask_file("id1", 0), mask);
     }},
    {"duplicate-image",
     [](Sound& s) { fs::copy(s.root / "id1", s.root / "id7", fs::copy_options::recursive); }},
    {"near-duplicate",
     [](Sound& s) {
       fs::copy(s.root / "id1", s.root / "id7", fs::copy_options::recursive);
       Pixels pixels = s.pixels_of(s.image_file("id1"));
       for (std::size_t i = 0; i < pixels.size(); i += 5)
         pixels[i] = static_cast<std::uint8_t>(pixels[i] + 2);
       write_grey(s.root / "id7/images/id1.png", pixels);
     }},
    {"unreadable image, cut short",
     [](Sound& s) {
       const std::string bytes = read_file(s.image_file("id1"));
       write_file(s.image_file("id1"), bytes.substr(0, bytes.size() / 2));
     }},
    {"unreadable mask, empty", [](Sound& s) { write_file(s.mask_file("id1", 0), ""); }},
    {"blank-image", [](Sound& s) { write_grey(s.image_file("id1"), Pixels(side * side, 40)); }},
    {"low-contrast",
     [](Sound& s) {
       Pixels pixels = s.pixels_of(s.image_file("id1"));
       for (auto& value : pixels) value = static_cast<std::uint8_t>(11 + value / 70);
       write_grey(s.image_file("id1"), pixels);
     }},
    {"saturated",
     [](Sound& s) {
       s.remove_masks("id1");
       write_grey(s.image_file("id1"), max_of(disc(32, 32, 12, 255), disc(0, 0, 200, 12)));
       write_grey(s.mask_file("id1", 0), disc(32, 32, 12));
     }},
    {"dark-in-viewers",
     [](Sound& s) {
       std::vector<std::uint16_t> deep;
       for (const auto value : s.pixels_of(s.image_file("id1")))
         deep.push_back(static_cast<std::uint16_t>(value * 16));
       write_png16(s.image_file("id1"), {side, side, 1, deep});
     }},
    {"one-colour",
     [](Sound& s) {
       Pixels blue;
       for (const auto value : s.pixels_of(s.image_file("id1")))
         for (const std::uint8_t sample : {std::uint8_t{0}, std::uint8_t{0}, value}) blue.push_back(sample);
       write_png8(s.image_file("id1"), {side, side, 3, blue});
     }},
    {"ignored-picture", [](Sound& s) { fs::rename(s.mask_file("id1", 0), s.root / "id1/masks/mask0.gif"); }},
    {"ignored-file", [](Sound& s) { write_file(s.root / "id1/masks/notes.txt", "drawn on Monday"); }},
    {"case-only", [](Sound& s) { s.add("ID1", 50); }},
    {"tiny-nuclei", [](Sound& s) { write_grey(s.mask_file("id1", 3), disc(60, 60, 1)); }},
    {"off-target",
     [](Sound& s) {
       s.remove_masks("id1");
       write_grey(s.image_file("id1"), max_of(disc(16, 16, 9, 180), disc(0, 0, 200, 12)));
       write_grey(s.mask_file("id1", 0), disc(48, 48, 9));
     }},
};

}  // namespace

TEST_CASE("nuclei: a sound data set has no findings", "[nuclei][doctor]") {
  const Sound set;
  const Diagnosis diagnosis = diagnose(set.root.path());
  CHECK(set.found() == Keys{});
  CHECK(diagnosis.images == 6);
  CHECK(diagnosis.masks == 18);
}

TEST_CASE("nuclei: each planted fault is found, and only it", "[nuclei][doctor]") {
  for (const Planted& p : planted) {
    DYNAMIC_SECTION(p.name) {
      Sound set;
      p.plant(set);
      CHECK(set.found() == Keys{p.key()});
    }
  }
}

TEST_CASE("nuclei: every kind of fault has a test", "[nuclei][doctor]") {
  // The test below plants these, which need more than one file's change.
  std::set<std::string> kinds{"layout", "nothing-to-learn", "huge-nucleus", "odd-brightness"};
  for (const Planted& p : planted) kinds.insert(p.key());
  for (const Fault& fault : faults()) {
    INFO(fault.key);
    CHECK(kinds.contains(fault.key));
  }
}

TEST_CASE("nuclei: faults of the whole set are found", "[nuclei][doctor]") {
  Sound empty;
  for (const char* id : {"id0", "id1", "id2", "id3"}) {
    empty.remove_masks(id);
    write_grey(empty.mask_file(id, 0), Pixels(side * side));
  }
  CHECK(empty.found() == Keys{"nothing-to-learn", "empty-mask", "empty-mask", "empty-mask", "empty-mask"});

  Sound many;
  for (int i = 0; i < 10; ++i) many.add("more" + std::to_string(i), static_cast<std::uint64_t>(20 + i));
  CHECK(many.found() == Keys{});
  Pixels dim = many.pixels_of(many.image_file("id1"));
  for (auto& value : dim) value = value / 12;
  write_grey(many.image_file("id1"), dim);
  CHECK(many.found() == Keys{"odd-brightness"});

  // Nuclei of 29 pixels and one that is forty times as large.
  Sound huge;
  huge.remove_masks("id1");
  Pixels picture = disc(0, 0, 200, 12);
  for (int k = 0; k < 6; ++k) {
    write_grey(huge.mask_file("id1", k), disc(6 + 9 * k, 6, 3));
    picture = max_of(picture, disc(6 + 9 * k, 6, 3, 180));
  }
  write_grey(huge.mask_file("id1", 6), disc(32, 38, 20));
  write_grey(huge.image_file("id1"), max_of(picture, disc(32, 38, 20, 180)));
  CHECK(huge.found() == Keys{"huge-nucleus"});
}

TEST_CASE("nuclei: a folder in another layout is explained", "[nuclei][doctor]") {
  const TempFolder root;
  CHECK_THROWS_AS(diagnose(root / "nowhere"), Failure);
  const auto only = [&](const fs::path& folder) {
    const Diagnosis diagnosis = diagnose(folder);
    REQUIRE(diagnosis.findings.size() == 1);
    CHECK(std::string(diagnosis.findings[0].fault->key) == "layout");
    return diagnosis.findings[0].what;
  };
  CHECK_THAT(only(root.path()), Contains("no such folder"));
  for (const char* name : {"images/a.png", "images/b.png", "masks/a.png"})
    write_grey(root / name, disc(9, 9, 3));
  CHECK_THAT(only(root.path()), Contains("2 files") && Contains("a folder of its own"));
  const Sound set;
  fs::create_directories(root / "outer");
  fs::rename(set.root.path(), root / "outer/inner");
  CHECK_THAT(only(root / "outer"), Contains("pass " + (root / "outer/inner").string()));
}

TEST_CASE("nuclei: findings come in order, with the file and what to do", "[nuclei][doctor]") {
  Sound set;
  write_file(set.root / "id1/masks/notes.txt", "");
  write_grey(set.mask_file("id3", 3), Pixels(side * side));
  write_grey(set.mask_file("id2", 0), Pixels(32 * 32, 255), 32, 32);
  const Diagnosis diagnosis = diagnose(set.root.path());
  REQUIRE(diagnosis.findings.size() == 3);
  CHECK(diagnosis.findings[0].fault->severity == Severity::error);
  CHECK(diagnosis.findings[0].file == "id2/masks/mask0.png");
  CHECK(diagnosis.findings[0].what == "32 x 32 pixels, its image is 64 x 64");
  CHECK(diagnosis.findings[1].fault->severity == Severity::warning);
  CHECK(diagnosis.findings[2].fault->severity == Severity::note);
  CHECK(diagnosis.count(Severity::error) == 1);
  for (const Fault& fault : faults()) {
    CHECK(std::string(fault.why).size() > 15);
    CHECK(std::string(fault.remedy).size() > 6);
  }
}

TEST_CASE("nuclei: of the Data Science Bowl set doctor lists only what is there", "[nuclei][doctor][data]") {
  const char* folder = std::getenv("KARYON_DSB2018");
  if (!folder || !fs::is_directory(fs::path(folder) / "stage1_train")) {
    WARN("skipped: KARYON_DSB2018 does not name a folder with stage1_train in it");
    return;
  }
  const Diagnosis diagnosis = diagnose(fs::path(folder) / "stage1_train");
  CHECK(diagnosis.images == 664);
  CHECK(diagnosis.masks == 28986);
  CHECK(diagnosis.count(Severity::error) == 0);
  CHECK(diagnosis.count(Severity::warning) == 0);
  std::map<std::string, int> kinds;
  for (const Finding& finding : diagnosis.findings) ++kinds[finding.fault->key];
  // Counted with another program as well: holes and specks by mask, pixels in two masks by image, and one
  // specimen that was taken twice.
  CHECK(kinds == std::map<std::string, int>{
                     {"holes", 10}, {"near-duplicate", 1}, {"small-overlaps", 6}, {"specks", 2}});
}
