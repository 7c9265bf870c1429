// Which plane of a TIFF is read by its OME-XML, and how large its pixels are.
#include <tiffio.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "imageio/image.h"
#include "imageio/tiff_source.h"
#include "imageio/units.h"
#include "reason.h"
#include "temp_folder.h"
#include "tiff_pages.h"

using namespace nuclei;
using Catch::Matchers::Contains;
using karyon::test::TempFolder;
using namespace nuclei::test;

namespace {

std::string pixels(const std::string& attributes, const std::string& inside) {
  return "<Image><Pixels SizeX=\"5\" SizeY=\"4\" " + attributes + ">" + inside + "</Pixels></Image>";
}

std::string ome(const std::string& images, const std::string& attributes = "") {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?><!-- made by a test --><OME " + attributes + ">" +
         images + "</OME>";
}

/// A file of its own for each call: what its planes hold, and what is said about it.
struct File {
  TempFolder folder;
  std::filesystem::path path = folder / "a.ome.tif";

  File(std::vector<Page> pages, const std::string& description) {
    pages.front().description = description;
    write(path, pages);
  }

  /// The value of the first pixel.
  int value(std::optional<int> page = {}, const std::string& channel = "") const {
    const Image image = read_image(path, {.page = page, .channel = channel});
    return static_cast<int>(std::lround(image.offset + image.scale * static_cast<double>(image[0])));
  }
  std::string note() const { return open_tiff(path, {})->note(); }
  std::string remark() const { return open_tiff(path, {})->remark(); }
  std::string failure(const ReadOptions& options) const { return reason(path, options); }
  double pixel(int page = 1) const { return read_image(path, {.page = page}).pixel_width; }
};

const std::string two_channels = "<Channel Name=\"DAPI\"/><Channel Name=\"GFP\"/>";

}  // namespace

TEST_CASE("nuclei: OME-TIFF planes lie where TiffData says", "[nuclei][tiff]") {
  // One element for each plane, in another order than the pages.
  const File swapped(
      stack(4), ome(pixels("DimensionOrder=\"XYCZT\" SizeC=\"2\" SizeZ=\"2\" SizeT=\"1\"",
                           two_channels + "<TiffData FirstC=\"0\" FirstZ=\"0\" IFD=\"3\"/>"
                                          "<TiffData FirstC=\"1\" FirstZ=\"0\" IFD=\"2\" PlaneCount=\"1\"/>"
                                          "<TiffData FirstC=\"0\" FirstZ=\"1\" IFD=\"1\"/>"
                                          "<TiffData FirstC=\"1\" FirstZ=\"1\" IFD=\"0\"/>")));
  CHECK(page_count(swapped.path) == 2);
  CHECK(swapped.value({}, "DAPI") == 4);
  CHECK(swapped.value({}, "gfp") == 3);
  CHECK(swapped.value(2, "1") == 2);
  CHECK(swapped.value(2, "2") == 1);
  CHECK(swapped.remark().empty());
  CHECK(swapped.note() ==
        "channel 1 of 2 (DAPI, GFP); --channel chooses another, page 1 of 2; --page chooses another");
  // Runs of planes, counted in the order of the dimensions; NumPlanes is what old files say.
  for (const auto& [order, value] : {std::pair{"XYCZT", 5}, {"XYZCT", 6}, {"XYCTZ", 5}, {"XYTZC", 6}}) {
    const File run(stack(6),
                   ome(pixels(std::string("DimensionOrder=\"") + order + "\" SizeC=\"2\" SizeZ=\"3\"",
                              two_channels + "<TiffData IFD=\"1\" NumPlanes=\"5\"/>"
                                             "<TiffData IFD=\"0\" FirstC=\"1\" FirstZ=\"2\"/>")));
    INFO(order);
    CHECK(run.value(1, "DAPI") == 2);
    CHECK(run.value(2, "GFP") == value);
    CHECK(run.value(3, "GFP") == 1);
  }
}

