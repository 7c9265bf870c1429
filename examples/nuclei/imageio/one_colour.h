#pragma once

#include <memory>

#include "imageio/image_source.h"

namespace nuclei {

/// Fluorescence is often saved in the colour of its dye: one channel as blue, green or orange. All pixels of
/// such a picture lie on one line from black through one hue. It is given as the channel that is lit most,
/// with a note. Any other picture, grey ones as RGB too, is given back as it is. A JPEG's noise in the hue is
/// allowed for.
/// The source is read twice at most, by ascending rows.
std::unique_ptr<ImageSource> in_one_channel(std::unique_ptr<ImageSource> source);

}  // namespace nuclei
