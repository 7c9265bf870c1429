#pragma once

#include <filesystem>

#include "imageio/image_source.h"

namespace nuclei {

struct Arranged {
  std::size_t images = 0, nuclei = 0;
};

/// Brings images and masks that lie in two folders into the layout that scan_bowl reads:
/// out/<id>/images/<id>.png and out/<id>/masks/0001.png, ..., one mask per nucleus. `id` is the image's name
/// without its ending.
///
/// A mask file belongs to the image of the same name, or of the beginning of its name ("a_mask.png" to
/// "a.png"). If it has one value besides 0, each connected part is a nucleus; if it has several, each value
/// (or colour) is one: a label image. An image whose mask is all 0 gets one empty mask.
///
/// `choice` says which page and channel of an image to take. Otherwise the first is taken, with a line on
/// stderr. Hidden files and those that systems leave in folders are passed over.
///
/// Throws Failure if a file cannot be read, an image has no mask file or several, a mask file has no image or
/// more than one page, sizes disagree, a mask file has in-between values, or `out` is there and not empty;
/// then nothing is written.
Arranged arrange(const std::filesystem::path& images, const std::filesystem::path& masks,
                 const std::filesystem::path& out, const ReadOptions& choice = {});

}  // namespace nuclei
