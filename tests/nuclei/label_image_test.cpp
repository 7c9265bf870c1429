#include "imageio/label_image.h"

#include <catch2/catch.hpp>
#include <limits>
#include <string>
#include <vector>

#include "common/error.h"
#include "dataset/label_import.h"
#include "raw_tiff.h"
#include "temp_folder.h"

using namespace nuclei;
using namespace nuclei::test;
using Catch::Matchers::Contains;
using karyon::test::TempFolder;

namespace {

using Labels = std::vector<std::int32_t>;

/// '#' stores `set`, '.' stores `background`.
std::vector<std::vector<std::uint8_t>> drawn(const std::vector<std::string>& rows, int set, int background) {
  std::vector<std::vector<std::uint8_t>> pieces;
  for (const std::string& row : rows) {
    pieces.emplace_back();
    for (const char c : row) pieces.back().push_back(static_cast<std::uint8_t>(c == '#' ? set : background));
  }
  return pieces;
}

const std::vector<std::string> two_nuclei{"........", ".##..##.", ".##..##.", "........"};
const std::vector<std::string> touching{"##......", "##...##.", ".....##.", "........"};
const Labels two{0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 2, 2, 0,
                 0, 1, 1, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0};

struct Folder : TempFolder {
  std::filesystem::path file = *this / "a.tif";
  std::string note;

  Labels import(const RawTiff& tiff) {
    write_tiff(file, tiff);
    return import_labels(file, &note).values;
  }
  std::string failure(const RawTiff& tiff) {
    try {
      import(tiff);
    } catch (const Failure& e) {
      CHECK_THAT(e.what(), Contains(file.string()));
      return e.what();
    }
    return "no failure";
  }
};

/// A palette whose colour 0 is white and whose last one is black.
RawTiff white_first(int bits, std::vector<std::vector<std::uint8_t>> pieces, bool steps) {
  RawTiff tiff{
      .width = 8, .height = 4, .bits = bits, .photometric = PHOTOMETRIC_PALETTE, .pieces = std::move(pieces)};
  for (int i = 0; i < 1 << bits; ++i)
    tiff.red.push_back(static_cast<std::uint16_t>(steps ? 257 * (255 - i) : i == 0 ? 65535 : i * 5003));
  tiff.red.back() = 0;
  tiff.green = tiff.blue = tiff.red;
  return tiff;
}

}  // namespace

TEST_CASE("nuclei: label values keep all of their bits", "[nuclei][labels]") {
  Folder folder;
  const Labels expected{0, 1, 2, 3, 0, 1, 2, 3};  // two rows: single pixels would be taken for noise
  const auto row = [](int bits, int format, const std::vector<std::uint8_t>& bytes) {
    return RawTiff{.height = 2, .bits = bits, .format = format, .pieces = {bytes, bytes}};
  };
  CHECK(folder.import(row(32, SAMPLEFORMAT_UINT,
                          bytes_of<std::uint32_t>({0, 16777216, 16777217, 4294967295}))) == expected);
  CHECK(folder.import(row(32, SAMPLEFORMAT_INT, bytes_of<std::int32_t>({0, -1, -2, 2147483647}))) ==
        expected);
  CHECK(folder.import(row(64, SAMPLEFORMAT_INT,
                          bytes_of<std::int64_t>({0, 1LL << 40, (1LL << 40) + 1, 7}))) == expected);
  CHECK(folder.import(row(32, SAMPLEFORMAT_IEEEFP, bytes_of<float>({0, 1, 2, 16777216}))) == expected);
  CHECK(folder.import(row(64, SAMPLEFORMAT_IEEEFP,
                          bytes_of<double>({std::nan(""), 16777216, 16777217, 3}))) == expected);
  CHECK_THAT(folder.failure(row(64, SAMPLEFORMAT_UINT, bytes_of<std::uint64_t>({0, 1ULL << 60, 1, 2}))),
             Contains("2^53"));
  write_png16(folder / "a.png", {4, 2, 1, {0, 1, 256, 65535, 0, 1, 256, 65535}});
  CHECK(import_labels(folder / "a.png", nullptr).values == expected);
  CHECK(read_label_image(folder / "a.png").values ==
        std::vector<std::uint64_t>{0, 1, 256, 65535, 0, 1, 256, 65535});
}

