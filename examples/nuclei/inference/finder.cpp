#include "inference/finder.h"

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/error.h"
#include "inference/bands.h"
#include "inference/normalize.h"
#include "inference/windows.h"

namespace nuclei {
namespace {

// Rows above a band that may change its nuclei: gaps are closed and holes filled across its first row.
constexpr int margin = 16;
static_assert(most_speck <= tail_rows);
constexpr std::size_t program = std::size_t{120} << 20;  // code, libraries, buffers of files
constexpr std::size_t decode_bytes = 72;                 // per pixel of a band, beside the maps

/// Consecutive rows of a picture, dropped at the top and added at the bottom.
template <class T>
class RowBuffer {
 public:
  explicit RowBuffer(std::size_t row) : row_(row) {}
  int begin() const { return begin_; }
  int end() const { return end_; }
  T* row(int y) { return values_.data() + static_cast<std::size_t>(y - begin_) * row_; }

  /// Room for rows up to `end`, zeros.
  void extend(int end) {
    if (end <= end_) return;
    end_ = end;
    values_.resize(static_cast<std::size_t>(end_ - begin_) * row_);
  }
  void drop_before(int y) {
    y = std::clamp(y, begin_, end_);
    if (y == begin_) return;
    values_.erase(values_.begin(),
                  values_.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(y - begin_) * row_));
    begin_ = y;
  }
  void reserve(int rows) { values_.reserve(static_cast<std::size_t>(rows) * row_); }

 private:
  std::size_t row_;
  int begin_ = 0, end_ = 0;
  std::vector<T> values_;
};

struct Plan {
  Tiling tiling;
  int band_rows;
};

// Nothing if memory does not suffice.
std::optional<Plan> plan_within(std::size_t memory, const Segmenter& segmenter, const ImageSource& source,
                                const FindOptions& options, double zoom) {
  const Image& image = source.header();
  const karyon::UNetOptions& net = segmenter.model->options;
  std::size_t weights = 0;
  for (const karyon::Tensor& p : segmenter.model->parameters())
    weights += static_cast<std::size_t>(p.numel()) * sizeof(float);
  // Weights as read, weights as kept, and the largest layer's filters as convolutions transform them.
  const std::size_t fixed = program + 4 * weights + source.held_bytes();
  const auto width = static_cast<std::size_t>(image.width), height = static_cast<std::size_t>(image.height);
  const std::size_t pixel_row = width * sizeof(float) * image.depth(),
                    row = pixel_row + width * sizeof(float) * static_cast<std::size_t>(net.out_channels);
  const std::size_t free = memory > fixed ? memory - fixed : 0;
  // Turned windows may start anywhere, so they are up to a grid wider.
  const auto for_network = [&](std::size_t bytes) {
    bytes = options.tta ? bytes / 4 * 3 : bytes;
    return options.window_memory > 0 ? std::min(bytes, options.window_memory) : bytes;
  };

  // The whole picture as one band, if that leaves enough memory for the network.
  const std::size_t whole = height * (row + width * decode_bytes);
  if (whole <= free / 10 * 7 && (options.band_rows == 0 || options.band_rows >= image.height))
    if (const auto tiling = plan_tiles(net, image.width, image.height, for_network(free - whole), 0, zoom))
      return Plan{*tiling, image.height};

  // Otherwise memory is shared by the network, the band that is separated, and the rows between them.
  const std::size_t network = for_network(free / 5 * 2);
  for (int limit = 0;;) {
    const std::optional<Tiling> tiling = plan_tiles(net, image.width, image.height, network, limit, zoom);
    if (!tiling) return {};
    const int window = std::min(image.height, tiling->core_height + 2 * tiling->halo);
    int band = static_cast<int>(std::min<std::size_t>(height, free / 3 / (width * decode_bytes)));
    if (options.band_rows > 0) band = std::min(band, options.band_rows);
    const std::size_t rows = static_cast<std::size_t>(window) + static_cast<std::size_t>(band);
    // A window on a shrunk picture has many rows beyond its core, of which there are no maps.
    const std::size_t bytes =
        zoom < 1 ? rows * pixel_row +
                       static_cast<std::size_t>(std::min(image.height, tiling->core_height) + band) *
                           (row - pixel_row)
                 : rows * row;
    if (band > 2 * tail_rows && bytes <= free / 4) return Plan{*tiling, band};
    const int less = window - tiling->grid;
    if (band <= 2 * tail_rows || less < 2 * tiling->halo + tiling->grid) return {};
    limit = less;
  }
}

Plan plan(const Segmenter& segmenter, const ImageSource& source, const FindOptions& options, double zoom) {
  if (const auto found = plan_within(options.max_memory, segmenter, source, options, zoom)) return *found;
  // The least memory that suffices, in megabytes: double until it does, then search between.
  constexpr std::size_t mega = 1'000'000, most = 1'000'000'000;  // of megabytes
  const auto enough = [&](std::size_t megabytes) {
    return plan_within(megabytes * mega, segmenter, source, options, zoom).has_value();
  };
  std::size_t little = options.max_memory / mega, much = little + 1;
  while (much < most && !enough(much)) {
    little = much;
    much *= 2;
  }
  while (much - little > 1) {
    const std::size_t middle = (little + much) / 2;
    (enough(middle) ? much : little) = middle;
  }
  const Image& image = source.header();
  throw Failure("an image of " + std::to_string(image.width) + " x " + std::to_string(image.height) +
                " pixels needs --max-memory " + std::to_string(much) + "MB or more with this network" +
                (segmenter.model->options.norm == karyon::Norm::group
                     ? ", whose group norms look at the whole image at once"
                     : "") +
                "; raise it, or cut the image up" +
                (source.held_bytes() > much * mega / 2
                     ? ", or save it as a TIFF, which need not be read as a whole"
                     : ""));
}

class Finder {
 public:
  Finder(Segmenter& segmenter, ImageSource& source, const FindOptions& options, FindSink& sink,
         const std::function<void(double)>& progress)
      : segmenter_(segmenter),
        source_(source),
        image_(source.header()),
        options_(options),
        sink_(sink),
        progress_(progress),
        plan_(make_plan()),
        channels_(static_cast<std::size_t>(segmenter.model->options.out_channels)),
        pixels_(width() * static_cast<std::size_t>(image_.channels)),
        maps_(width() * channels_),
        taken_(width()) {
    const int band = plan_.band_rows + margin, window = plan_.tiling.core_height + plan_.tiling.halo;
    maps_.reserve(std::min(image_.height, band + plan_.tiling.core_height));
    pixels_.reserve(std::min(image_.height, band + window + plan_.tiling.halo + 2 * plan_.tiling.grid));
    taken_.reserve(std::min(image_.height, band));
  }

