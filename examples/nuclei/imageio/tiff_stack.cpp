#include "imageio/tiff_stack.h"

#include <filesystem>

namespace nuclei {
namespace {

struct Run {
  std::uint64_t begin = 0, bytes = 0;  // where the first plane begins, and how long each is
};

/// The directory's pixels, if its strips are in one piece; no bytes if they are not.
Run run_of(TIFF* tiff, std::uint32_t height) {
  const Run run{TIFFGetStrileOffset(tiff, 0), TIFFScanlineSize64(tiff) * height};
  std::uint64_t end = run.begin;
  for (std::uint32_t i = 0, strips = TIFFNumberOfStrips(tiff); i < strips; ++i) {
    if (TIFFGetStrileOffset(tiff, i) != end) return {};
    end += TIFFGetStrileByteCount(tiff, i);
  }
  return end - run.begin >= run.bytes ? run : Run{};
}

std::uint32_t height_of(const TiffFile& file) { return file.field<std::uint32_t>(TIFFTAG_IMAGELENGTH, 0); }

}  // namespace

std::string why_no_stack(const TiffFile& file, std::int64_t planes) {
  constexpr std::int64_t most = 1'000'000;
  TIFF* tiff = file.get();
  if (file.field<std::uint16_t>(TIFFTAG_COMPRESSION, COMPRESSION_NONE) != COMPRESSION_NONE ||
      TIFFIsTiled(tiff))
    return "others would be compressed or tiled";
  const bool separate =
      file.field<std::uint16_t>(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE &&
      file.field<std::uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1) > 1;
  const bool reversed = file.field<std::uint16_t>(TIFFTAG_FILLORDER, FILLORDER_MSB2LSB) != FILLORDER_MSB2LSB;
  const Run run = run_of(tiff, height_of(file));
  if (separate || reversed || run.bytes == 0 || planes > most) return "its pixels do not lie as in a stack";
  const auto count = static_cast<std::uint64_t>(planes);
  const std::uint64_t size = std::filesystem::file_size(file.path());
  if (run.begin > size || (size - run.begin) / run.bytes < count) return "the file is too short for more";
  const std::uint64_t directory = TIFFCurrentDirOffset(tiff);
  if (directory >= run.begin && directory < run.begin + run.bytes * count)
    return "its directory lies where others would be";
  return "";
}

StackPlane find_in_stack(const TiffFile& file, std::uint64_t behind) {
  const Run run = run_of(file.get(), height_of(file));
  return {run.begin + behind * run.bytes, TIFFScanlineSize64(file.get())};
}

bool read_row(const TiffFile& file, const StackPlane& plane, int y, std::vector<std::uint8_t>& row) {
  TIFF* tiff = file.get();
  row.resize(plane.row_bytes);
  const auto bytes = static_cast<tmsize_t>(plane.row_bytes);
  const toff_t at = plane.begin + static_cast<std::uint64_t>(y) * plane.row_bytes;
  if (TIFFGetSeekProc(tiff)(TIFFClientdata(tiff), at, SEEK_SET) != at ||
      TIFFGetReadProc(tiff)(TIFFClientdata(tiff), row.data(), bytes) != bytes)
    return false;
  if (!TIFFIsByteSwapped(tiff)) return true;
  switch (file.field<std::uint16_t>(TIFFTAG_BITSPERSAMPLE, 1)) {
    case 16: TIFFSwabArrayOfShort(reinterpret_cast<std::uint16_t*>(row.data()), bytes / 2); break;
    case 24: TIFFSwabArrayOfTriples(row.data(), bytes / 3); break;
    case 32: TIFFSwabArrayOfLong(reinterpret_cast<std::uint32_t*>(row.data()), bytes / 4); break;
    case 64: TIFFSwabArrayOfLong8(reinterpret_cast<std::uint64_t*>(row.data()), bytes / 8); break;
    default: break;
  }
  return true;
}

}  // namespace nuclei