TEST_CASE("nuclei: OME-TIFF planes that are not in the file are told", "[nuclei][tiff]") {
  // A file of a set, known by its UUID whatever it is called, or by its name.
  const std::string set =
      pixels("DimensionOrder=\"XYCZT\" SizeC=\"2\"",
             two_channels +
                 "<TiffData FirstC=\"0\" IFD=\"0\"><UUID FileName=\"c0.ome.tif\">urn:uuid:1</UUID>"
                 "</TiffData><TiffData FirstC=\"1\" IFD=\"0\"><UUID FileName=\"a.ome.tif\">"
                 "urn:uuid:2</UUID></TiffData>");
  for (const auto& [uuid, here, other, file] : {std::tuple{"", "GFP", "DAPI", "c0.ome.tif"},
                                                {"UUID=\"urn:uuid:2\"", "GFP", "DAPI", "c0.ome.tif"},
                                                {"UUID=\"urn:uuid:1\"", "DAPI", "GFP", "a.ome.tif"}}) {
    const File one(stack(1), ome(set, uuid));
    CHECK(one.value({}, here) == 1);
    CHECK(one.value() == 1);
    CHECK_THAT(one.failure({.channel = other}), Contains("not in the file") && Contains(file));
    CHECK_THAT(one.remark(), Contains("2 planes, 1 is in this file, others in " + std::string(file)));
  }
  // Lines are broken anywhere.
  const File broken(
      stack(1),
      ome(pixels("SizeC=\"2\" DimensionOrder=\"XYCZT\"",
                 two_channels + "<TiffData IFD=\"0\"><UUID FileName=\"x.tif\">\n urn:uuid:1\n</UUID>"
                                "</TiffData><TiffData FirstC=\"1\" IFD=\"0\"><UUID FileName=\"y.tif\">"
                                "\n urn:uuid:2\n</UUID></TiffData>"),
          "UUID=\"urn:uuid:2\""));
  CHECK(broken.value({}, "GFP") == 1);
  // A single name is this file's: it was renamed.
  const File renamed(stack(1),
                     ome(pixels("",
                                "<Channel Name=\"x\"/><TiffData><UUID FileName=\"old.tif\">urn:uuid:1"
                                "</UUID></TiffData>")));
  CHECK(renamed.remark().empty());
  // An acquisition that ended early.
  const File early(stack(3), ome(pixels("DimensionOrder=\"XYCZT\" SizeC=\"2\" SizeT=\"4\"",
                                        two_channels + "<TiffData/>")));
  CHECK(page_count(early.path) == 2);
  CHECK(early.value(2, "DAPI") == 3);
  CHECK_THAT(early.failure({.page = 2, .channel = "GFP"}), Contains("8 planes, 3 are in this file"));
  CHECK_THAT(early.remark(), Contains("8 planes, 3 are in this file"));
  // Directories that are not described.
  const File more(stack(4),
                  ome(pixels("SizeC=\"2\"", two_channels + "<TiffData IFD=\"1\" PlaneCount=\"2\"/>")));
  CHECK(page_count(more.path) == 3);
  CHECK(more.value(1, "GFP") == 3);
  CHECK(more.value(2) == 1);
  CHECK(more.value(3) == 4);
  CHECK_THAT(more.remark(), Contains("leaves out 2 planes, which are the last pages"));
  // The metadata is in another file.
  const File binary(stack(2), ome("<BinaryOnly MetadataFile=\"set.companion.ome\" UUID=\"urn:uuid:1\"/>"));
  CHECK(page_count(binary.path) == 2);
  CHECK_THAT(binary.remark(), Contains("set.companion.ome"));
}

