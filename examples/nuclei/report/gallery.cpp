#include "report/gallery.h"

#include <algorithm>
#include <cstdlib>
#include <span>
#include <utility>
#include <vector>

#include "common/text.h"
#include "instances/outline.h"
#include "output/render.h"
#include "report/html.h"

namespace nuclei {
namespace {

std::string base64(std::span<const std::uint8_t> bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k) three = three << 8 | (i + k < bytes.size() ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k)
      text += i + k <= bytes.size() ? digits[three >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

/// Every `step`-th part of a picture in each direction, averaged.
Picture shrink(const Picture& picture, int step) {
  if (step <= 1) return picture;
  Picture small(std::max(1, picture.width / step), std::max(1, picture.height / step), picture.channels);
  for (int y = 0; y < small.height; ++y) {
    for (int x = 0; x < small.width; ++x) {
      for (int c = 0; c < picture.channels; ++c) {
        int sum = 0, n = 0;
        for (int dy = 0; dy < step && y * step + dy < picture.height; ++dy) {
          for (int dx = 0; dx < step && x * step + dx < picture.width; ++dx, ++n)
            sum += picture.at(x * step + dx, y * step + dy, c);
        }
        small.at(x, y, c) = static_cast<std::uint8_t>(sum / n);
      }
    }
  }
  return small;
}

std::string data_uri(const Picture& picture) {
  bool colour = false;
  Picture grey(picture.width, picture.height);
  for (std::size_t i = 0; i < grey.size() && !colour; ++i) {
    const std::uint8_t* rgb = picture.pixel(i);
    grey[i] = rgb[0];
    colour = rgb[0] != rgb[1] || rgb[0] != rgb[2];
  }
  return "data:image/png;base64," + base64(encode_png8(colour ? picture : grey));
}

/// The outlines of all nuclei with this fate as an SVG path in half pixels. A point that is closer than
/// `step` half pixels to the one before is left out.
std::string path_of(const LabelMap& map, const std::vector<Nucleus>& nuclei, const PerLabel<Fate>& fates,
                    Fate fate, int step) {
  std::string path;
  const auto draw = [&](const Ring& ring) {
    Corner last{};
    bool begun = false;
    for (const Corner& point : with_cut_corners(ring)) {
      const int dx = point.x - last.x, dy = point.y - last.y;
      if (begun && std::abs(dx) < step && std::abs(dy) < step) continue;
      if (begun) {
        path += 'l' + std::to_string(dx) + (dy < 0 ? "" : " ") + std::to_string(dy);
      } else {
        path += 'M' + std::to_string(point.x) + ' ' + std::to_string(point.y);
      }
      begun = true;
      last = point;
    }
    path += 'z';
  };
  for (const Nucleus& nucleus : nuclei) {
    if (fates[nucleus.label] != fate) continue;
    for (const Part& part : outline(map, nucleus)) {
      draw(part.outer);
      for (const Ring& hole : part.holes) draw(hole);
    }
  }
  return path;
}

std::string picture_of(const Evaluation::Shown& shown) {
  constexpr int longest_side = 768;
  const Image& image = shown.image;
  const int step = (std::max(image.width, image.height) + longest_side - 1) / longest_side;
  const LabelMap nothing(image.width, image.height);
  const std::string width = std::to_string(2 * image.width), height = std::to_string(2 * image.height);
  std::string svg = "<svg viewBox=\"0 0 " + width + " " + height +
                    "\" preserveAspectRatio=\"xMidYMid meet\"><image width=\"" + width + "\" height=\"" +
                    height + "\" preserveAspectRatio=\"none\" href=\"" +
                    data_uri(shrink(overlay(image, nothing), step)) + "\"/>";
  const Fates fates = compare(shown.truth, shown.found);
  const std::vector<Nucleus> truth = measure(shown.truth, image), found = measure(shown.found, image);
  for (const Fate fate : all_fates) {
    // Correct nuclei are drawn once, as they were found. The others are drawn as they should be and as they
    // are.
    const std::string should =
        fate == Fate::correct ? "" : path_of(shown.truth, truth, fates.truth, fate, step);
    const std::string is = path_of(shown.found, found, fates.predicted, fate, step);
    if (should.empty() && is.empty()) continue;
    svg += "<g class=\"" + std::string(name(fate)) + "\">";
    for (const auto& [path, side] : {std::pair(&should, " true"), std::pair(&is, "")}) {
      if (path->empty()) continue;
      svg += "<path class=\"case\" d=\"" + *path + "\"/><path class=\"out " + name(fate) + side + "\" d=\"" +
             *path + "\"/>";
    }
    svg += "</g>";
  }
  return svg + "</svg>";
}

std::string figures(const Evaluation& evaluation, const std::vector<const Evaluation::Shown*>& pictures) {
  std::string html = "<div class=\"gallery\">\n";
  for (const Evaluation::Shown* shown : pictures) {
    const ImageScores& image = evaluation.images()[shown->index];
    std::string fates;
    for (const Fate fate : all_fates)
      if (const int n = image.fates[fate]; n > 0)
        fates += (fates.empty() ? "" : ", ") + std::to_string(n) + " " + name(fate);
    const std::string id = html_escape(image.id);
    html += "<figure><button type=\"button\" aria-label=\"enlarge " + id + "\">" + picture_of(*shown) +
            "</button><figcaption><b title=\"" + id + "\">" + id + "</b><span>" + name(image.kind) +
            ", Bowl score " + fixed(image.scores.bowl, 3) + ", Dice " + fixed(image.scores.dice, 3) +
            "</span><span>" + (fates.empty() ? "no nuclei, none found" : fates) +
            "</span></figcaption></figure>\n";
  }
  return html + "</div>\n";
}

}  // namespace

std::string line_sample(Fate fate) {
  return "<svg class=\"sample\" width=\"30\" height=\"14\" viewBox=\"0 0 30 14\" aria-hidden=\"true\"><rect "
         "width=\"30\" height=\"14\" rx=\"4\"/><path class=\"out " +
         std::string(name(fate)) + "\" d=\"M4 7h22\"/></svg>";
}

std::string gallery(const Evaluation& evaluation) {
  std::string html = "<div class=\"toolbar\" role=\"group\" aria-label=\"outlines shown\">";
  for (const Fate fate : all_fates)
    html += "<label><input type=\"checkbox\" checked data-fate=\"" + std::string(name(fate)) + "\">" +
            line_sample(fate) + name(fate) + "</label>";
  html += "</div>\n";
  const auto worst = evaluation.worst(), best = evaluation.best();
  if (!worst.empty()) html += "<h3>Lowest scores</h3>" + figures(evaluation, worst);
  if (!best.empty()) html += "<h3>Highest scores</h3>" + figures(evaluation, best);
  return html_section(
      "images", "Images",
      "Click an image to enlarge it. Solid lines are what was found, dashed ones what should have been.",
      html + "<dialog aria-label=\"enlarged image\"></dialog>");
}

}  // namespace nuclei
