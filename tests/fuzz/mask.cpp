// Masks and label images of any kind of file: as masks, as they are stored, and brought into the layout of
// data sets.
#include "app/arrange.h"
#include "common/error.h"
#include "fuzz.h"
#include "imageio/image.h"
#include "imageio/image_source.h"
#include "imageio/label_image.h"

namespace {

using namespace fuzz;
namespace fs = std::filesystem;

void run(Bytes input) {
  constexpr std::size_t most_pixels = 1 << 12;
  const fs::path path = as_file(input);
  succeeds<nuclei::Failure>([&] { nuclei::read_mask(path, 6, 5); });
  int width = 0, height = 0;
  if (!succeeds<nuclei::Failure>([&] {
        const auto source = nuclei::open_image(path);
        width = source->header().width, height = source->header().height;
      }))
    return;
  if (nuclei::pixel_count(width, height) > most_pixels) return;
  succeeds<nuclei::Failure>([&] {
    const nuclei::Mask mask = nuclei::read_mask(path, width, height);
    expect(mask.width == width && mask.height == height &&
               std::ranges::all_of(mask, [](auto v) { return v <= 1; }),
           "read_mask: not a mask");
  });
  succeeds<nuclei::Failure>([&] { nuclei::rival_of_background(nuclei::read_label_image(path)); });
  if (input.size() % 4 != 0) return;
  const fs::path folder = empty_folder();
  for (const char* name : {"images", "masks"}) {
    fs::create_directory(folder / name);
    fs::copy_file(path, folder / name / "a.png");
  }
  succeeds<nuclei::Failure>([&] { nuclei::arrange(folder / "images", folder / "masks", folder / "out"); });
}

Inputs seeds() {
  Inputs seeds;
  for (const int channels : {1, 2, 3, 4}) {
    nuclei::Picture picture(6, 5, channels);
    for (std::size_t i = 0; i < picture.size(); ++i)
      picture[i] = static_cast<std::uint8_t>(i % 9 < 4 ? 0 : i / 10 + 1);
    seeds.push_back(nuclei::encode_png8(picture));
  }
  const fs::path path = empty_folder() / "seed";
  nuclei::Raster<std::uint16_t> deep(6, 5);
  deep[7] = deep[8] = 40000, deep[20] = 3;
  nuclei::write_png16(path, deep);
  seeds.push_back(file_bytes(path));
  return seeds;
}

const Register target{{"mask", run, seeds}};

}  // namespace