  FindSummary run() {
    const Tiling& t = plan_.tiling;
    summary_.zoom = t.zoom;
    summary_.size = size_;
    summary_.holes = levels_.holes;
    summary_.whole = plan_.band_rows >= image_.height;
    summary_.tiled = t.core_width < image_.width || t.core_height < image_.height;
    summary_.exact = !summary_.tiled || t.exact;
    while (done_ < image_.height) next_band();
    return summary_;
  }

 private:
  std::size_t width() const { return static_cast<std::size_t>(image_.width); }

  /// The memory that is needed must not depend on what the picture shows, so it has to suffice for either
  /// usual zoom. Only large nuclei in a large picture may need more, which is said once they are measured.
  Plan make_plan() {
    const double most = options_.zoom == auto_zoom ? 2 : options_.zoom;
    const Plan largest = plan(segmenter_, source_, options_, most);
    levels_ = find_levels(source_);
    size_ = measured_size();
    return size_.zoom == most ? largest : plan(segmenter_, source_, options_, size_.zoom);
  }

  NucleusSize measured_size() {
    const std::size_t row = width() * image_.depth();
    std::vector<float> rows;  // top ... end - 1
    int top = 0, end = 0;
    return choose_zoom(
        *segmenter_.model, image_.width, image_.height, levels_,
        [&](const Rect& part, float* out) {
          if (part.y0 != top || part.y1 != end) {
            top = part.y0;
            end = part.y1;
            rows.resize(row * static_cast<std::size_t>(part.height()));
            source_.read(top, part.height(), rows.data());
          }
          normalize_part(rows.data(), part, out);
        },
        segmenter_.size_options(options_.zoom));
  }

