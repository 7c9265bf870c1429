// TIFF files as microscopes, Fiji and Python write them, made here with libtiff.
#include <tiffio.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "common/error.h"
#include "imageio/image.h"
#include "imageio/label_image.h"
#include "imageio/tiff_source.h"
#include "imageio/tiff_writer.h"
#include "reason.h"
#include "temp_folder.h"
#include "tiff_pages.h"

using namespace nuclei;
using namespace nuclei::test;
using Catch::Matchers::Contains;
using karyon::test::read_file;
using karyon::test::TempFolder;
using karyon::test::write_file;

namespace {

/// Values on the file's scale.
std::vector<double> values(const Image& image) {
  std::vector<double> out;
  for (const float p : image) out.push_back(image.offset + image.scale * static_cast<double>(p));
  return out;
}

void check_values(const Image& image, const Page& p, int first = 0) {
  REQUIRE(image.width == p.width);
  REQUIRE(image.height == p.height);
  const std::vector<double> got = values(image);
  REQUIRE(got.size() == static_cast<std::size_t>(p.width * p.height * image.channels));
  std::size_t at = 0;
  for (int y = 0; y < p.height; ++y)
    for (int x = 0; x < p.width; ++x)
      for (int c = 0; c < image.channels; ++c, ++at) {
        INFO("pixel " << x << ", " << y << ", channel " << c);
        REQUIRE(got[at] == Approx(p.value(x, y, first + c)).epsilon(1e-6).margin(1e-4));
      }
}

}  // namespace

TEST_CASE("nuclei: TIFF integers and floats in strips and tiles, by every compression", "[nuclei][tiff]") {
  const TempFolder folder;
  for (const int tile : {0, 16})
    for (const int compression :
         {COMPRESSION_NONE, COMPRESSION_LZW, COMPRESSION_ADOBE_DEFLATE, COMPRESSION_PACKBITS})
      for (const auto& [bits, format] : {std::pair{8, SAMPLEFORMAT_UINT},
                                         {16, SAMPLEFORMAT_UINT},
                                         {32, SAMPLEFORMAT_UINT},
                                         {16, SAMPLEFORMAT_INT},
                                         {32, SAMPLEFORMAT_INT},
                                         {32, SAMPLEFORMAT_IEEEFP},
                                         {64, SAMPLEFORMAT_IEEEFP}}) {
        INFO(tile << " " << compression << " " << bits << " " << format);
        const Page page{.width = 37,
                        .height = 23,
                        .bits = bits,
                        .format = format,
                        .compression = compression,
                        .rows_per_strip = 5,
                        .tile = tile,
                        .value = [bits = bits](int x, int y, int) {
                          return (7 * x + 3 * y) * (bits > 8 ? 11 : 1) % (bits > 8 ? 4000 : 256);
                        }};
        write(folder / "a.tif", {page});
        const Image image = read_image(folder / "a.tif");
        CHECK(image.channels == 1);
        CHECK(image.bit_depth == bits);
        check_values(image, page);
        for (const float p : image) REQUIRE((p >= 0 && p < 2));
      }
}

TEST_CASE("nuclei: TIFF rows are the same in any order", "[nuclei][tiff]") {
  const TempFolder folder;
  for (const int tile : {0, 16}) {
    const Page page{.width = 40,
                    .height = 50,
                    .bits = 16,
                    .compression = COMPRESSION_LZW,
                    .rows_per_strip = 7,
                    .tile = tile};
    write(folder / "a.tif", {page});
    const auto source = open_tiff(folder / "a.tif", {});
    const Image whole = read_image(folder / "a.tif");
    for (const int y : {30, 0, 49, 17, 16, 1}) {
      std::vector<float> row(40);
      source->read(y, 1, row.data());
      CHECK(std::equal(row.begin(), row.end(), whole.row(y)));
    }
  }
}

TEST_CASE("nuclei: 12 bits in 16 fill the range, and so do floats of any scale", "[nuclei][tiff]") {
  const TempFolder folder;
  Page page{.bits = 16, .value = [](int x, int y, int) { return 200 * y + 10 * x; }};  // up to 640
  write(folder / "a.tif", {page});
  CHECK(read_image(folder / "a.tif").scale == 1023);
  page.format = SAMPLEFORMAT_IEEEFP;
  page.bits = 32;
  page.value = [](int x, int y, int) { return -3.0 + x + y; };
  write(folder / "a.tif", {page});
  Image image = read_image(folder / "a.tif");
  CHECK(image.offset == -3);
  check_values(image, page);
}

