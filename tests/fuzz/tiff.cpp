// TIFF files of many layouts, plain and as OME-TIFF, ImageJ and MetaMorph write them; written by libtiff.
#include <tiffio.h>

#include <cstdarg>

#include "images.h"
#include "nuclei/tiff_layout.h"

namespace {

struct Layout {
  const char* mode = "w";
  unsigned width = 9, height = 7;
  int bits = 8, samples = 1, format = SAMPLEFORMAT_UINT, photometric = PHOTOMETRIC_MINISBLACK;
  int planar = PLANARCONFIG_CONTIG, compression = COMPRESSION_NONE, predictor = PREDICTOR_NONE;
  bool tiled = false;
  int pages = 1;
  const char* description = nullptr;
};

constexpr const char* ome =
    "<?xml version=\"1.0\"?><OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\"><Image "
    "ID=\"Image:0\">"
    "<Pixels ID=\"Pixels:0\" DimensionOrder=\"XYCZT\" Type=\"uint8\" SizeX=\"9\" SizeY=\"7\" SizeC=\"2\" "
    "SizeZ=\"2\" "
    "SizeT=\"1\" PhysicalSizeX=\"0.5\" PhysicalSizeXUnit=\"nm\" PhysicalSizeY=\"0.5\"><Channel "
    "ID=\"Channel:0:0\" "
    "Name=\"DAPI\" Color=\"65535\" SamplesPerPixel=\"1\"/><Channel ID=\"Channel:0:1\"/><TiffData "
    "FirstC=\"0\" "
    "FirstZ=\"0\" FirstT=\"0\" IFD=\"1\" PlaneCount=\"1\"><UUID "
    "FileName=\"x.ome.tif\">urn:uuid:1</UUID></TiffData>"
    "<TiffData IFD=\"0\" FirstC=\"1\"/></Pixels></Image></OME>";
constexpr const char* image_j =
    "ImageJ=1.53t\nimages=4\nchannels=2\nslices=2\nhyperstack=true\nmode=composite\nunit=\\u00B5m\nspacing=2."
    "0\n"
    "loop=false\nmin=0.0\nmax=255.0\n";

void set_tags(TIFF* tiff, const Layout& layout, int page) {
  nuclei::test::set_layout(tiff, layout);
  if (layout.predictor != PREDICTOR_NONE) TIFFSetField(tiff, TIFFTAG_PREDICTOR, layout.predictor);
  if (layout.tiled) {
    TIFFSetField(tiff, TIFFTAG_TILEWIDTH, 16);
    TIFFSetField(tiff, TIFFTAG_TILELENGTH, 16);
  } else {
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, layout.compression == COMPRESSION_JPEG ? 8 : 3);
  }
  TIFFSetField(tiff, TIFFTAG_XRESOLUTION, 300.0);
  TIFFSetField(tiff, TIFFTAG_YRESOLUTION, 300.0);
  TIFFSetField(tiff, TIFFTAG_RESOLUTIONUNIT, RESUNIT_CENTIMETER);
  if (page == 0 && layout.description) TIFFSetField(tiff, TIFFTAG_IMAGEDESCRIPTION, layout.description);
  if (layout.photometric == PHOTOMETRIC_PALETTE) {
    std::array<std::uint16_t, 256> map{};
    for (std::size_t i = 0; i < map.size(); ++i) map[i] = static_cast<std::uint16_t>(i * 257);
    TIFFSetField(tiff, TIFFTAG_COLORMAP, map.data(), map.data(), map.data());
  }
}

std::vector<std::uint8_t> written(const Layout& layout) {
  const std::filesystem::path path = fuzz::empty_folder() / "seed.tif";
  TIFF* tiff = TIFFOpen(path.c_str(), layout.mode);
  for (int page = 0; page < layout.pages; ++page) {
    set_tags(tiff, layout, page);
    const int planes = layout.planar == PLANARCONFIG_SEPARATE ? layout.samples : 1;
    std::vector<std::uint8_t> block(
        static_cast<std::size_t>(std::max(TIFFTileSize(tiff), TIFFScanlineSize(tiff)) + 64));
    for (int plane = 0; plane < planes; ++plane) {
      for (unsigned y = 0; y < layout.height; ++y) {
        for (std::size_t i = 0; i < block.size(); ++i)
          block[i] = static_cast<std::uint8_t>(i * 3 + y * 13 + static_cast<unsigned>(page));
        if (!layout.tiled) TIFFWriteScanline(tiff, block.data(), y, static_cast<std::uint16_t>(plane));
      }
      if (layout.tiled) TIFFWriteTile(tiff, block.data(), 0, 0, 0, static_cast<std::uint16_t>(plane));
    }
    TIFFWriteDirectory(tiff);
  }
  TIFFClose(tiff);
  return fuzz::file_bytes(path);
}

fuzz::Inputs seeds() {
  TIFFSetWarningHandler(nullptr);
  TIFFSetErrorHandler(nullptr);
  constexpr int rgb = PHOTOMETRIC_RGB, planar = PLANARCONFIG_SEPARATE;
  fuzz::Inputs seeds;
  for (const int bits : {1, 2, 4, 8, 10, 12, 14, 16, 24, 32}) seeds.push_back(written({.bits = bits}));
  for (const int bits : {16, 24, 32, 64})
    seeds.push_back(written({.bits = bits, .format = SAMPLEFORMAT_IEEEFP}));
  for (const int bits : {8, 16, 32}) seeds.push_back(written({.bits = bits, .format = SAMPLEFORMAT_INT}));
  for (const char* mode : {"w", "wb", "w8"}) {
    seeds.push_back(written({.mode = mode, .bits = 16, .samples = 3, .photometric = rgb}));
    seeds.push_back(
        written({.mode = mode, .samples = 4, .photometric = rgb, .planar = planar, .tiled = true}));
  }
  for (const int compression : {COMPRESSION_LZW, COMPRESSION_PACKBITS, COMPRESSION_ADOBE_DEFLATE,
                                COMPRESSION_JPEG, COMPRESSION_ZSTD, COMPRESSION_LZMA, COMPRESSION_WEBP})
    seeds.push_back(written({.compression = compression}));
  for (const int compression : {COMPRESSION_CCITTFAX3, COMPRESSION_CCITTFAX4, COMPRESSION_CCITTRLE})
    seeds.push_back(written({.bits = 1, .photometric = PHOTOMETRIC_MINISWHITE, .compression = compression}));
  seeds.push_back(written({.bits = 16, .compression = COMPRESSION_LZW, .predictor = PREDICTOR_HORIZONTAL}));
  seeds.push_back(written({.bits = 32,
                           .format = SAMPLEFORMAT_IEEEFP,
                           .compression = COMPRESSION_ADOBE_DEFLATE,
                           .predictor = PREDICTOR_FLOATINGPOINT}));
  seeds.push_back(written({.photometric = PHOTOMETRIC_PALETTE}));
  seeds.push_back(written({.photometric = PHOTOMETRIC_MINISWHITE}));
  seeds.push_back(written({.bits = 16, .samples = 2, .planar = planar, .tiled = true}));
  for (const char* description : {ome, image_j}) {
    seeds.push_back(written({.pages = 4, .description = description}));
    seeds.push_back(written({.bits = 16, .description = description}));
    seeds.push_back(written({.mode = "wb", .bits = 16, .pages = 2, .description = description}));
  }
  return seeds;
}

const fuzz::Register target{{"tiff", fuzz::read_picture, seeds}};

}  // namespace
