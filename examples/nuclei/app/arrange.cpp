#include "app/arrange.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "app/command.h"
#include "common/error.h"
#include "common/progress.h"
#include "common/text.h"
#include "dataset/background.h"
#include "dataset/bowl_layout.h"
#include "dataset/label_import.h"
#include "dataset/listing.h"
#include "imageio/image.h"
#include "imageio/image_source.h"
#include "imageio/partial_folder.h"
#include "imageio/tiff_source.h"
#include "inference/normalize.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> pictures_in(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored))
    throw Failure("arranging " + folder.string() +
                  ": expected a folder, there is none of this name; check the path");
  std::size_t hidden = 0;
  std::vector<fs::path> files = list_folder(folder, &hidden);
  const auto left_out = [&files](auto is_kind) {
    return std::erase_if(files, [&](const fs::path& file) {
      std::error_code error;
      return is_kind(fs::status(file, error));
    });
  };
  const std::size_t folders = left_out([](const fs::file_status&s) { return fs::is_directory(s); }),
                    others = left_out([](const fs::file_status&s) { return !fs::is_regular_file(s); });
  std::string passed_over;
  if (hidden > 0) append_part(passed_over, ", ", counted(hidden, "hidden or system file"));
  if (folders > 0) append_part(passed_over, ", ", counted(folders, "folder"));
  if (others > 0) append_part(passed_over, ", ", std::to_string(others) + " neither file nor folder");
  if (!passed_over.empty())
    std::fprintf(stderr, "%s: passed over %s\n", printable(folder.string()).c_str(), passed_over.c_str());
  if (files.empty())
    throw Failure("arranging " + folder.string() + ": expected images, the folder holds no file");
  return files;
}

/// Whether a mask of this name belongs to the image: its name is the image's, alone or followed by something
/// that is no letter or digit.
bool belongs(const std::string& mask, const std::string& image) {
  if (!mask.starts_with(image)) return false;
  return mask.size() == image.size() || !std::isalnum(static_cast<unsigned char>(mask[image.size()]));
}

struct Pair {
  fs::path image, mask;
};

std::vector<Pair> pair_up(const std::vector<fs::path>& images, const std::vector<fs::path>& masks) {
  std::map<std::string, Pair> pairs;
  for (const fs::path& image : images) {
    const auto [at, added] = pairs.try_emplace(name_of(image), Pair{image, {}});
    if (!added)
      throw Failure("arranging " + image.string() + ": expected names that differ before their endings, " +
                    at->second.image.filename().string() + " is there too; rename one");
  }
  for (const fs::path& mask : masks) {
    Pair* best = nullptr;
    std::size_t longest = 0;
    for (auto& [stem, pair] : pairs) {
      if (!belongs(name_of(mask), stem) || (best && stem.size() <= longest)) continue;
      best = &pair;
      longest = stem.size();
    }
    if (!best)
      throw Failure("arranging " + mask.string() +
                    ": expected an image of the same name, there is none; rename or "
                    "remove the mask");
    if (!best->mask.empty())
      throw Failure("arranging " + mask.string() + ": " + best->mask.filename().string() + " belongs to " +
                    best->image.filename().string() + " as well; keep one mask file per image");
    best->mask = mask;
  }
  std::vector<Pair> result;
  for (const auto& [stem, pair] : pairs) {
    if (pair.mask.empty())
      throw Failure("arranging " + pair.image.string() +
                    ": expected a mask file of the same name, there is none");
    result.push_back(pair);
  }
  return result;
}

/// Gives holes the background's brightness, since a PNG has none. Returns how many pixels were holes.
std::size_t fill_holes(Image& image) {
  const Levels levels = find_levels(image);
  const float background = levels.light_background() ? levels.high : levels.low;
  std::ranges::replace_if(
      image, [](float value) { return !std::isfinite(value); }, background);
  return static_cast<std::size_t>(levels.holes);
}

void write_image(const fs::path& from, const Image& image, bool as_it_is, const fs::path& to) {
  if (as_it_is) {
    fs::copy_file(from, to);
  } else if (image.channels == 1 && image.bit_depth > 8) {
    Raster<std::uint16_t> deep(image.width, image.height);
    std::ranges::transform(image, deep.begin(), [](float value) {
      return static_cast<std::uint16_t>(std::lround(std::clamp(value, 0.0f, 1.0f) * 65535));
    });
    write_png16(to, deep);
  } else {
    write_png8(to, to_8_bits(image));
  }
}