TEST_CASE("nuclei: what is no number in a TIFF is a hole", "[nuclei][tiff]") {
  const TempFolder folder;
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = INFINITY;
  for (const double hole : {nan, -nan, infinity, -infinity, 1e300, -1e300, 2e38, -3.4028234e38}) {
    INFO(hole);
    for (const int bits : {32, 64}) {
      const Page page{.bits = bits, .format = SAMPLEFORMAT_IEEEFP, .value = [hole](int x, int y, int) {
                        return x == 2 && y == 1 ? hole : x / 8.0;
                      }};
      write(folder / "a.tif", {page});
      const Image image = read_image(folder / "a.tif");
      CHECK(image.scale == 1);
      CHECK(image.offset == 0);
      for (int y = 0; y < 4; ++y)
        for (int x = 0; x < 5; ++x)
          if (x == 2 && y == 1) {
            CHECK(std::isnan(image.at(x, y)));
          } else {
            CHECK(image.at(x, y) == static_cast<float>(x) / 8);
          }
    }
  }
  const Page nothing{.bits = 32, .format = SAMPLEFORMAT_IEEEFP, .value = all(nan)};
  write(folder / "a.tif", {nothing});
  for (const float pixel : read_image(folder / "a.tif")) CHECK(std::isnan(pixel));
}

TEST_CASE("nuclei: TIFF colours, interleaved or planar, with and without alpha", "[nuclei][tiff]") {
  const TempFolder folder;
  for (const int planar : {PLANARCONFIG_CONTIG, PLANARCONFIG_SEPARATE})
    for (const int tile : {0, 16})
      for (const int samples : {3, 4}) {
        Page page{.samples = samples,
                  .photometric = PHOTOMETRIC_RGB,
                  .planar = planar,
                  .tile = tile,
                  .value = [](int x, int y, int c) { return 10 * y + x + 60 * c; }};
        if (samples == 4) page.extras = {EXTRASAMPLE_UNASSALPHA};
        write(folder / "a.tif", {page});
        const Image image = read_image(folder / "a.tif");
        CHECK(image.channels == 3);
        check_values(image, page);
        for (int c = 0; c < samples; ++c) {
          const Image one = read_image(folder / "a.tif", {.channel = std::to_string(c + 1)});
          CHECK(one.channels == 1);
          check_values(one, page, c);
        }
        CHECK_THAT(reason(folder / "a.tif", {.channel = "5"}),
                   Contains("no channel '5'") && Contains(std::to_string(samples)));
      }
  // Channels that are no colours: the first, unless told otherwise.
  const Page two{.samples = 2, .planar = PLANARCONFIG_SEPARATE, .extras = {EXTRASAMPLE_UNSPECIFIED}};
  write(folder / "b.tif", {two});
  check_values(read_image(folder / "b.tif"), two);
  check_values(read_image(folder / "b.tif", {.channel = "2"}), two, 1);
  CHECK_THAT(open_tiff(folder / "b.tif", {})->note(), Contains("channel 1 of 2"));
}

TEST_CASE("nuclei: TIFF greys either way round, few bits, and palettes", "[nuclei][tiff]") {
  const TempFolder folder;
  for (const int bits : {1, 2, 4, 8}) {
    const int top = (1 << bits) - 1;
    Page page{.bits = bits, .value = [top](int x, int y, int) { return (x + y) % (top + 1); }};
    write(folder / "a.tif", {page});
    Image image = read_image(folder / "a.tif");
    CHECK(image.scale == top);
    check_values(image, page);
    page.photometric = PHOTOMETRIC_MINISWHITE;
    write(folder / "a.tif", {page});
    image = read_image(folder / "a.tif");
    check_values(image, page);  // measured as they are stored
    CHECK(image[0] == 1);
    CHECK(image[1] == Approx(1 - 1.0 / top));

    std::vector<std::uint16_t> red(static_cast<std::size_t>(top + 1)), green = red, blue = red;
    red.back() = 65535;
    green.front() = 32768;
    Page palette{
        .bits = bits,
        .photometric = PHOTOMETRIC_PALETTE,
        .more = [&](TIFF* t) { TIFFSetField(t, TIFFTAG_COLORMAP, red.data(), green.data(), blue.data()); },
        .value = [top](int x, int, int) { return x % 2 ? top : 0; }};
    write(folder / "p.tif", {palette});
    image = read_image(folder / "p.tif");
    CHECK(image.channels == 3);
    CHECK(image[1] == Approx(32768 / 65535.0));
    CHECK(image[3] == 1);
    CHECK_THAT(reason(folder / "p.tif", {.channel = "1"}), Contains("it has a palette and so no channels"));
    green = blue = red;
    write(folder / "p.tif", {palette});
    CHECK(read_image(folder / "p.tif").channels == 1);
  }
}