  /// The network's input for a part of the picture.
  ///   rows  rows part.y0 ... part.y1 - 1 in the picture's whole width
  void normalize_part(const float* rows, const Rect& part, float* out) const {
    const auto channels = static_cast<std::size_t>(image_.channels),
               count = static_cast<std::size_t>(part.width());
    for (int y = part.y0; y < part.y1; ++y, rows += width() * channels, out += 3 * count)
      normalize(rows + static_cast<std::size_t>(part.x0) * channels, count, image_.channels, levels_, out);
  }

  /// Maps for rows before `end`.
  void predict_until(int end) {
    const Tiling& t = plan_.tiling;
    while (maps_.end() < end) {
      const int y0 = maps_.end(), y1 = std::min(image_.height, y0 + t.core_height);
      maps_.extend(y1);
      for (int x0 = 0; x0 < image_.width; x0 += t.core_width) {
        const Rect core{x0, y0, std::min(image_.width, x0 + t.core_width), y1};
        predict_core(
            *segmenter_.model, t, image_.width, image_.height, core, options_.tta,
            [&](const Rect& part, float* out) { read_part(part, out); },
            maps_.row(y0) + static_cast<std::size_t>(x0) * channels_, width());
        if (progress_)
          progress_((y0 + static_cast<double>(core.x1) / image_.width * (y1 - y0)) / image_.height);
      }
    }
  }

  void read_part(const Rect& part, float* out) {
    if (const int have = pixels_.end(); part.y1 > have) {
      pixels_.extend(part.y1);
      source_.read(have, part.y1 - have, pixels_.row(have));
    }
    normalize_part(pixels_.row(part.y0), part, out);
  }

  void next_band() {
    const int top = std::max(0, done_ - margin), bottom = std::min(image_.height, done_ + plan_.band_rows);
    predict_until(bottom);
    const float *begin = maps_.row(top),
                *end = begin + static_cast<std::size_t>(bottom - top) * width() * channels_;
    LabelMap map = segment({image_.width, bottom - top, static_cast<int>(channels_), {begin, end}},
                           segmenter_.thresholds_at(plan_.tiling.zoom));
    const int start = done_ - top;  // the band's first row, in the map
    BandCut band = cut_band(Clumps(map), start, bottom == image_.height, cut_);
    taken_.extend(bottom);
    if (cut_) leave_claimed(map, start, band.keep);
    summary_.cut += band.cut;
    cut_ = band.cut;
    leave_fragments(map, top, band.keep);
    take_nuclei(map, band.keep, top, start);
    finish_rows(top + band.end);
  }

  /// Two bands that share a clump may find the same nucleus differently. It stays with the earlier band if
  /// that one has claimed at least half of its pixels.
  void leave_claimed(const LabelMap& map, int start, std::vector<std::int32_t>& keep) {
    std::vector<std::int64_t> area(keep.size()), claimed(keep.size());
    const std::int32_t* taken = taken_.row(done_);
    for (std::size_t i = static_cast<std::size_t>(start) * width(); i < map.size(); ++i, ++taken) {
      const auto label = static_cast<std::size_t>(map[i]);
      ++area[label];
      claimed[label] += *taken != 0;
    }
    for (std::size_t label = 1; label < keep.size(); ++label)
      if (2 * claimed[label] >= area[label]) keep[label] = 0;
  }

  /// What drop_fragments() does in a whole picture.
  void leave_fragments(const LabelMap& map, int top, std::vector<std::int32_t>& keep) const {
    const double least = segmenter_.thresholds.fragment * size_.typical;
    if (least <= 0) return;
    const PerLabel<std::uint8_t> dropped = fragments(map, least, top == 0, top + map.height == image_.height);
    for (std::int32_t label = 1; label <= dropped.highest(); ++label)
      if (dropped[label]) keep[static_cast<std::size_t>(label)] = 0;
  }