TEST_CASE("nuclei: OME-TIFF of several images has pages, channels and pixel sizes for each",
          "[nuclei][tiff]") {
  std::vector<Page> planes = stack(6);
  for (std::size_t i = 2; i < 6; ++i) planes[i].width = 7;
  const File file(
      planes,
      ome(pixels("DimensionOrder=\"XYCZT\" SizeC=\"2\" PhysicalSizeX=\"0.5\"",
                 two_channels + "<TiffData IFD=\"0\" PlaneCount=\"2\"/>") +
          "<Image><Pixels SizeX=\"7\" SizeY=\"4\" DimensionOrder=\"XYZCT\" SizeZ=\"2\" SizeC=\"2\" "
          "PhysicalSizeX=\"1000\" "
          "PhysicalSizeXUnit=\"nm\"><Channel Name=\"Cy5\"/><Channel Name=\"DAPI\"/><TiffData IFD=\"2\" "
          "PlaneCount=\"4\"/></Pixels></Image>"));
  CHECK(page_count(file.path) == 3);
  CHECK(file.value({}, "GFP") == 2);
  CHECK(file.value(2, "DAPI") == 5);
  CHECK(file.value(3, "Cy5") == 4);
  CHECK(file.pixel(1) == 0.5);
  CHECK(file.pixel(3) == Approx(1));
  CHECK_THAT(file.failure({.page = 2, .channel = "GFP"}),
             Contains("no channel 'GFP'") && Contains("Cy5, DAPI"));
  CHECK_THAT(file.note(), Contains("page 1 of 3 in 2 images"));
  CHECK_THAT(file.failure({.page = 4}), Contains("the file has 3, with 2 channels (DAPI, GFP)"));
  // Where TiffData has no numbers, each image goes on behind the one before.
  const File plain(stack(2), ome(pixels("", "<TiffData/>") + pixels("", "<TiffData/>")));
  CHECK(page_count(plain.path) == 2);
  CHECK(plain.value(2) == 2);
  CHECK(plain.remark().empty());
}

TEST_CASE("nuclei: OME-XML is read as XML", "[nuclei][tiff]") {
  const File entities(stack(2), ome(pixels("SizeC=\"2\"",
                                           "<Channel Name=\"&#945;-tubulin &lt;647&gt;\"/><!-- <Channel "
                                           "Name=\"none\"/> --><Channel Name='DAPI &amp; \"Hoechst\"'/>"
                                           "<TiffData/>")));
  CHECK(entities.value({}, "dapi & \"hoechst\"") == 2);
  CHECK_THAT(entities.note(), Contains("(α-tubulin <647>, DAPI & \"Hoechst\")"));
  const File escapes(stack(2), ome(pixels("SizeC=\"2\"", "<Channel Name=\"&#27;[31m\"/><TiffData/>")));
  CHECK_THAT(escapes.note(), Contains("(\\x1b[31m)"));
  const File prefixed(
      stack(2),
      "\xef\xbb\xbf<?xml version=\"1.0\"?>\n<ome:OME xmlns:ome=\"x\"><ome:Image><ome:Pixels "
      "SizeX = '5' SizeY='4' SizeC\n=\"2\" PhysicalSizeX='.25'><ome:Channel Name='a'/>"
      "<ome:Channel Name='b'></ome:Channel><ome:TiffData/></ome:Pixels></ome:Image></ome:OME>");
  CHECK(prefixed.value({}, "B") == 2);
  CHECK(prefixed.pixel() == 0.25);
  const File uuid(
      stack(2),
      ome(pixels("SizeC=\"2\"", two_channels +
                                    "<TiffData IFD=\"1\"><UUID FileName=\"x.tif\"><![CDATA[urn:uuid:7]]>"
                                    "</UUID></TiffData><TiffData FirstC=\"1\" IFD=\"0\"><UUID "
                                    "FileName=\"y.tif\">urn:uuid:8</UUID></TiffData>"),
          "UUID=\"urn:uuid:7\""));
  CHECK(uuid.value({}, "DAPI") == 2);
  const File cut(stack(2), ome(pixels("SizeC=\"2\"", two_channels)).substr(0, 150));
  CHECK(page_count(cut.path) == 2);
  CHECK_THAT(cut.remark(), Contains("OME-XML is damaged at byte"));
  // Samples are no planes, whether or not the attribute says so.
  for (const char* attribute : {"SamplesPerPixel=\"3\"", ""}) {
    const File rgb({{.samples = 3, .photometric = PHOTOMETRIC_RGB, .value = all(1)},
                    {.samples = 3, .photometric = PHOTOMETRIC_RGB, .value = all(2)}},
                   ome(pixels("DimensionOrder=\"XYCZT\" SizeC=\"3\" SizeZ=\"2\"",
                              "<Channel Name=\"H and E\" " + std::string(attribute) + "/><TiffData/>")));
    CHECK(page_count(rgb.path) == 2);
    CHECK(rgb.remark().empty());
    CHECK(open_tiff(rgb.path, {.page = 2, .channel = "H and E"})->header().channels == 3);
    CHECK(open_tiff(rgb.path, {.page = 2})->header().channels == 3);
  }
}

