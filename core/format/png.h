#pragma once
#include <cstdint>
#include <span>
#include <string>

// Private: pictures for those who look at them.
namespace karyon {

/// A PNG file of 8 bits per channel, not compressed.
///   pixels    height x width x channels, row by row
///   channels  1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha
std::string encode_png(std::span<const std::uint8_t> pixels, std::uint32_t height, std::uint32_t width,
                       int channels);

}  // namespace karyon
