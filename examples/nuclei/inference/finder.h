#pragma once

#include <functional>
#include <vector>

#include "imageio/image_source.h"
#include "inference/segmenter.h"
#include "instances/outline.h"

namespace nuclei {

struct FindOptions {
  std::size_t max_memory = std::size_t{2} << 30;  // bytes, all in all
  bool tta = false;                               // average over eight turned and mirrored versions
  double zoom = auto_zoom;                        // how many times larger the network sees the picture
  // Smaller than memory asks for, for tests: the most bytes for a window of the network, and the most rows
  // that are separated into nuclei at a time.
  std::size_t window_memory = 0;
  int band_rows = 0;
};

/// A nucleus with its place in the picture.
struct Found {
  Nucleus nucleus;
  std::vector<Part> parts;
  std::vector<Run> runs;
};

/// Where results go, from the top of the picture to its end.
class FindSink {
 public:
  virtual ~FindSink() = default;
  /// Rows y ... y + count - 1.
  ///   labels  [count, width]
  ///   maps    [count, width, channels of the network]
  ///   pixels  [count, width, channels of the picture]
  virtual void rows(int y, int count, const std::int32_t* labels, const float* maps, const float* pixels) = 0;
  /// By ascending label, without gaps; after the row of its first pixel.
  virtual void nucleus(const Found& found) = 0;
};

struct FindSummary {
  std::int64_t nuclei = 0;
  bool whole = true;       // separated at once
  double zoom = 1;         // how many times larger the network saw the picture
  NucleusSize size;        // as choose_zoom() says, if it was asked
  std::int64_t holes = 0;  // pixels without a value
  bool tiled = false;      // the network worked on windows
  bool exact = true;       // the network's answer is that of one window, bit for bit
  std::int64_t cut = 0;    // clumps of touching nuclei that were too large to separate as a whole
};

/// Finds the nuclei of a picture of any size in bounded memory.
///
/// The network works on overlapping windows (windows.h). Its maps are separated into nuclei in bands of rows.
/// A band ends above every clump (nuclei that touch, directly or through others) that it does not see as a
/// whole, and the next band begins there (bands.h). So each clump is separated in a band that holds all of
/// it, and the result is that of the whole picture. Only a clump taller than a band is taken nucleus by
/// nucleus. This relies on two properties of segment(): clumps do not influence each other, and
/// nuclei of more than 64 pixels are never dropped. Nuclei are numbered by their first pixels from the top,
/// left to right.
///
///   progress  is called with the share that is done, 0 to 1; it may throw to stop
/// Throws Failure if the source is damaged or max_memory is too little.
FindSummary find_nuclei(Segmenter& segmenter, ImageSource& source, const FindOptions& options, FindSink& sink,
                        const std::function<void(double)>& progress = {});

}  // namespace nuclei
