// What is done with label maps: parts, outlines, measures, scores, pictures; and maps from the watershed.
#include <karyon/core/ops/label.h>

#include "common/error.h"
#include "evaluation/metrics.h"
#include "evaluation/overlap.h"
#include "instances/components.h"
#include "instances/measure.h"
#include "instances/watershed.h"
#include "label_maps.h"
#include "output/render.h"

namespace {

using namespace fuzz;
using nuclei::LabelMap;

/// Labels 1 ... k, none left out, by their first pixels.
void expect_dense(const char* what, const LabelMap& map) {
  std::int32_t highest = 0;
  for (const std::int32_t label : map) {
    expect(label >= 0 && label <= highest + 1, what, ": label ", label, " after ", highest);
    highest = std::max(highest, label);
  }
}

void check_outlines(const LabelMap& map, const nuclei::Nucleus& n) {
  Painting painting(map.width, map.height);
  std::int64_t doubled = 0;
  for (const nuclei::Part& part : nuclei::outline(map, n)) {
    painting.add(part.outer);
    doubled += nuclei::doubled_area(part.outer);
    nuclei::with_cut_corners(part.outer);
    for (const nuclei::Ring& hole : part.holes) {
      painting.add(hole);
      doubled += nuclei::doubled_area(hole);
    }
  }
  painting.expect_label("outline", map, n.label);
  expect(doubled == 2 * n.area, "outline: twice the area is ", doubled, ", expected ", 2 * n.area);
}

void check_measures(const LabelMap& map) {
  nuclei::Image image(map.width, map.height);
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = static_cast<float>(i % 97) / 96;
  std::int64_t pixels = 0, last = 0;
  for (const nuclei::Nucleus& n : nuclei::measure(map, image)) {
    expect(n.label > last, "measure: label ", n.label, " after ", last);
    expect(n.cx >= n.x0 && n.cx < n.x1 && n.cy >= n.y0 && n.cy < n.y1,
           "measure: the centre is outside of the box");
    expect(n.solidity > 0 && n.solidity <= 1 && n.eccentricity >= 0 && n.eccentricity <= 1,
           "measure: solidity ", n.solidity, ", eccentricity ", n.eccentricity);
    last = n.label;
    pixels += n.area;
    check_outlines(map, n);
  }
  const auto background = std::count(map.begin(), map.end(), 0);
  expect(pixels + background == static_cast<std::int64_t>(map.size()), "measure: ", pixels, " pixels in all");
  nuclei::overlay(image, map, &map);
}

void check_parts(const LabelMap& map, bool diagonal) {
  nuclei::Mask mask(map.width, map.height);
  karyon::Tensor inside = karyon::zeros({map.height, map.width}, {.dtype = karyon::boolean});
  for (std::size_t i = 0; i < map.size(); ++i) {
    mask[i] = map[i] != 0;
    inside.data<bool>()[i] = map[i] != 0;
  }
  const auto expected = karyon::label(inside, {.connectivity = diagonal ? 8 : 4}).to_vector<std::int64_t>();
  const nuclei::Components parts = nuclei::connect(mask, diagonal);
  expect(std::ranges::equal(parts.map, expected), "connect: other parts than those of karyon::label");
  LabelMap large = map;
  nuclei::drop_small(large, 3);
  expect_dense("drop_small", large);
}

void check_scores(const LabelMap& a, const LabelMap& b) {
  const nuclei::Scores perfect = nuclei::score(a, a);
  expect(perfect.bowl == 1 && perfect.dice == 1 && perfect.aji == 1, "score: a map beside itself has ",
         perfect.bowl);
  if (!a.same_size(b)) return;
  const nuclei::Scores scores = nuclei::score(a, b);
  for (const double share :
       {scores.accuracy, scores.iou, scores.dice, scores.bowl, scores.f1, scores.pq, scores.aji})
    expect(share >= 0 && share <= 1, "score: ", share);
  nuclei::compare(a, b);
}

void check_watershed(ByteReader& in) {
  nuclei::PixelMaps maps(in.whole(1, 24), in.whole(1, 24), nuclei::map_count);
  const nuclei::SegmentOptions options{.nucleus = static_cast<float>(in.byte()) / 255,
                                       .prominence = static_cast<float>(in.byte()) / 255,
                                       .min_area = in.whole(0, 40)};
  Noise noise(in.byte());
  const bool smooth = in.flag();
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const float value = smooth && i >= 3
                            ? maps[i - 3] + static_cast<float>(noise.real()) / 8
                            : static_cast<float>(in.empty() ? noise.next() % 256 : in.byte()) / 255;
    maps[i] = std::clamp(value, 0.0f, 1.0f);
  }
  const LabelMap map = nuclei::segment(maps, options);
  expect(map.same_size(maps), "segment: another size");
  expect_dense("segment", map);
}

void run(Bytes input) {
  ByteReader in(input);
  if (in.byte() % 3 == 0) return check_watershed(in);
  const LabelMap map = any_labels(in);
  check_measures(map);
  check_parts(map, in.flag());
  check_scores(map, any_labels(in));
}

Inputs seeds() { return noise_seeds(48, 100); }

const Register target{{"labels", run, seeds}};

}  // namespace