TEST_CASE("nuclei: BigTIFF and both byte orders", "[nuclei][tiff]") {
  const TempFolder folder;
  const Page page{.bits = 16, .value = [](int x, int y, int) { return 1000 * y + x; }};
  for (const char* mode : {"w8", "wl", "wb", "w8b"}) {
    write(folder / "a.tif", {page}, mode);
    CHECK(is_tiff(folder / "a.tif"));
    check_values(read_image(folder / "a.tif"), page);
  }
}

TEST_CASE("nuclei: pages, and channels that are pages", "[nuclei][tiff]") {
  const TempFolder folder;
  const auto first = [&](const ReadOptions& o) { return values(read_image(folder / "a.tif", o))[0]; };
  write(folder / "a.tif", stack(3));
  CHECK(page_count(folder / "a.tif") == 3);
  CHECK(first({}) == Approx(1));
  CHECK(first({.page = 3}) == Approx(3));
  CHECK_THAT(reason(folder / "a.tif", {.page = 4}), Contains("no page 4") && Contains("3"));
  CHECK_THAT(open_tiff(folder / "a.tif", {})->note(), Contains("page 1 of 3"));
  CHECK(open_tiff(folder / "a.tif", {.page = 1})->note().empty());  // it was asked for

  // ImageJ: channels first, then slices.
  for (const char* images : {"images=6\n", ""}) {
    write(folder / "a.tif",
          stack(6, std::string("ImageJ=1.53t\n") + images + "channels=2\nslices=3\nhyperstack=true\n"));
    CHECK(page_count(folder / "a.tif") == 3);
    CHECK(first({.page = 3, .channel = "2"}) == Approx(6));
  }
  // OME: whichever order it says, channels by name.
  for (const auto& [order, page2_channel2] : {std::pair{"XYCZT", 4}, {"XYZCT", 5}, {"XYCTZ", 4}}) {
    write(folder / "a.tif",
          stack(6, std::string("<?xml version=\"1.0\"?><OME xmlns=\"x\"><Image ID=\"Image:0\"><Pixels "
                               "ID=\"p\" DimensionOrder=\"") +
                       order +
                       "\" Type=\"uint8\" SizeX=\"5\" SizeY=\"4\" SizeC=\"2\" SizeZ=\"3\" SizeT=\"1\">"
                       "<Channel ID=\"c0\" Name=\"FITC\" SamplesPerPixel=\"1\"/><Channel ID=\"c1\" "
                       "Name=\"DAPI\"/><TiffData/></Pixels></Image></OME>"));
    CHECK(first({.page = 2, .channel = "dapi"}) == Approx(page2_channel2));
    CHECK(first({.page = 2, .channel = "2"}) == Approx(page2_channel2));
    CHECK_THAT(reason(folder / "a.tif", {.channel = "Cy5"}), Contains("FITC, DAPI"));
    CHECK_THAT(open_tiff(folder / "a.tif", {})->note(), Contains("channel 1 of 2 (FITC, DAPI)"));
  }
  // Thumbnails are no pages.
  std::vector<Page> pages = stack(2);
  pages[1].more = [](TIFF* t) { TIFFSetField(t, TIFFTAG_SUBFILETYPE, FILETYPE_REDUCEDIMAGE); };
  write(folder / "a.tif", pages);
  CHECK(page_count(folder / "a.tif") == 1);
}

