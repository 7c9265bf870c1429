#include "imageio/units.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <system_error>

#include "common/text.h"

namespace nuclei {
namespace {

struct Unit {
  std::string_view name;
  double micrometres;
  bool of_paper = false;  // TIFF's own units, which printers and screens are measured in
};

// Names of more than two letters are compared in lower case. Unicode has µ twice and Å three times, and µ
// is also met as one byte, as an entity and in UTF-8 that was encoded twice.
constexpr std::array units{Unit{"µm", 1},
                           Unit{"μm", 1},
                           Unit{"um", 1},
                           Unit{"\xb5m", 1},
                           Unit{"&#181;m", 1},
                           Unit{"&#xb5;m", 1},
                           Unit{"&micro;m", 1},
                           Unit{"Âµm", 1},
                           Unit{"µ", 1},
                           Unit{"micron", 1},
                           Unit{"microns", 1},
                           Unit{"micrometer", 1},
                           Unit{"micrometers", 1},
                           Unit{"micrometre", 1},
                           Unit{"micrometres", 1},
                           Unit{"pm", 1e-6},
                           Unit{"Å", 1e-4},
                           Unit{"\u212b", 1e-4},
                           Unit{"A\u030a", 1e-4},
                           Unit{"angstrom", 1e-4},
                           Unit{"nm", 1e-3},
                           Unit{"nanometer", 1e-3},
                           Unit{"nanometers", 1e-3},
                           Unit{"nanometre", 1e-3},
                           Unit{"nanometres", 1e-3},
                           Unit{"mm", 1e3},
                           Unit{"millimeter", 1e3},
                           Unit{"millimeters", 1e3},
                           Unit{"millimetre", 1e3},
                           Unit{"millimetres", 1e3},
                           Unit{"cm", 1e4, true},
                           Unit{"centimeter", 1e4, true},
                           Unit{"centimeters", 1e4, true},
                           Unit{"centimetre", 1e4, true},
                           Unit{"centimetres", 1e4, true},
                           Unit{"dm", 1e5},
                           Unit{"m", 1e6},
                           Unit{"meter", 1e6},
                           Unit{"meters", 1e6},
                           Unit{"metre", 1e6},
                           Unit{"metres", 1e6},
                           Unit{"in", 25400, true},
                           Unit{"inch", 25400, true},
                           Unit{"inches", 25400, true},
                           Unit{"\"", 25400, true},
                           Unit{"thou", 25.4, true}};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const std::size_t first = text.find_first_not_of(space);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(space) - first + 1);
}

/// ImageJ writes a character that is not ASCII as \uXXXX.
std::string without_escapes(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    unsigned code = 0;
    if (text.starts_with("\\u") && text.size() >= 6 &&
        std::from_chars(text.data() + 2, text.data() + 6, code, 16).ptr == text.data() + 6) {
      if (code >= 0x800) plain += static_cast<char>(0xe0 | code >> 12);
      if (code >= 0x80)
        plain += static_cast<char>(code >= 0x800 ? 0x80 | (code >> 6 & 0x3f) : 0xc0 | code >> 6);
      plain += static_cast<char>(code >= 0x80 ? 0x80 | (code & 0x3f) : code);
      text.remove_prefix(6);
    } else {
      plain += text.front();
      text.remove_prefix(1);
    }
  }
  return plain;
}

/// Whether a pixel of this size is one dot of a printer's or screen's usual resolutions.
bool is_dot(double micrometres) {
  constexpr double inch = 25400, tolerance = 1e-3;
  return std::ranges::any_of(std::array{72, 96, 150, 300, 600, 1200}, [&](int per_inch) {
    return std::abs(micrometres * per_inch / inch - 1) < tolerance;
  });
}

}  // namespace

std::optional<double> number(std::string_view text) {
  text = trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);  // from_chars takes no plus
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

double pixel_size(double length, std::string_view unit) {
  constexpr double smallest = 1e-4, largest = 1000, largest_of_microscopes = 20;
  const std::string name = without_escapes(trimmed(unit)), small = name.size() > 2 ? lower(name) : name;
  const auto found =
      std::ranges::find_if(units, [&](const Unit& u) { return u.name == name || u.name == small; });
  if (found == units.end()) return 0;
  const double micrometres = length * found->micrometres;
  if (!(micrometres >= smallest && micrometres <= largest)) return 0;
  if (micrometres > largest_of_microscopes && (found->of_paper || is_dot(micrometres))) return 0;
  return micrometres;
}

}  // namespace nuclei