TEST_CASE("nuclei: OME-XML of no sense is not used, and the file is read", "[nuclei][tiff]") {
  const auto order = [](const std::string& text) {
    return pixels("DimensionOrder=\"" + text + "\" SizeC=\"2\" SizeZ=\"2\" PhysicalSizeX=\"0.5\"", "");
  };
  for (const std::string& text : {std::string("XYZZC"), "XY" + std::string(30, 'Z') + "C",
                                  "XY" + std::string(32, 'Z') + "C", std::string(), std::string("XYCZ"),
                                  std::string("CZTXY"), std::string("xyczt"), std::string("XYCZC")}) {
    const File file(stack(4), ome(order(text)));
    INFO(text);
    CHECK(page_count(file.path) == 4);
    CHECK(file.value(4) == 4);
    CHECK(file.pixel(4) == 0.5);
    CHECK_THAT(file.remark(), Contains("OME-XML is not used: it says DimensionOrder=\"" + text + "\""));
  }
  for (const std::string& sizes :
       {std::string("SizeC=\"-2\""), std::string("SizeC=\"0\""), std::string("SizeZ=\"two\""),
        std::string("SizeT=\"4294967296\""), std::string("SizeT=\"1e300\""), std::string("SizeZ=\"nan\"")}) {
    const File file(stack(3), ome(pixels(sizes, "")));
    INFO(sizes);
    CHECK(page_count(file.path) == 3);
    CHECK_THAT(file.remark(), Contains(sizes));
  }
  for (const std::string& data :
       {std::string("IFD=\"-1\""), std::string("FirstC=\"2\""), std::string("FirstZ=\"-1\"")}) {
    const File file(stack(2), ome(pixels("SizeC=\"2\"", "<TiffData " + data + "/>")));
    INFO(data);
    CHECK(page_count(file.path) == 2);
    CHECK_THAT(file.remark(), Contains(data));
  }
  // Sizes whose product would not fit into 64 bits take neither time nor memory.
  const File huge(stack(2),
                  ome(pixels("DimensionOrder=\"XYCZT\" SizeC=\"1000000\" SizeZ=\"1000000\" SizeT=\"1000000\"",
                             "<TiffData/>")));
  CHECK(page_count(huge.path) == 1);
  CHECK(huge.value({}, "2") == 2);
  CHECK_THAT(huge.remark(), Contains("1000000000000000000 planes, 2 are in this file"));
  // Elements that claim the same directories again do not.
  std::string again;
  for (int i = 0; i < 2000; ++i) again += "<TiffData IFD=\"0\" PlaneCount=\"1000000\"/>";
  const File twice(stack(2), ome(pixels("SizeC=\"2\"", again)));
  CHECK(twice.value({}, "2") == 2);
  const File none(stack(2), ome(pixels("SizeC=\"2\"", "<TiffData IFD=\"7\"/>")));
  CHECK(page_count(none.path) == 2);
  CHECK_THAT(none.remark(), Contains("2 planes, 0 are in this file"));
  const File empty(stack(2), "<OME/>");
  CHECK(page_count(empty.path) == 2);
}