TEST_CASE("nuclei: the size of a pixel in micrometres", "[nuclei][tiff]") {
  const TempFolder folder;
  const auto size = [&](Page page) {
    write(folder / "a.tif", {page});
    const Image image = read_image(folder / "a.tif");
    return std::pair(image.pixel_width, image.pixel_height);
  };
  const auto resolution = [](int unit, double x, double y) {
    return [=](TIFF* t) {
      TIFFSetField(t, TIFFTAG_RESOLUTIONUNIT, unit);
      TIFFSetField(t, TIFFTAG_XRESOLUTION, x);
      TIFFSetField(t, TIFFTAG_YRESOLUTION, y);
    };
  };
  CHECK(size({}) == std::pair(0.0, 0.0));
  const auto ome = [](const std::string& attributes) {
    return "<OME><Image><Pixels SizeC=\"1\" " + attributes + "></Pixels></Image></OME>";
  };
  CHECK(size({.description = ome("PhysicalSizeX=\"0.5\" PhysicalSizeY='0.25'")}) == std::pair(0.5, 0.25));
  CHECK(size({.description = ome("PhysicalSizeX=\"325\" PhysicalSizeXUnit=\"nm\" PhysicalSizeY=\"325\" "
                                 "PhysicalSizeYUnit=\"nm\"")})
            .first == Approx(0.325));
  CHECK(size({.description = ome("PhysicalSizeX=\"-1\"")}).first == 0);
  CHECK(size({.description = ome("PhysicalSizeX=\"3\" PhysicalSizeXUnit=\"pixel\"")}).first == 0);
  CHECK(size({.more = resolution(RESUNIT_CENTIMETER, 1e4 / 0.65, 1e4 / 0.65)}).first == Approx(0.65));
  CHECK(size({.more = resolution(RESUNIT_INCH, 25400 / 0.5, 25400 / 0.5)}).second == Approx(0.5));
  CHECK(size({.more = resolution(RESUNIT_INCH, 300, 300)}).first == 0);  // of a printer
  CHECK(size({.description = "ImageJ=1.53t\nunit=micron\n", .more = resolution(RESUNIT_NONE, 4, 2)}) ==
        std::pair(0.25, 0.5));
  CHECK(
      size({.description = "ImageJ=1.53t\nunit=\\u00B5m\n", .more = resolution(RESUNIT_NONE, 4, 4)}).first ==
      Approx(0.25));
  CHECK(size({.description = "ImageJ=1.53t\nunit=pixel\n", .more = resolution(RESUNIT_NONE, 4, 4)}).first ==
        0);
}

TEST_CASE("nuclei: a TIFF that is damaged, cut short or of another kind says so", "[nuclei][tiff]") {
  const TempFolder folder;
  for (const int tile : {0, 16}) {
    const Page page{.width = 40,
                    .height = 40,
                    .bits = 16,
                    .compression = COMPRESSION_LZW,
                    .tile = tile,
                    .value = [](int x, int y, int) { return x * y; }};
    write(folder / "whole.tif", {page});
    const std::string whole = read_file(folder / "whole.tif");
    for (std::size_t size = 0; size < whole.size(); size += 1 + whole.size() / 200) {
      write_file(folder / "cut.tif", whole.substr(0, size));
      INFO("cut to " << size << " of " << whole.size() << " bytes");
      CHECK_THROWS_AS(read_image(folder / "cut.tif"), Failure);
    }
    // Any byte may be wrong: an error or other pixels, never a crash or an allocation without end.
    for (std::size_t i = 4; i < whole.size(); i += i < 32 || i + 400 > whole.size() ? 1 : 37)
      for (const int flip : {0x01, 0x80, 0xff}) {
        std::string changed = whole;
        changed[i] = static_cast<char>(changed[i] ^ flip);
        write_file(folder / "changed.tif", changed);
        try {
          read_image(folder / "changed.tif");
        } catch (const Failure&) {
        }
      }
  }
  // The pixels lie before the directory, so that losing the end can be told.
  Page lossy{.samples = 3, .bits = 8, .photometric = PHOTOMETRIC_SEPARATED};
  lossy.samples = 4;
  write(folder / "cmyk.tif", {lossy});
  CHECK_THAT(reason(folder / "cmyk.tif"), Contains("CMYK") && Contains("save it as RGB"));
  write(folder / "complex.tif", {{.bits = 64, .format = SAMPLEFORMAT_COMPLEXIEEEFP}});
  CHECK_THAT(reason(folder / "complex.tif"), Contains("complex") && Contains("save it"));
  write_file(folder / "text.tif", "II*");
  CHECK_THAT(reason(folder / "text.tif"), Contains("something else"));
  CHECK_THAT(reason(folder / "none.tif"), Contains("no such file"));
}

