#pragma once

#include <cstdint>
#include <vector>

#include "imageio/raster.h"

namespace nuclei {

/// Which nucleus each pixel belongs to: 0 is background, 1, 2, ... are nuclei; one channel.
using LabelMap = Raster<std::int32_t>;

/// One value per label, also for the background, whose label is 0.
template <class T>
class PerLabel {
 public:
  PerLabel() = default;
  explicit PerLabel(std::int32_t highest, T value = {})
      : values_(static_cast<std::size_t>(highest) + 1, value) {}

  T& operator[](std::int32_t label) { return values_[static_cast<std::size_t>(label)]; }
  const T& operator[](std::int32_t label) const { return values_[static_cast<std::size_t>(label)]; }
  std::int32_t highest() const { return static_cast<std::int32_t>(values_.size()) - 1; }
  void push_back(T value) { values_.push_back(value); }
  auto begin() { return values_.begin(); }
  auto end() { return values_.end(); }
  auto begin() const { return values_.begin(); }
  auto end() const { return values_.end(); }

 private:
  std::vector<T> values_;
};

/// The highest label in the map, which is the number of nuclei when labels are dense.
std::int32_t max_label(const LabelMap& map);

/// How many pixels have each label.
PerLabel<std::int64_t> label_areas(const LabelMap& map);

/// The area up to which nuclei hold half of all their pixels: specks weigh little. 0 if there is none; areas
/// of 0 do not count.
std::int64_t typical_area(std::vector<std::int64_t> areas);

/// For each label, 1 where a nucleus of less than `least` pixels lies inside the picture: one at its edge may
/// be cut.
///   top, bottom  whether the map's first and last rows are the picture's
PerLabel<std::uint8_t> fragments(const LabelMap& map, double least, bool top = true, bool bottom = true);

/// Drops fragments() of a whole picture, and numbers the rest as drop_small() does.
void drop_fragments(LabelMap& map, double least);

/// Drops labels of fewer than `min_area` pixels and numbers the rest 1, 2, ... in scan order of their first
/// pixels.
void drop_small(LabelMap& map, int min_area);

}  // namespace nuclei