  void take_nuclei(LabelMap& map, const std::vector<std::int32_t>& keep, int top, int start) {
    const std::size_t above = static_cast<std::size_t>(start) * width();
    for (std::size_t i = 0; i < map.size(); ++i) {
      std::int32_t& label = map[i];
      if (i < above || !keep[static_cast<std::size_t>(label)]) label = 0;
    }
    if (levels_.holes > 0) drop_unseen(map, image_.channels, pixels_.row(top));
    std::int32_t* taken = taken_.row(done_);
    for (std::size_t i = above; i < map.size(); ++i, ++taken) {
      if (map[i] == 0) continue;
      if (*taken != 0) {
        map[i] = 0;
      } else {
        *taken = next_id_ + map[i];
      }
    }
    for (Nucleus& n : measure(map, image_, pixels_.row(top))) {
      Found found{n, outline(map, n), column_runs(map, n)};
      found.nucleus.cy += top;
      found.nucleus.y0 += top;
      found.nucleus.y1 += top;
      for (Part& part : found.parts) {
        for (Corner& c : part.outer) c.y += top;
        for (Ring& hole : part.holes)
          for (Corner& c : hole) c.y += top;
      }
      for (Run& run : found.runs) run.y += top;
      waiting_.emplace(next_id_ + n.label, std::move(found));
    }
    next_id_ += static_cast<std::int32_t>(keep.size());
  }

  /// Numbers the nuclei of the rows before `end` and hands them out.
  void finish_rows(int end) {
    std::vector<Found> complete;
    std::int32_t* label = taken_.row(done_);
    const std::int32_t* behind = label + static_cast<std::size_t>(end - done_) * width();
    std::int32_t last_id = 0, last_number = 0;
    for (; label != behind; ++label) {
      if (*label == 0) continue;
      if (*label != last_id) {
        auto [number, first] = numbers_.try_emplace(*label, 0);
        if (first) {
          number->second = static_cast<std::int32_t>(++summary_.nuclei);
          const auto found = waiting_.find(*label);
          found->second.nucleus.label = number->second;
          complete.push_back(std::move(found->second));
          waiting_.erase(found);
        }
        last_id = *label;
        last_number = number->second;
      }
      *label = last_number;
    }
    sink_.rows(done_, end - done_, taken_.row(done_), maps_.row(done_), pixels_.row(done_));
    for (const Found& found : complete) {
      sink_.nucleus(found);
    }
    done_ = end;
    taken_.drop_before(done_);
    maps_.drop_before(done_ - margin);
    pixels_.drop_before(std::min(done_ - margin, maps_.end() - plan_.tiling.halo - plan_.tiling.grid));
    // A number is needed only while its nucleus has pixels in later rows.
    if (numbers_.size() > many_numbers) {
      std::unordered_map<std::int32_t, std::int32_t> still;
      for (const std::int32_t *t = taken_.row(done_),
                              *stop = t + static_cast<std::size_t>(taken_.end() - done_) * width();
           t != stop; ++t)
        if (const auto known = numbers_.find(*t); known != numbers_.end()) still.insert(*known);
      numbers_ = std::move(still);
    }
  }

  static constexpr std::size_t many_numbers = 1 << 16;

  Segmenter& segmenter_;
  ImageSource& source_;
  const Image& image_;
  FindOptions options_;
  FindSink& sink_;
  std::function<void(double)> progress_;
  Levels levels_{};
  NucleusSize size_;
  Plan plan_;
  std::size_t channels_;
  RowBuffer<float> pixels_, maps_;
  RowBuffer<std::int32_t> taken_;  // nuclei by provisional ids, from done_ on
  int done_ = 0;                   // rows before it are handed out
  bool cut_ = false;
  std::int32_t next_id_ = 0;
  std::unordered_map<std::int32_t, Found> waiting_;
  std::unordered_map<std::int32_t, std::int32_t> numbers_;
  FindSummary summary_;
};

}  // namespace

FindSummary find_nuclei(Segmenter& segmenter, ImageSource& source, const FindOptions& options, FindSink& sink,
                        const std::function<void(double)>& progress) {
  return Finder(segmenter, source, options, sink, progress).run();
}

}  // namespace nuclei
