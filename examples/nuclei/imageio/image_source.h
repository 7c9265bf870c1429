#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "imageio/image.h"

namespace nuclei {

/// A picture that is read row by row, so that it may be larger than memory. Pixels are as in Image.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  /// Width, height, channels, scale and pixel size; there are no values.
  const Image& header() const { return header_; }
  /// What was chosen where the file leaves a choice ("channel 1 of 3 ..."), or nothing.
  const std::string& note() const { return note_; }
  /// What of the file is passed over or not understood, whatever is chosen, or nothing.
  const std::string& remark() const { return remark_; }
  /// Both in one line.
  std::string note_and_remark() const;

  /// Reads rows y ... y + count - 1 into [count, width, channels]. Cheapest when y ascends. NaN is a hole: a
  /// pixel without a value. The file has NaN or infinity there, or a value beyond -1e38 ... 1e38, such as
  /// marks for missing values are. Throws Failure where the file is damaged or ends early.
  virtual void read(int y, int count, float* pixels) = 0;

  /// Bytes that the source itself holds: a row, the tiles across a row, or all pixels of a small picture and
  /// of one that can only be decoded at once.
  virtual std::size_t held_bytes() const = 0;

 protected:
  Image header_;
  std::string note_, remark_;
};

/// What to take from a file that holds more than one picture.
struct ReadOptions {
  /// A slice, a time point or a position, from 1. If absent: the first, with a note.
  std::optional<int> page;
  /// A channel's number (from 1) or name. If empty: the colours, or else the first channel, with a note.
  std::string channel;
  /// What the source may hold, in bytes; 0 stands for 2 GiB. A file that needs more is refused before memory
  /// is taken for it.
  std::size_t max_memory = 0;
};

/// Opens any image file. It is decoded as it is read; only BMP without a palette, interlaced PNG and
/// progressive JPEG are decoded at once. A channel that was saved in a colour is read as that channel
/// (in_one_channel). Throws Failure if the file is missing, empty, of another format, damaged (for PNG every
/// checksum is verified), cut short, without the page or channel asked for, or needs more than max_memory.
std::unique_ptr<ImageSource> open_image(const std::filesystem::path& path, const ReadOptions& options = {});

/// How many rows to read at a time where all are read: those that take 4 MiB, but one at least and 64 at most.
int rows_at_once(const Image& header);

/// Reads a whole source into memory.
Image read_all(ImageSource& source);

/// A picture in memory, read like one in a file. The image must outlive it.
class ImageRows : public ImageSource {
 public:
  explicit ImageRows(const Image& image);
  void read(int y, int count, float* pixels) override;
  std::size_t held_bytes() const override { return 0; }

 private:
  const Image& image_;
};

/// The brightness (mean of the channels) below which each share of the pixels lies: quantile() of all pixels
/// but the holes, 0 where all are holes. The source is read twice; the pixels are not held in memory.
///   holes  receives how many pixels are holes
/// Throws Failure if the pixels change between the two.
std::vector<float> brightness_quantiles(ImageSource& source, const std::vector<double>& shares,
                                        std::int64_t* holes = nullptr);

}  // namespace nuclei
