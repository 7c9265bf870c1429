#include "output/geojson.h"

#include <cmath>

#include <nlohmann/json.hpp>

namespace nuclei {
namespace {

using Json = nlohmann::ordered_json;

Json ring_coordinates(const Ring& ring) {
  Json line = Json::array();
  for (const Corner& c : ring) line.push_back({c.x, c.y});
  line.push_back({ring.front().x, ring.front().y});
  return line;
}

Json polygon_coordinates(const Part& part) {
  Json rings = Json::array({ring_coordinates(part.outer)});
  for (const Ring& hole : part.holes) rings.push_back(ring_coordinates(hole));
  return rings;
}

double rounded(double value) { return std::round(value * 1e4) / 1e4; }

}  // namespace

std::string geojson_feature(const Found& found, double pixel_width, double pixel_height) {
  const Nucleus& n = found.nucleus;
  Json geometry;
  if (found.parts.size() == 1) {
    geometry = {{"type", "Polygon"}, {"coordinates", polygon_coordinates(found.parts.front())}};
  } else {
    Json polygons = Json::array();
    for (const Part& part : found.parts) polygons.push_back(polygon_coordinates(part));
    geometry = {{"type", "MultiPolygon"}, {"coordinates", polygons}};
  }
  Json measurements = {{"Area px^2", n.area},
                       {"Perimeter px", rounded(n.perimeter)},
                       {"Eccentricity", rounded(n.eccentricity)},
                       {"Solidity", rounded(n.solidity)},
                       {"Mean intensity", rounded(n.mean_intensity)}};
  if (pixel_width > 0)
    measurements["Area µm^2"] = rounded(static_cast<double>(n.area) * pixel_width * pixel_height);
  const Json feature = {{"type", "Feature"},
                        {"geometry", geometry},
                        {"properties",
                         {{"objectType", "detection"},
                          {"name", std::to_string(n.label)},
                          {"classification", {{"name", "Nucleus"}, {"color", {255, 225, 25}}}},
                          {"measurements", measurements}}}};
  return feature.dump();
}

}  // namespace nuclei
