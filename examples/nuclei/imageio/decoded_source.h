#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "imageio/sample_source.h"

namespace nuclei {

/// Decodes a file from its first row to its last. Rows are [width, samples] of 8 bits, or of 16 bits in the
/// machine's order; a sample of alpha is the last.
class RowDecoder {
 public:
  virtual ~RowDecoder() = default;

  /// What is stored; channels are those of the file.
  virtual const SampleFormat& format() const = 0;
  /// Samples per pixel in a row.
  int samples() const { return format().channels + (format().alpha ? 1 : 0); }
  /// Whether the picture can only be decoded as a whole, as interlaced PNG and progressive JPEG.
  virtual bool whole() const { return false; }
  /// Bytes that decoding needs, beside the pixels of a whole picture.
  virtual std::uint64_t decoding_bytes() const = 0;
  /// Gets ready to decode. It is called once, after the memory was checked.
  virtual void start() = 0;
  /// Writes the next row. Throws Failure where the file is damaged or ends early.
  virtual void next_row(std::uint8_t* row) = 0;
  /// Writes all rows at once instead.
  virtual void all_rows(std::uint8_t* rows, std::size_t row_bytes);
};

/// A picture behind a decoder. Small pictures, and those that can only be decoded as a whole, are kept in
/// memory; others are decoded again from the start when a row above the last one is asked for.
class DecodedSource : public SampleSource {
 public:
  using Open = std::function<std::unique_ptr<RowDecoder>()>;

  DecodedSource(const std::filesystem::path& path, const ReadOptions& options, Open open);
  void stored(int y, int c, double* values) override;
  std::size_t held_bytes() const override;

 private:
  void choose_channel(SampleFormat& format, const std::string& channel);
  const std::uint8_t* row(int y);
  void restart();

  std::filesystem::path path_;
  Open open_;
  std::unique_ptr<RowDecoder> decoder_;  // none once all is kept
  std::uint64_t decoding_bytes_ = 0;
  int samples_ = 1, first_ = 0;
  std::size_t row_bytes_ = 0;
  int next_ = 0;                      // row of the decoder
  std::vector<std::uint8_t> pixels_;  // all rows, or the last one
  bool kept_ = false;
};

std::unique_ptr<RowDecoder> png_decoder(const std::filesystem::path& path);
std::unique_ptr<RowDecoder> jpeg_decoder(const std::filesystem::path& path);
std::unique_ptr<RowDecoder> bmp_decoder(const std::filesystem::path& path);

/// Throws Failure if the file ends before its last chunk, or if a checksum is wrong: the whole file is read,
/// so that no long work begins on a damaged one.
void check_png(const std::filesystem::path& path);

}  // namespace nuclei
