#include <cstdio>  // before jpeglib.h, which needs it
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include <algorithm>
#include <csetjmp>
#include <string>
#include <vector>

#include "imageio/decoded_source.h"
#include "imageio/limits.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

/// What the functions below share. libjpeg leaves them by longjmp, so nothing in them has a destructor.
struct JpegState {
  JpegState() = default;
  JpegState(const JpegState&) = delete;
  JpegState& operator=(const JpegState&) = delete;
  ~JpegState() {
    if (created) jpeg_destroy_decompress(&jpeg);
    if (file) std::fclose(file);
  }

  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg_source_mgr source{};
  jpeg_progress_mgr progress{};
  std::FILE* file = nullptr;
  JOCTET buffer[1 << 14] = {};
  bool created = false, decoding = false, ended = false;
  char message[JMSG_LENGTH_MAX] = {};
  std::jmp_buf jump{};
};

JpegState& state_of(j_common_ptr jpeg) { return *static_cast<JpegState*>(jpeg->client_data); }

[[noreturn]] void leave(j_common_ptr jpeg) {
  JpegState& s = state_of(jpeg);
  jpeg->err->format_message(jpeg, s.message);
  std::longjmp(s.jump, 1);
}

/// What libjpeg only warns of, and then goes on with invented pixels.
void warn(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  switch (jpeg->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_JPEG_EOF: leave(jpeg);
    default: break;
  }
}

void ignore_message(j_common_ptr) {}
void begin_source(j_decompress_ptr) {}
void end_source(j_decompress_ptr) {}

// Behind the end stands an end marker: some programs leave it out. Pixels that are missing then lead to a
// warning. Where a whole scan may be missing, the end is an error.
boolean fill_buffer(j_decompress_ptr jpeg) {
  JpegState& s = state_of(reinterpret_cast<j_common_ptr>(jpeg));
  std::size_t count = std::fread(s.buffer, 1, sizeof s.buffer, s.file);
  if (count == 0) {
    if (!s.decoding || jpeg_has_multiple_scans(jpeg)) ERREXIT(jpeg, JERR_INPUT_EOF);
    s.buffer[0] = 0xff;
    s.buffer[1] = JPEG_EOI;
    count = 2;
  }
  s.source.next_input_byte = s.buffer;
  s.source.bytes_in_buffer = count;
  return TRUE;
}

void skip_bytes(j_decompress_ptr jpeg, long count) {
  JpegState& s = state_of(reinterpret_cast<j_common_ptr>(jpeg));
  while (count > 0) {
    if (s.source.bytes_in_buffer == 0) fill_buffer(jpeg);
    const auto step = std::min(static_cast<std::size_t>(count), s.source.bytes_in_buffer);
    s.source.next_input_byte += step;
    s.source.bytes_in_buffer -= step;
    count -= static_cast<long>(step);
  }
}

/// A small file may ask for any number of passes over the whole picture.
void watch_scans(j_common_ptr jpeg) {
  constexpr int most = 500;
  if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number <= most) return;
  JpegState& s = state_of(jpeg);
  std::snprintf(s.message, sizeof s.message, "more than %d scans", most);
  std::longjmp(s.jump, 1);
}

bool read_header(JpegState& s) {
  s.jpeg.err = jpeg_std_error(&s.errors);
  s.errors.error_exit = leave;
  s.errors.emit_message = warn;
  s.errors.output_message = ignore_message;
  s.jpeg.client_data = &s;
  if (setjmp(s.jump)) return false;
  jpeg_create_decompress(&s.jpeg);
  s.created = true;
  s.source = {s.buffer, 0, begin_source, fill_buffer, skip_bytes, jpeg_resync_to_restart, end_source};
  s.jpeg.src = &s.source;
  s.progress.progress_monitor = watch_scans;
  s.jpeg.progress = &s.progress;
  jpeg_read_header(&s.jpeg, TRUE);
  return true;
}