TEST_CASE("nuclei: units of length, and resolutions that are a printer's", "[nuclei][tiff]") {
  for (const auto& [length, unit, expected] : {std::tuple{0.325, "µm", 0.325},
                                               {0.325, "μm", 0.325},
                                               {0.325, "um", 0.325},
                                               {0.325, "micron", 0.325},
                                               {0.325, "Microns", 0.325},
                                               {0.325, "\\u00B5m", 0.325},
                                               {0.325, "\\u03bcm", 0.325},
                                               {0.325, "&micro;m", 0.325},
                                               {0.325, "Âµm", 0.325},  // encoded twice
                                               {0.325, "\\u00B", 0.0},
                                               {3250, "\\u00C5", 0.325},
                                               {3250, "\\u212B", 0.325},
                                               {3250, "A\u030a", 0.325},
                                               {0.325, "\xb5m", 0.325},
                                               {325, "nm", 0.325},
                                               {325000, "pm", 0.325},
                                               {3250, "Å", 0.325},
                                               {0.000325, "mm", 0.325},
                                               {0.0000325, "cm", 0.325},
                                               {0.000000325, "m", 0.325},
                                               {0.325 / 25400, "inch", 0.325},
                                               {0.325 / 25400, "in", 0.325},
                                               {0.05, "mm", 50.0},  // a stereo microscope's
                                               {25.0, "µm", 25.0},
                                               {1, "pixel", 0.0},
                                               {1, "reference frame", 0.0},
                                               {1, "", 0.0},
                                               {1.0 / 300, "inch", 0.0},
                                               {1.0 / 72, "inch", 0.0},
                                               {1 / 118.11, "cm", 0.0},
                                               {1 / 28.35, "cm", 0.0},
                                               {84.6667, "µm", 0.0},  // 300 dots per inch, converted
                                               {352.778, "micron", 0.0},
                                               {0.0, "µm", 0.0},
                                               {-0.5, "µm", 0.0},
                                               {NAN, "µm", 0.0},
                                               {INFINITY, "µm", 0.0},
                                               {1e300, "µm", 0.0},
                                               {1, "m", 0.0}}) {
    INFO(length << " " << unit);
    CHECK(pixel_size(length, unit) == Approx(expected));
  }
  CHECK(number(" +0.325 ") == 0.325);
  CHECK(number("+-1") == std::nullopt);
  CHECK(number("+") == std::nullopt);
  const auto size = [](const std::string& text, int unit, double resolution) {
    return File({{.more =
                      [=](TIFF* t) {
                        TIFFSetField(t, TIFFTAG_RESOLUTIONUNIT, unit);
                        TIFFSetField(t, TIFFTAG_XRESOLUTION, resolution);
                        TIFFSetField(t, TIFFTAG_YRESOLUTION, resolution);
                      }}},
                text)
        .pixel();
  };
  CHECK(size("ImageJ=1.53t\nunit=inch\n", RESUNIT_INCH, 300) == 0);
  CHECK(size("ImageJ=1.53t\nunit=inch\n", RESUNIT_NONE, 72) == 0);
  CHECK(size("ImageJ=1.53t\nunit=cm\n", RESUNIT_CENTIMETER, 118.11) == 0);
  CHECK(size("ImageJ=1.53t\nunit=cm\n", RESUNIT_CENTIMETER, 20000) == Approx(0.5));
  CHECK(size("ImageJ=1.53t\nunit=micron\n", RESUNIT_NONE, 0.04) == Approx(25));
  CHECK(size("ImageJ=1.53t\nunit=pixel\n", RESUNIT_INCH, 25400) == 0);
  CHECK(size("ImageJ=1.53t\nunit=micron\r\n", RESUNIT_NONE, 0) == 0);
  CHECK(size("", RESUNIT_CENTIMETER, 118.11) == 0);
  // A pixel size that was left behind when the picture was made smaller.
  const File resized(stack(1),
                     ome("<Image><Pixels SizeX=\"10\" SizeY=\"8\" PhysicalSizeX=\"0.5\"/></Image>"));
  CHECK(resized.pixel() == 0);
  CHECK_THAT(resized.remark(), Contains("for 10 x 8 pixels"));
}