TEST_CASE("nuclei: a TIFF of absurd size is refused before memory is taken", "[nuclei][tiff]") {
  const TempFolder folder;
  write(folder / "a.tif", {{}});
  std::string bytes = read_file(folder / "a.tif");
  const auto patch = [&](std::uint16_t tag, std::uint32_t value) {
    for (std::size_t i = 8; i + 12 <= bytes.size(); i += 1)
      if (std::memcmp(bytes.data() + i, &tag, 2) == 0 && (bytes[i + 2] == 3 || bytes[i + 2] == 4) &&
          bytes[i + 4] == 1) {
        bytes[i + 2] = 4;
        std::memcpy(bytes.data() + i + 8, &value, 4);
        return;
      }
    FAIL("no such tag");
  };
  patch(TIFFTAG_IMAGEWIDTH, 4'000'000'000u);
  write_file(folder / "b.tif", bytes);
  CHECK_THAT(reason(folder / "b.tif"), Contains("4000000000") && Contains("limit"));
  patch(TIFFTAG_IMAGEWIDTH, 900'000);
  patch(TIFFTAG_IMAGELENGTH, 900'000);
  write_file(folder / "b.tif", bytes);
  CHECK_THROWS_AS(read_image(folder / "b.tif"), Failure);
}

TEST_CASE("nuclei: TIFF masks count as masks", "[nuclei][tiff]") {
  const TempFolder folder;
  write(folder / "a.tif",
        {{.width = 4, .height = 1, .bits = 16, .value = [](int x, int, int) { return x == 2 ? 1 : 0; }}});
  CHECK(read_mask(folder / "a.tif", 4, 1).values == std::vector<std::uint8_t>{0, 0, 1, 0});
  CHECK_THROWS_WITH(read_mask(folder / "a.tif", 1, 4), Contains("1 x 4") && Contains("4 x 1"));
}

TEST_CASE("nuclei: what TiffWriter writes is what comes back", "[nuclei][tiff]") {
  const TempFolder folder;
  const int width = 300, height = 515;
  std::vector<std::uint32_t> labels(static_cast<std::size_t>(width * height));
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint32_t>(i * 37 % 70000);
  {
    TiffWriter writer(folder / "a.tif", width, height, 1, TiffWriter::Sample::u32, 0.5, 0.25);
    for (int y = 0; y < height; y += 103) writer.append(labels.data() + y * width, std::min(103, height - y));
    CHECK_FALSE(std::filesystem::exists(folder / "a.tif"));
    writer.commit();
  }
  CHECK(folder.entry_count() == 1);
  const Image image = read_image(folder / "a.tif");
  CHECK(image.bit_depth == 32);
  CHECK(image.pixel_width == Approx(0.5));
  CHECK(image.pixel_height == Approx(0.25));
  const std::vector<double> back = values(image);
  for (std::size_t i = 0; i < labels.size(); ++i)
    REQUIRE(std::lround(back[i]) == static_cast<long>(labels[i]));
  const std::vector<float> maps(20 * 10 * 3, 0.25f);
  {
    TiffWriter writer(folder / "b.tif", 20, 10, 3, TiffWriter::Sample::f32);
    writer.append(maps.data(), 10);
    writer.commit();
  }
  CHECK(read_image(folder / "b.tif", {.channel = "3"}).values == std::vector<float>(200, 0.25f));
  {
    TiffWriter abandoned(folder / "c.tif", 20, 10, 1, TiffWriter::Sample::u16);
    CHECK_THROWS_AS(abandoned.commit(), Failure);  // rows are missing
  }
  CHECK(folder.entry_count() == 2);
  CHECK_THROWS_WITH(TiffWriter(folder / "no/such/a.tif", 4, 4, 1, TiffWriter::Sample::u16),
                    Contains("no/such/a.tif"));
}

TEST_CASE("nuclei: a TIFF that cannot be written says so, and leaves nothing", "[nuclei][tiff]") {
  const std::vector<float> maps(20 * 10, 0.25f);
  const auto write_to = [&](const std::filesystem::path& file, int rows) {
    TiffWriter writer(file, 20, 10, 1, TiffWriter::Sample::f32);
    writer.append(maps.data(), rows);
    writer.commit();
  };
  CHECK_THROWS_WITH(write_to("/dev/full", 10),
                    Contains("writing /dev/full: ") && Contains("is the disk full?"));
  const TempFolder folder;
  CHECK_THROWS_WITH(write_to(folder / "a.tif", 9), Contains("a.tif: expected 10 rows, got 9"));
  CHECK(folder.entry_count() == 0);
}