bool begin_rows(JpegState& s) {
  if (setjmp(s.jump)) return false;
  s.decoding = true;
  jpeg_start_decompress(&s.jpeg);
  return true;
}

bool read_row(JpegState& s, JSAMPROW row) {
  if (setjmp(s.jump)) return false;
  return jpeg_read_scanlines(&s.jpeg, &row, 1) == 1;
}

class JpegDecoder : public RowDecoder {
 public:
  explicit JpegDecoder(const fs::path& path) : path_(path), state_(std::make_unique<JpegState>()) {
    state_->file = std::fopen(path.c_str(), "rb");
    if (!state_->file || !read_header(*state_)) damaged();
    jpeg_decompress_struct& jpeg = state_->jpeg;
    check_sides(path, jpeg.image_width, jpeg.image_height);
    const int stored = jpeg.num_components;
    if (stored != 1 && stored != 3 && stored != 4)
      fail_reading(path_, "expected a JPEG of 1, 3 or 4 components, got " + std::to_string(stored));
    jpeg.out_color_space = stored == 1 ? JCS_GRAYSCALE : stored == 3 ? JCS_RGB : JCS_CMYK;
    format_.width = static_cast<int>(jpeg.image_width);
    format_.height = static_cast<int>(jpeg.image_height);
    format_.channels = stored == 1 ? 1 : 3;
    if (stored == 4) inks_.resize(std::size_t{4} * jpeg.image_width);
  }

  const SampleFormat& format() const override { return format_; }
  bool whole() const override { return jpeg_has_multiple_scans(&state_->jpeg) != FALSE; }
  std::uint64_t decoding_bytes() const override {
    constexpr std::uint64_t rows = 40;  // of coefficients and samples, at most
    const jpeg_decompress_struct& jpeg = state_->jpeg;
    std::uint64_t coefficients = 0;
    for (int i = 0; i < jpeg.num_components; ++i)
      coefficients += std::uint64_t{jpeg.comp_info[i].width_in_blocks + 4u} *
                      (jpeg.comp_info[i].height_in_blocks + 4u) * DCTSIZE2 * sizeof(JCOEF);
    return sizeof(JpegState) +
           rows * jpeg.image_width * static_cast<std::uint64_t>(jpeg.num_components) * sizeof(JCOEF) +
           (whole() ? coefficients : 0);
  }
  void start() override {
    if (!begin_rows(*state_)) damaged();
  }
  void next_row(std::uint8_t* row) override {
    if (!read_row(*state_, inks_.empty() ? row : inks_.data())) damaged();
    if (!inks_.empty()) mix_inks(row);
  }

 private:
  /// Red, green and blue of cyan, magenta, yellow and black. Adobe's files hold them inverted.
  void mix_inks(std::uint8_t* row) const {
    const int inverted = state_->jpeg.saw_Adobe_marker ? 0 : 255;
    for (std::size_t x = 0; x < inks_.size() / 4; ++x) {
      const std::uint8_t* ink = inks_.data() + 4 * x;
      for (std::size_t c = 0; c < 3; ++c)
        row[3 * x + c] = static_cast<std::uint8_t>(((ink[c] ^ inverted) * (ink[3] ^ inverted) + 127) / 255);
    }
  }

  [[noreturn]] void damaged() {
    const std::string reason = state_->file ? state_->message : "it cannot be opened";
    fail_reading(path_, "the JPEG file is damaged, cut short or of an unsupported kind (" + reason +
                            "); copy it again, or save it as PNG");
  }

  fs::path path_;
  std::unique_ptr<JpegState> state_;
  SampleFormat format_;
  std::vector<std::uint8_t> inks_;  // a row of a file with four
};

}  // namespace

std::unique_ptr<RowDecoder> jpeg_decoder(const fs::path& path) { return std::make_unique<JpegDecoder>(path); }

}  // namespace nuclei
