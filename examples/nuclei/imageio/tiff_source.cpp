#include "imageio/tiff_source.h"

#include <algorithm>
#include <fstream>
#include <utility>
#include <vector>

#include "imageio/limits.h"
#include "imageio/tiff_file.h"
#include "imageio/tiff_planes.h"
#include "imageio/tiff_rows.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

class TiffSource : public SampleSource {
 public:
  TiffSource(const fs::path& path, const ReadOptions& options) {
    TiffFile file(path);
    TiffPlane plane = choose_plane(file, options);
    layout_ = std::move(plane.layout);
    first_sample_ = plane.first_sample;
    note_ = std::move(plane.note);
    remark_ = std::move(plane.remark);
    header_.pixel_width = plane.pixel_width;
    header_.pixel_height = plane.pixel_height;
    SampleFormat format = format_of(layout_);
    format.channels = plane.colour && layout_.palette.empty() ? 3 : 1;
    planes_ = layout_.planar == PLANARCONFIG_SEPARATE ? static_cast<std::size_t>(format.channels) : 1;
    check_memory(path, layout_.tiled ? "a row of its tiles" : "a row of its pixels", held_bytes(),
                 options.max_memory);
    for (std::size_t c = 0; c < planes_; ++c)
      rows_.push_back(
          std::make_unique<TiffRows>(file.path(), plane.stored.directory, layout_, plane.stored.behind));
    set_format(std::move(format));
  }

  void stored(int y, int c, double* values) override {
    rows_[std::min(static_cast<std::size_t>(c), planes_ - 1)]->row(
        y, first_sample_ + c,
        [values](std::size_t x, auto value) { values[x] = static_cast<double>(value); });
  }

  std::size_t held_bytes() const override { return planes_ * nuclei::held_bytes(layout_); }

 private:
  static SampleFormat format_of(const TiffLayout& l) {
    SampleFormat format{
        .width = static_cast<int>(l.width), .height = static_cast<int>(l.height), .bits = l.bits};
    format.kind = l.format == SAMPLEFORMAT_UINT  ? SampleFormat::Kind::natural
                  : l.format == SAMPLEFORMAT_INT ? SampleFormat::Kind::integer
                                                 : SampleFormat::Kind::real;
    format.white_is_zero =
        l.photometric == PHOTOMETRIC_MINISWHITE && format.kind == SampleFormat::Kind::natural;
    format.palette = l.palette;
    return format;
  }

  TiffLayout layout_;
  std::vector<std::unique_ptr<TiffRows>> rows_;
  std::size_t planes_ = 1;  // that are read from rows of their own
  int first_sample_ = 0;
};

}  // namespace

std::unique_ptr<SampleSource> open_tiff(const fs::path& path, const ReadOptions& options) {
  return std::make_unique<TiffSource>(path, options);
}

int page_count(const fs::path& path) {
  if (!is_tiff(path)) return 1;
  TiffFile file(path);
  return count_pages(file);
}

bool is_tiff(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  char start[4] = {};
  std::ifstream file(path, std::ios::binary);
  if (!file.read(start, sizeof start)) return false;
  const bool little = start[0] == 'I' && start[1] == 'I', big = start[0] == 'M' && start[1] == 'M';
  const int version = little ? start[2] : start[3];
  return (little || big) && (little ? start[3] : start[2]) == 0 && (version == 42 || version == 43);
}

}  // namespace nuclei
