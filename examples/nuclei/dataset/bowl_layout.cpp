#include "dataset/bowl_layout.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "common/error.h"
#include "common/text.h"
#include "dataset/listing.h"
#include "imageio/atomic_file.h"
#include "imageio/image.h"
#include "imageio/label_image.h"

namespace nuclei {

namespace fs = std::filesystem;

bool is_bowl_picture(const fs::path& path) { return lower(path.extension().string()) == ".png"; }

namespace {

std::vector<fs::path> list_png(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) return {};
  std::vector<fs::path> files = list_folder(folder);
  std::erase_if(files, [](const fs::path& file) { return !is_bowl_picture(file); });
  return files;
}

bool is_sample_folder(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_directory(folder / "images", ignored);
}

/// Unpacked archives often hold the data one level down; say so rather than only "not found".
std::string layout_hint(const fs::path& root, const std::vector<fs::path>& folders) {
  if (is_sample_folder(root)) return "; pass the folder above " + root.string();
  for (const fs::path& folder : folders) {
    if (std::ranges::any_of(list_folder(folder), is_sample_folder)) return "; pass " + folder.string();
  }
  return "; check the path, unpack the archive first, or bring a folder of images and one of masks into the "
         "layout with nuclei arrange";
}

fs::path only_image(const fs::path& folder) {
  const std::vector<fs::path> images = list_png(folder / "images");
  if (images.size() == 1) return images.front();
  throw Failure("scanning " + folder.string() + ": expected one PNG file in its folder images, " +
                (images.empty() ? "there is none" : "there are " + std::to_string(images.size())) +
                "; repair or remove this folder");
}

void check_masks(const fs::path& root, const std::vector<Sample>& samples) {
  constexpr std::size_t listed_at_most = 3;
  std::string listed;
  std::size_t without = 0;
  for (const Sample& sample : samples) {
    if (!sample.masks.empty()) continue;
    if (++without <= listed_at_most) listed += (without > 1 ? ", " : "") + sample.id;
  }
  if (without == 0) return;
  if (without > listed_at_most) listed += ", ...";
  throw Failure("scanning " + root.string() + ": expected PNG masks beside every image, " +
                std::to_string(without) + " of " + std::to_string(samples.size()) + " images have none (" +
                listed + "); add <id>/masks/*.png or remove these folders");
}

Picture to_rgba(const Image& image) {
  const Picture picture = to_8_bits(image);
  Picture rgba(image.width, image.height, 4);
  std::ranges::fill(rgba, std::uint8_t{255});
  for (std::size_t i = 0; i < image.pixels(); ++i)
    for (std::size_t c = 0; c < 3; ++c) rgba.pixel(i)[c] = picture.pixel(i)[std::min(c, image.depth() - 1)];
  return rgba;
}

}  // namespace

std::vector<Sample> scan_bowl(const fs::path& root, bool need_masks) {
  std::error_code error;
  if (!fs::is_directory(root, error)) {
    throw Failure("scanning " + root.string() + ": expected a folder, " +
                  (fs::exists(root, error) ? "this is a file" : "there is nothing of this name") +
                  "; check the path");
  }
  std::vector<fs::path> folders = list_folder(root);
  std::erase_if(folders, [](const fs::path& entry) {
    std::error_code ignored;
    return !fs::is_directory(entry, ignored) || entry.filename() == "__MACOSX";
  });
  if (std::ranges::none_of(folders, is_sample_folder)) {
    throw Failure("scanning " + root.string() +
                  ": expected the Data Science Bowl layout <id>/images/*.png, found no such folder" +
                  layout_hint(root, folders));
  }
  std::vector<Sample> samples;
  for (const fs::path& folder : folders) {
    samples.push_back({folder.filename().string(), only_image(folder), list_png(folder / "masks")});
  }
  if (need_masks) check_masks(root, samples);
  return samples;
}

LabelMap read_labels(const Sample& sample, int width, int height) {
  LabelMap map(width, height);
  std::int32_t label = 1;
  for (const fs::path& path : sample.masks) {
    const Mask mask = read_mask(path, width, height);
    bool painted = false;
    for (std::size_t i = 0; i < mask.size(); ++i) {
      if (mask[i] == 0 || map[i] != 0) continue;
      map[i] = label;
      painted = true;
    }
    if (painted) ++label;
  }
  return map;
}

Example read_example(const Sample& sample) {
  Image image = read_image(sample.image);
  LabelMap truth = read_labels(sample, image.width, image.height);
  return {sample.id, std::move(image), std::move(truth)};
}

void write_bowl(const fs::path& root, std::span<const Example> examples) {
  for (const Example& example : examples) {
    const fs::path folder = root / example.id;
    std::error_code ignored;
    if (fs::exists(folder, ignored)) {
      throw Failure("writing examples: " + folder.string() +
                    " exists already; choose a new folder or remove it");
    }
    create_folder(folder / "images");
    create_folder(folder / "masks");
    write_png8(folder / "images" / (example.id + ".png"), to_rgba(example.image));
    Picture mask(example.truth.width, example.truth.height);
    for (std::int32_t label = 1; label <= max_label(example.truth); ++label) {
      std::ranges::transform(example.truth, mask.begin(),
                             [label](std::int32_t l) -> std::uint8_t { return l == label ? 255 : 0; });
      write_png8(folder / "masks" / (padded(label, 5) + ".png"), mask);
    }
  }
}

}  // namespace nuclei
