#include "imageio/decoded_source.h"

#include <cstring>
#include <utility>

#include "imageio/limits.h"

namespace nuclei {
namespace {

constexpr std::uint64_t small = std::uint64_t{16} << 20;  // bytes of a picture that is kept

template <class T>
void spread(const std::uint8_t* row, std::size_t first, std::size_t step, std::size_t count, double* values) {
  for (std::size_t x = 0; x < count; ++x) {
    T value;
    std::memcpy(&value, row + (first + x * step) * sizeof(T), sizeof(T));
    values[x] = value;
  }
}

}  // namespace

void RowDecoder::all_rows(std::uint8_t* rows, std::size_t row_bytes) {
  for (int y = 0; y < format().height; ++y, rows += row_bytes) next_row(rows);
}

DecodedSource::DecodedSource(const std::filesystem::path& path, const ReadOptions& options, Open open)
    : path_(path), open_(std::move(open)), decoder_(open_()) {
  if (const int page = options.page.value_or(1); page != 1)
    fail_reading(path, "there is no page " + std::to_string(page) + ": only TIFF files have pages");
  SampleFormat format = decoder_->format();
  check_sides(path, format.width, format.height);
  choose_channel(format, options.channel);
  samples_ = decoder_->samples();
  decoding_bytes_ = decoder_->decoding_bytes();
  row_bytes_ =
      static_cast<std::size_t>(format.width) * static_cast<std::size_t>(samples_) * (format.bits > 8 ? 2 : 1);
  const std::uint64_t all = std::uint64_t{row_bytes_} * static_cast<std::uint64_t>(format.height);
  const std::uint64_t limit = options.max_memory > 0 ? options.max_memory : default_memory;
  if (decoder_->whole()) {
    check_whole(path, format.width, format.height);
    check_memory(path, "a picture of this kind, which can only be decoded as a whole,", decoding_bytes_ + all,
                 options.max_memory);
  } else {
    check_memory(path, "a row of its pixels", decoding_bytes_ + row_bytes_, options.max_memory);
  }
  kept_ = decoder_->whole() || all <= std::min(small, limit / 16);
  pixels_.resize(kept_ ? static_cast<std::size_t>(all) : row_bytes_);
  decoder_->start();
  if (kept_) {
    decoder_->all_rows(pixels_.data(), row_bytes_);
    decoder_.reset();
    decoding_bytes_ = 0;
  }
  set_format(std::move(format));
}

void DecodedSource::choose_channel(SampleFormat& format, const std::string& channel) {
  if (channel.empty()) return;
  const bool colours = format.channels == 3 || !(format.palette.empty() || is_grey(format.palette));
  const auto at = std::string("123").find(channel);
  if (channel.size() != 1 || at >= (colours ? 3u : 1u))
    fail_reading(path_, "there is no channel '" + channel + "': the image has " +
                            (colours ? "3 channels, by the numbers 1 (red) to 3 (blue)" : "1 channel"));
  for (auto& colour : format.palette) colour = {colour[at], colour[at], colour[at]};
  if (format.palette.empty()) first_ = static_cast<int>(at);
  format.channels = 1;
  format.alpha = false;
}

std::size_t DecodedSource::held_bytes() const {
  return pixels_.size() + static_cast<std::size_t>(decoding_bytes_);
}

void DecodedSource::restart() {
  decoder_.reset();
  const SampleFormat before = format();
  decoder_ = open_();
  const SampleFormat& now = decoder_->format();
  if (now.width != before.width || now.height != before.height || decoder_->samples() != samples_ ||
      (now.bits > 8) != (before.bits > 8) || decoder_->whole())
    fail_reading(path_, "the file was changed while it was read; start again");
  decoder_->start();
  next_ = 0;
}

const std::uint8_t* DecodedSource::row(int y) {
  if (kept_) return pixels_.data() + static_cast<std::size_t>(y) * row_bytes_;
  if (y < next_ - 1) restart();
  for (; next_ <= y; ++next_) decoder_->next_row(pixels_.data());
  return pixels_.data();
}

void DecodedSource::stored(int y, int c, double* values) {
  const auto first = static_cast<std::size_t>(first_ + c), step = static_cast<std::size_t>(samples_),
             count = static_cast<std::size_t>(format().width);
  if (format().bits > 8) {
    spread<std::uint16_t>(row(y), first, step, count, values);
  } else {
    spread<std::uint8_t>(row(y), first, step, count, values);
  }
}

}  // namespace nuclei