TEST_CASE("nuclei: value 0 is background in whatever colour it is shown", "[nuclei][labels]") {
  Folder folder;
  for (const auto& rows : {two_nuclei, touching})
    for (const bool steps : {false, true}) {
      CHECK(max_label(LabelMap(8, 4, 1, folder.import(white_first(8, drawn(rows, 255, 0), steps)))) == 2);
      CHECK(folder.note.empty());
    }
  CHECK(folder.import(white_first(8, drawn(two_nuclei, 255, 0), false)) == two);
  // One bit a pixel: stored 1 is shown black.
  RawTiff bits{.width = 8,
               .height = 4,
               .bits = 1,
               .photometric = PHOTOMETRIC_MINISWHITE,
               .pieces = {{0x00}, {0x66}, {0x66}, {0x00}}};
  CHECK(folder.import(bits) == two);
  CHECK(read_mask(folder.file, 8, 4)[9] == 1);
  bits.photometric = PHOTOMETRIC_MINISBLACK;
  CHECK(folder.import(bits) == two);
  // The other way round, black is background, if it covers the frame.
  bits.photometric = PHOTOMETRIC_MINISWHITE;
  bits.pieces = {{0xff}, {0x99}, {0x99}, {0xff}};
  CHECK(folder.import(bits) == two);
  CHECK_THAT(folder.note, Contains("shown black"));
  CHECK(read_mask(folder.file, 8, 4)[9] == 1);
  CHECK(folder.import(white_first(8, drawn(two_nuclei, 0, 255), true)) == two);
}

TEST_CASE("nuclei: a mask whose background is not 0 is refused or named", "[nuclei][labels]") {
  Folder folder;
  const auto grey = [](std::vector<std::vector<std::uint8_t>> pieces) {
    return RawTiff{.width = 8, .height = 4, .pieces = std::move(pieces)};
  };
  for (const auto& rows : {two_nuclei, touching})
    CHECK_THAT(folder.failure(grey(drawn(rows, 0, 255))),
               Contains("value 255 covers") && Contains("invert it"));
  auto labels = drawn(two_nuclei, 2, 1);  // background 1
  labels[1][6] = labels[2][6] = labels[1][5] = labels[2][5] = 3;
  CHECK_THAT(folder.failure(grey(labels)), Contains("value 1 covers"));
  // Many nuclei that reach the frame are no background, but the line says so.
  const std::vector<std::string> dense{"##.##.##", "##.##.##", "........", "##.##.##"};
  folder.import(grey(drawn(dense, 255, 0)));
  CHECK_THAT(folder.note, Contains("value 255 covers"));
  CHECK(folder
            .import(grey({{1, 1, 1, 2, 2, 2, 3, 3},
                          {1, 1, 1, 2, 2, 2, 3, 3},
                          {4, 4, 4, 4, 5, 5, 5, 5},
                          {4, 4, 4, 4, 5, 5, 5, 5}}))
            .back() == 5);
  CHECK_THAT(folder.note, Contains("no pixel is 0"));
  // A white page around coloured nuclei.
  Picture page(8, 4, 3, std::vector<std::uint8_t>(96, 255));
  page.at(3, 1, 0) = 0;
  write_png8(folder / "a.png", page);
  CHECK_THROWS_WITH(import_labels(folder / "a.png", nullptr), Contains("the colour 255, 255, 255"));
}

TEST_CASE("nuclei: floats are labels, each value another, and colours of floats are refused",
          "[nuclei][labels]") {
  Folder folder;
  const float hole = std::numeric_limits<float>::quiet_NaN();
  RawTiff floats{
      .width = 6,
      .bits = 32,
      .format = SAMPLEFORMAT_IEEEFP,
      .pieces = {bytes_of<float>({0, 2, 2.5f, 0, hole, 1e20f}), bytes_of<float>({0, 2, 2.5f, 0, 0, 1e20f})}};
  floats.height = 2;
  const Labels labels = folder.import(floats);
  CHECK(labels[0] == 0);
  CHECK(labels[3] == 0);
  CHECK(labels[4] == 0);
  CHECK((labels[1] > 0 && labels[2] > 0 && labels[5] > 0));
  CHECK((labels[1] != labels[2] && labels[2] != labels[5] && labels[1] != labels[5]));
  CHECK(folder
            .failure({.width = 1,
                      .bits = 32,
                      .samples = 3,
                      .format = SAMPLEFORMAT_IEEEFP,
                      .photometric = PHOTOMETRIC_RGB,
                      .pieces = {bytes_of<float>({0, 1, 2})}})
            .find("expected labels of one channel") != std::string::npos);
}
