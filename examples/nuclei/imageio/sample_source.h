#pragma once

#include <memory>
#include <vector>

#include "imageio/image_source.h"
#include "imageio/palette.h"

namespace nuclei {

/// What a file stores for each pixel.
struct SampleFormat {
  enum class Kind { natural, integer, real };  // without a sign, with one, floats

  int width = 0, height = 0;
  int channels = 1;    // that are read: 1, or 3 colours
  bool alpha = false;  // whether one more can be read behind them
  int bits = 8;        // per sample
  Kind kind = Kind::natural;
  bool white_is_zero = false;  // low values are light
  Palette palette;             // if not empty, samples are its indices, and channels is 1
};

/// Takes the palette of indices. One that is a look-up table is left out: its indices are the picture.
///   palette  the colours that the file has, without padding
void set_palette(SampleFormat& format, Palette palette);

/// A picture whose file stores samples: integers, floats or indices of a palette. It makes pixels of them,
/// for all kinds of files in the same way.
class SampleSource : public ImageSource {
 public:
  const SampleFormat& format() const { return format_; }

  /// Channel `c` of row y as it is stored, into [width]: integers of up to 53 bits are exact. Throws Failure
  /// like read().
  virtual void stored(int y, int c, double* values) = 0;

  void read(int y, int count, float* pixels) final;

 protected:
  /// Sets size, channels and scale of the header. A constructor calls it last, since the scale of more than 8
  /// bits follows the pixels.
  void set_format(SampleFormat format);

 private:
  void set_scale();

  SampleFormat format_;
  double white_ = 0;               // what shows black, where low values are light
  double scale_ = 1, offset_ = 0;  // a value is offset + scale * pixel, or white less that
  std::vector<double> row_;
};

/// Opens any image file without joining or leaving out channels.
std::unique_ptr<SampleSource> open_samples(const std::filesystem::path& path,
                                           const ReadOptions& options = {});

}  // namespace nuclei
