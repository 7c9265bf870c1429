#include "imageio/tiff_writer.h"

#include <algorithm>
#include <string>

#include "common/error.h"
#include "imageio/tiff_file.h"

namespace nuclei {
namespace {

constexpr int tile = 256;

}  // namespace

TiffWriter::TiffWriter(const std::filesystem::path& path, int width, int height, int channels, Sample sample,
                       double pixel_width, double pixel_height)
    : path_(path), file_(path), message_(std::make_unique<std::string>()), width_(width), height_(height) {
  constexpr double big_from = 3.9e9;
  const int pixel_bytes = channels * (sample == Sample::u16 ? 2 : 4);
  const double bytes = static_cast<double>(width) * height * pixel_bytes;
  tiff_ = open_libtiff(file_.descriptor(), path, bytes > big_from ? "w8" : "w", message_.get());
  if (!tiff_) fail();
  TIFFSetField(tiff_, TIFFTAG_IMAGEWIDTH, static_cast<std::uint32_t>(width));
  TIFFSetField(tiff_, TIFFTAG_IMAGELENGTH, static_cast<std::uint32_t>(height));
  TIFFSetField(tiff_, TIFFTAG_SAMPLESPERPIXEL, channels);
  TIFFSetField(tiff_, TIFFTAG_BITSPERSAMPLE, sample == Sample::u16 ? 16 : 32);
  TIFFSetField(tiff_, TIFFTAG_SAMPLEFORMAT, sample == Sample::f32 ? SAMPLEFORMAT_IEEEFP : SAMPLEFORMAT_UINT);
  TIFFSetField(tiff_, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
  TIFFSetField(tiff_, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  if (channels > 1) {
    const std::vector<std::uint16_t> kinds(static_cast<std::size_t>(channels - 1), EXTRASAMPLE_UNSPECIFIED);
    TIFFSetField(tiff_, TIFFTAG_EXTRASAMPLES, channels - 1, kinds.data());
  }
  TIFFSetField(tiff_, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE);
  TIFFSetField(tiff_, TIFFTAG_TILEWIDTH, tile);
  TIFFSetField(tiff_, TIFFTAG_TILELENGTH, tile);
  if (pixel_width > 0 && pixel_height > 0) {
    TIFFSetField(tiff_, TIFFTAG_RESOLUTIONUNIT, RESUNIT_CENTIMETER);
    TIFFSetField(tiff_, TIFFTAG_XRESOLUTION, 1e4 / pixel_width);
    TIFFSetField(tiff_, TIFFTAG_YRESOLUTION, 1e4 / pixel_height);
  }
  band_ = Raster<std::uint8_t>(width, tile, pixel_bytes);
  tile_ = Raster<std::uint8_t>(tile, tile, pixel_bytes);
}

TiffWriter::~TiffWriter() {
  if (tiff_) TIFFClose(tiff_);
}

void TiffWriter::fail() {
  throw Failure("writing " + path_.string() + ": " +
                (message_->empty() ? "libtiff gives no reason" : *message_) + "; is the disk full?");
}

void TiffWriter::append(const void* rows, int count) {
  const auto* from = static_cast<const std::uint8_t*>(rows);
  for (int i = 0; i < count; ++i, from += band_.row_size()) {
    std::copy_n(from, band_.row_size(), band_.row(next_ % tile));
    ++next_;
    if (next_ % tile == 0 || next_ == height_) write_tiles();
  }
}

void TiffWriter::write_tiles() {
  const int top = (next_ - 1) / tile * tile, rows = next_ - top;
  for (int x = 0; x < width_; x += tile) {
    std::ranges::fill(tile_, std::uint8_t{0});
    for (int y = 0; y < rows; ++y)
      std::copy(&band_.at(x, y), band_.row(y) + band_.index(std::min(x + tile, width_), 0), tile_.row(y));
    if (TIFFWriteTile(tiff_, tile_.values.data(), static_cast<std::uint32_t>(x),
                      static_cast<std::uint32_t>(top), 0, 0) < 0)
      fail();
  }
}

void TiffWriter::commit() {
  if (next_ != height_)
    throw Failure("writing " + path_.string() + ": expected " + std::to_string(height_) + " rows, got " +
                  std::to_string(next_));
  if (!TIFFFlush(tiff_)) fail();
  TIFFClose(tiff_);
  tiff_ = nullptr;
  file_.commit();
}

}  // namespace nuclei
