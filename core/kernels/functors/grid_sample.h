#pragma once
#include <cmath>
#include <cstdint>

#include <karyon/core/ops/grid_sample.h>

// Where grid_sample reads, written once for every device.
namespace karyon::functors {

/// A place along one dimension, in pixels, and its derivative in the grid's coordinate.
template <class T>
struct GridPlace {
  T at, slope;
};

/// A place mirrored between two edges, which are given as twice their places.
template <class T>
constexpr GridPlace<T> reflected(T at, std::int64_t twice_low, std::int64_t twice_high) {
  if (twice_low == twice_high) return {T(0), T(0)};
  const T low = static_cast<T>(twice_low) / 2, span = static_cast<T>(twice_high - twice_low) / 2;
  const T away = std::abs(at - low), times = std::floor(away / span), rest = std::fmod(away, span);
  const T slope = at < low ? T(-1) : T(1);
  const bool even = std::fmod(times, T(2)) == 0;
  return {even ? rest + low : span - rest + low, even ? slope : -slope};
}

/// Where a coordinate of the grid lies in a dimension of `size` pixels.
template <class T>
constexpr GridPlace<T> grid_place(T coordinate, std::int64_t size, const GridSampleOptions& options) {
  const T n = static_cast<T>(size);
  GridPlace<T> place = options.align_corners ? GridPlace<T>{(coordinate + 1) / 2 * (n - 1), (n - 1) / 2}
                                             : GridPlace<T>{((coordinate + 1) * n - 1) / 2, n / 2};
  if (options.padding == GridPadding::zeros) return place;
  if (options.padding == GridPadding::reflection) {
    const GridPlace<T> inside = options.align_corners ? reflected(place.at, 0, 2 * (size - 1))
                                                      : reflected(place.at, -1, 2 * size - 1);
    place = {inside.at, place.slope * inside.slope};
  }
  // At the edge itself the derivative is 0, as in PyTorch. NaN becomes 0.
  if (!(place.at > 0)) return {T(0), T(0)};
  if (place.at >= n - 1) return {n - 1, T(0)};
  return place;
}

/// The two pixels around a place, -1 for one that is not there, and their weights. For `nearest` it is one.
template <class T>
struct GridPixels {
  std::int64_t pixel[2] = {-1, -1};
  T weight[2] = {T(0), T(0)};
  T slope;  ///< of weight[1] in the grid's coordinate; that of weight[0] is -slope

  constexpr GridPixels(T coordinate, std::int64_t size, const GridSampleOptions& options) {
    const GridPlace<T> place = grid_place(coordinate, size, options);
    const bool nearest = options.mode == GridSampleMode::nearest;
    slope = nearest ? T(0) : place.slope;
    const T low = nearest ? std::rint(place.at) : std::floor(place.at);
    if (!(low >= -1 && low < static_cast<T>(size))) return;  // far outside, or NaN
    const auto first = static_cast<std::int64_t>(low);
    weight[1] = nearest ? T(0) : place.at - low;
    weight[0] = 1 - weight[1];
    if (first >= 0) pixel[0] = first;
    if (!nearest && first + 1 < size) pixel[1] = first + 1;
  }
};

}  // namespace karyon::functors
