#pragma once
#include <cstring>
#include <memory>
#include <string>

#include "common/error.h"
#include "fuzz.h"
#include "imageio/image_source.h"

namespace fuzz {

/// Reads an image file as `predict` does: the header, the brightness, all rows. Some lengths of input also
/// ask for a page or a channel, or leave the brightness out. Rows read by themselves must be those of the
/// whole.
inline void read_picture(Bytes input) {
  constexpr std::size_t most_pixels = 1 << 18;
  nuclei::ReadOptions options{.page = {}, .channel = {}, .max_memory = 32 << 20};
  if (input.size() % 8 > 4) options.page = 2;
  if (input.size() % 8 > 5) options.channel = input.size() % 8 == 6 ? "2" : "DAPI";
  succeeds<nuclei::Failure>([&] {
    const auto source = nuclei::open_image(as_file(input), options);
    expect(source->held_bytes() <= options.max_memory, "held bytes ", source->held_bytes());
    const nuclei::Image& header = source->header();
    expect(header.width > 0 && header.height > 0 && (header.channels == 1 || header.channels == 3), "size ",
           nuclei::size_text(header), ", channels ", header.channels);
    nuclei::Raster<float> row(header.width, 1, header.channels);
    if (header.pixels() > most_pixels) return source->read(header.height - 1, 1, row.values.data());
    if (input.size() % 5 == 0) nuclei::brightness_quantiles(*source, {0.0, 0.5, 1.0});
    const nuclei::Image whole = nuclei::read_all(*source);
    expect(whole.size() == header.pixels() * header.depth(), "number of values ", whole.size());
    for (const int y : {header.height / 2, header.height - 1, 0}) {
      source->read(y, 1, row.values.data());
      expect(std::memcmp(row.values.data(), whole.row(y), row.size() * sizeof(float)) == 0, "row ", y,
             " differs where it is read by itself");
    }
  });
}

}  // namespace fuzz
