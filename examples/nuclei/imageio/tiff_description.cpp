#include "imageio/tiff_description.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <system_error>

namespace nuclei {
namespace {

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !(value > 0) || !std::isfinite(value)) return {};
  return value;
}

int count(std::string_view text) {
  constexpr double most = 1e6;
  return static_cast<int>(std::min(number(text).value_or(1), most));
}

/// Micrometres in a unit of length, as OME (default µm) and ImageJ spell it; 0 if unknown.
double micrometres(std::string_view unit) {
  if (unit.empty() || unit == "µm" || unit == "μm" || unit == "um" || unit == "micron" || unit == "microns" ||
      unit == "\\u00B5m" || unit == "&#181;m" || unit == "&#xB5;m" || unit == "micrometer")
    return 1;
  if (unit == "nm") return 1e-3;
  if (unit == "mm") return 1e3;
  if (unit == "cm") return 1e4;
  if (unit == "m") return 1e6;
  if (unit == "pm") return 1e-6;
  if (unit == "Å") return 1e-4;
  if (unit == "in" || unit == "inch") return 25400;
  return 0;
}

/// The value of an attribute in an XML start tag, or nothing.
std::string attribute(std::string_view tag, std::string_view name) {
  for (std::size_t at = 0; (at = tag.find(name, at)) != tag.npos; at += name.size()) {
    if (at == 0 || !std::isspace(static_cast<unsigned char>(tag[at - 1]))) continue;
    std::size_t quote = at + name.size();
    while (quote < tag.size() && std::isspace(static_cast<unsigned char>(tag[quote]))) ++quote;
    if (quote >= tag.size() || tag[quote++] != '=') continue;
    while (quote < tag.size() && std::isspace(static_cast<unsigned char>(tag[quote]))) ++quote;
    if (quote >= tag.size() || (tag[quote] != '"' && tag[quote] != '\'')) continue;
    const std::size_t end = tag.find(tag[quote], quote + 1);
    if (end != tag.npos) return std::string(tag.substr(quote + 1, end - quote - 1));
  }
  return {};
}

/// The next start tag of this name from `at` on, which then stands behind it; empty if there is none.
std::string_view next_tag(std::string_view xml, std::string_view name, std::size_t& at) {
  while ((at = xml.find('<', at)) != xml.npos) {
    const std::size_t begin = ++at;
    std::string_view rest = xml.substr(begin);
    if (const std::size_t colon = rest.find_first_of(": />\t\r\n");
        colon != rest.npos && rest[colon] == ':' && colon + 1 < rest.size())
      rest.remove_prefix(colon + 1);  // a namespace
    if (!rest.starts_with(name) || rest.size() == name.size() ||
        !(std::isspace(static_cast<unsigned char>(rest[name.size()])) || rest[name.size()] == '>' ||
          rest[name.size()] == '/'))
      continue;
    const std::size_t end = xml.find('>', begin);
    if (end == xml.npos) break;
    at = end;
    return xml.substr(begin, end - begin);
  }
  at = xml.size();
  return {};
}

TiffDescription parse_ome(std::string_view xml) {
  TiffDescription d;
  std::size_t at = 0;
  const std::string_view pixels = next_tag(xml, "Pixels", at);
  const auto physical = [&](const char* size, const char* unit) {
    return number(attribute(pixels, size)).value_or(0) * micrometres(attribute(pixels, unit));
  };
  d.pixel_width = physical("PhysicalSizeX", "PhysicalSizeXUnit");
  d.pixel_height = physical("PhysicalSizeY", "PhysicalSizeYUnit");
  const int size_c = count(attribute(pixels, "SizeC")), size_z = count(attribute(pixels, "SizeZ")),
            size_time = count(attribute(pixels, "SizeT"));
  int samples = 0;
  const std::size_t end = std::min(xml.find("</", xml.find("Pixels", at)), xml.size());
  const std::size_t next_image = std::min(xml.find("<Image", at), xml.size());
  for (std::size_t channel_at = at; channel_at < std::max(end, next_image);) {
    const std::string_view channel = next_tag(xml, "Channel", channel_at);
    if (channel.empty() || channel_at > next_image) break;
    d.names.push_back(attribute(channel, "Name"));
    samples = std::max(samples, count(attribute(channel, "SamplesPerPixel")));
  }
  d.channels = samples > 1 ? std::max(1, size_c / samples) : size_c;
  d.slices = size_z * size_time;
  const std::string order = attribute(pixels, "DimensionOrder");
  for (std::size_t k = 2; k < order.size() && order[k] != 'C'; ++k)
    d.slices_before_channels *= order[k] == 'Z' ? size_z : size_time;
  return d;
}

TiffDescription parse_image_j(std::string_view text) {
  TiffDescription d;
  d.image_j = true;
  const auto value = [&](std::string_view key) -> std::string_view {
    for (std::size_t line = 0; line < text.size();) {
      const std::size_t end = std::min(text.find('\n', line), text.size());
      const std::string_view whole = text.substr(line, end - line);
      if (whole.starts_with(key) && whole.size() > key.size() && whole[key.size()] == '=')
        return whole.substr(key.size() + 1);
      line = end + 1;
    }
    return {};
  };
  const int images = count(value("images"));
  d.channels = count(value("channels"));
  d.slices = std::max(1, images / std::max(1, d.channels));
  if (const std::string_view unit = value("unit"); !unit.empty()) d.image_j_unit = micrometres(unit);
  return d;
}

}  // namespace

TiffDescription describe(const std::string& text) {
  if (text.find("<OME") != text.npos || text.find(":OME") != text.npos) return parse_ome(text);
  if (text.starts_with("ImageJ=")) return parse_image_j(text);
  return {};
}

}  // namespace nuclei
