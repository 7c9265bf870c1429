// JPEG files: baseline and progressive, grey, colour and CMYK, with restarts and cut short.
#include <cstdio>
#include <cstdlib>

#include <jpeglib.h>

#include "images.h"

namespace {

struct Kind {
  int channels;
  J_COLOR_SPACE space;
  bool progressive;
  unsigned restart;
};

std::vector<std::uint8_t> encoded(const Kind& kind) {
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &memory, &size);
  jpeg.image_width = 19;
  jpeg.image_height = 17;
  jpeg.input_components = kind.channels;
  jpeg.in_color_space = kind.space;
  jpeg_set_defaults(&jpeg);
  if (kind.progressive) jpeg_simple_progression(&jpeg);
  jpeg.optimize_coding = TRUE;
  jpeg.restart_interval = kind.restart;
  jpeg_start_compress(&jpeg, TRUE);
  std::vector<std::uint8_t> row(jpeg.image_width * static_cast<unsigned>(kind.channels));
  while (jpeg.next_scanline < jpeg.image_height) {
    for (std::size_t i = 0; i < row.size(); ++i)
      row[i] = static_cast<std::uint8_t>(i * 11 + jpeg.next_scanline * 7);
    JSAMPROW rows[] = {row.data()};
    jpeg_write_scanlines(&jpeg, rows, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::vector<std::uint8_t> file(memory, memory + size);
  std::free(memory);
  return file;
}

fuzz::Inputs seeds() {
  fuzz::Inputs seeds;
  for (const Kind& kind :
       {Kind{1, JCS_GRAYSCALE, false, 0}, Kind{3, JCS_RGB, false, 0}, Kind{4, JCS_CMYK, false, 0},
        Kind{1, JCS_GRAYSCALE, true, 0}, Kind{3, JCS_RGB, true, 0}, Kind{3, JCS_RGB, false, 2},
        Kind{1, JCS_GRAYSCALE, true, 1}}) {
    seeds.push_back(encoded(kind));
    seeds.push_back(seeds.back());
    seeds.back().resize(seeds.back().size() * 2 / 3);
  }
  return seeds;
}

const fuzz::Register target{{"jpeg", fuzz::read_picture, seeds}};

}  // namespace