/// Writes an image and its masks. Returns the number of nuclei.
std::size_t write_pair(const Pair& pair, const Image& image, const ReadOptions& choice, const fs::path& root,
                       Progress& progress) {
  std::string note;
  const LabelMap labels = import_labels(pair.mask, &note);
  if (!note.empty()) progress.say(pair.mask.string() + ": " + note);
  if (!labels.same_size(image))
    throw Failure("arranging " + pair.mask.string() + ": expected the " + size_text(image) +
                  " pixels of its image, it has " + size_text(labels));
  if (!background_labels(image, labels, modality(image_stats(image))).empty())
    progress.say(pair.mask.string() +
                 ": the background seems to be taken for a nucleus; 0 is background, "
                 "so invert the mask or set its background to 0");
  const std::string id = name_of(pair.image);
  fs::create_directories(root / id / "images");
  fs::create_directories(root / id / "masks");
  const bool as_it_is = is_bowl_picture(pair.image) && !is_tiff(pair.image) && choice.channel.empty();
  write_image(pair.image, image, as_it_is, root / id / "images" / (id + ".png"));
  const std::int32_t nuclei = max_label(labels);
  for (std::int32_t label = 1; label <= std::max(nuclei, 1); ++label) {
    Picture mask(labels.width, labels.height);
    std::ranges::transform(labels, mask.begin(), [&](std::int32_t at) { return at == label ? 255 : 0; });
    write_png8(root / id / "masks" / (padded(label, 4) + ".png"), mask);
  }
  return static_cast<std::size_t>(nuclei);
}

}  // namespace

Arranged arrange(const fs::path& images, const fs::path& masks, const fs::path& out,
                 const ReadOptions& choice) {
  const std::vector<fs::path> image_files = pictures_in(images), mask_files = pictures_in(masks);
  const std::vector<Pair> pairs = pair_up(image_files, mask_files);
  std::error_code error;
  if (fs::exists(out, error) && !(fs::is_directory(out, error) && fs::is_empty(out, error)))
    throw Failure("arranging: " + out.string() + " is there already; choose another --out, or remove it");
  Arranged arranged;
  std::set<std::string> noted;
  try {
    // An incomplete folder is not taken for a data set.
    PartialFolder partial(out);
    Progress progress("arranging", static_cast<std::int64_t>(pairs.size()));
    for (const Pair& pair : pairs) {
      std::string note;
      Image image = read_image(pair.image, choice, &note);
      // The same note is printed once, not for every image.
      if (!note.empty() && noted.insert(note).second) progress.say(pair.image.string() + ": " + note);
      if (const std::size_t holes = fill_holes(image); holes > 0)
        progress.say(pair.image.string() + ": " + counted(holes, "pixel") +
                     " without a value (NaN or infinite): saved as background");
      arranged.nuclei += write_pair(pair, image, choice, partial.path(), progress);
      progress.update(static_cast<std::int64_t>(++arranged.images));
    }
    partial.commit();
  } catch (const fs::filesystem_error& e) {
    throw Failure(std::string("arranging: ") + e.what());
  }
  return arranged;
}

namespace {

struct Arrange : Command {
  fs::path images, masks, out;
  ReadOptions choice;

  Arrange()
      : Command("arrange",
                "bring your own folder of images and folder of masks into the layout to train on") {}

  void add_options(CLI::App& app) override {
    app.add_option("--images", images, "folder of images")->required();
    app.add_option("--masks", masks,
                   "folder of one mask file per image, of the same name: label images (a value or colour per "
                   "nucleus), or black and white")
        ->required();
    app.add_option("--out", out, "folder to write to")->required();
    add_channel(app, choice.channel);
    app.add_option("--page", choice.page, "page of a TIFF image (slice, time point), from 1; masks have one")
        ->check(CLI::Range(1, 1'000'000'000))
        ->group(choice_group);
    app.footer("Example:\n  nuclei arrange --images pictures --masks drawn --out my_images");
  }

  int run() override {
    const Arranged done = arrange(images, masks, out, choice);
    std::printf("%s with %zu nuclei in %s\n", counted(done.images, "image").c_str(), done.nuclei,
                printable(out.string()).c_str());
    return 0;
  }
};

}  // namespace

std::unique_ptr<Command> arrange_command() { return std::make_unique<Arrange>(); }

}  // namespace nuclei
