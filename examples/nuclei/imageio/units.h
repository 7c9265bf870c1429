#pragma once

#include <optional>
#include <string_view>

namespace nuclei {

/// The number that the whole text is, with space around it; nothing where it is none or not finite.
std::optional<double> number(std::string_view text);

/// The micrometres of a pixel of this length, or 0 where that can be no microscope's.
///   unit  as OME-XML and ImageJ spell it. Inches and centimetres above 20 µm are a printer's or a screen's,
///         and so are the lengths of 72, 96, 150, 300, 600 and 1200 dots per inch in any unit.
double pixel_size(double length, std::string_view unit);

}  // namespace nuclei
