#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace nuclei {

constexpr std::size_t pixel_count(int width, int height) {
  return static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
}

/// size_text(320, 256) == "320 x 256".
std::string size_text(std::int64_t width, std::int64_t height);

/// Throws Failure unless there are as many values as a raster of this size holds.
void check_value_count(int width, int height, int channels, std::size_t got);

/// One or several values per pixel: rows from top to bottom, the channels of a pixel side by side.
template <class T>
struct Raster {
  int width = 0;
  int height = 0;
  int channels = 1;
  std::vector<T> values;  // [height, width, channels]; empty where only the size is known

  Raster() = default;
  /// All values are zero.
  Raster(int w, int h, int c = 1) : width(w), height(h), channels(c), values(pixel_count(w, h) * depth()) {}
  /// Throws Failure if there are too few or too many values.
  Raster(int w, int h, int c, std::vector<T> all) : width(w), height(h), channels(c), values(std::move(all)) {
    check_value_count(w, h, c, values.size());
  }
  bool operator==(const Raster&) const = default;

  bool empty() const { return values.empty(); }
  std::size_t size() const { return values.size(); }
  std::size_t pixels() const { return pixel_count(width, height); }
  /// Values per pixel: the channels.
  std::size_t depth() const { return static_cast<std::size_t>(channels); }
  /// Values per row.
  std::size_t row_size() const { return static_cast<std::size_t>(width) * depth(); }
  /// The index of a pixel's first value.
  std::size_t index(int x, int y) const {
    return static_cast<std::size_t>(y) * row_size() + static_cast<std::size_t>(x) * depth();
  }
  bool contains(int x, int y) const { return x >= 0 && y >= 0 && x < width && y < height; }
  template <class U>
  bool same_size(const Raster<U>& other) const {
    return width == other.width && height == other.height;
  }

  T& operator[](std::size_t i) { return values[i]; }
  const T& operator[](std::size_t i) const { return values[i]; }
  T& at(int x, int y, int c = 0) { return values[index(x, y) + static_cast<std::size_t>(c)]; }
  const T& at(int x, int y, int c = 0) const { return values[index(x, y) + static_cast<std::size_t>(c)]; }
  T* row(int y) { return values.data() + index(0, y); }
  const T* row(int y) const { return values.data() + index(0, y); }
  /// The values of pixel `i`, counted row by row.
  T* pixel(std::size_t i) { return values.data() + i * depth(); }
  const T* pixel(std::size_t i) const { return values.data() + i * depth(); }

  auto begin() { return values.begin(); }
  auto end() { return values.end(); }
  auto begin() const { return values.begin(); }
  auto end() const { return values.end(); }
};

template <class T>
std::string size_text(const Raster<T>& raster) {
  return size_text(raster.width, raster.height);
}

}  // namespace nuclei
