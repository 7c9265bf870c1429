#include "imageio/ome_xml.h"

#include <pugixml.hpp>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "common/text.h"
#include "imageio/units.h"

namespace nuclei {
namespace {

using pugi::xml_node;

/// The description cannot be used for the reason given.
struct Unusable {
  std::string reason;
};

/// An element's name without its namespace's prefix.
std::string_view local_name(const xml_node& node) {
  const std::string_view name = node.name();
  const std::size_t colon = name.find(':');
  return colon == name.npos ? name : name.substr(colon + 1);
}

std::vector<xml_node> children(const xml_node& parent, std::string_view name) {
  std::vector<xml_node> found;
  for (const xml_node& node : parent.children())
    if (local_name(node) == name) found.push_back(node);
  return found;
}

xml_node child(const xml_node& parent, std::string_view name) {
  const std::vector<xml_node> found = children(parent, name);
  return found.empty() ? xml_node() : found.front();
}

/// A count or an index from `least` to a million; `otherwise` where it is not given.
std::int64_t whole(const xml_node& node, const char* attribute, std::int64_t least, std::int64_t otherwise) {
  constexpr double most = 1e6;
  const pugi::xml_attribute found = node.attribute(attribute);
  if (!found) return otherwise;
  const std::optional<double> value = number(found.value());
  if (!value || *value < static_cast<double>(least) || *value > most)
    throw Unusable{std::string(attribute) + "=\"" + found.value() + "\""};
  return static_cast<std::int64_t>(*value);
}

/// An Image of OME-XML, and how it counts its planes: by Z, C and T, in the order that it tells.
class OmeImage {
 public:
  OmeImage(const xml_node& image, const xml_node& pixels);

  /// Reads the sizes, for the function below. Throws Unusable.
  void count_planes(const std::vector<StoredPlane>& stored);
  std::int64_t planes() const;
  /// The rank of the plane at Z, C and T, in order.
  std::int64_t rank(std::int64_t z, std::int64_t c, std::int64_t t) const;
  /// The page and the channel of the plane of this rank.
  PlacedPlane at(std::int64_t rank) const;

  const xml_node& pixels() const { return pixels_; }
  std::vector<xml_node> tiff_data() const { return children(pixels_, "TiffData"); }

  DescribedImage described;

 private:
  struct Dimension {
    char name;
    std::int64_t size = 1;
  };

  std::int64_t count_channels(const std::vector<StoredPlane>& stored) const;

  xml_node pixels_;
  std::vector<xml_node> channels_;
  std::array<Dimension, 3> dimensions_{Dimension{'C'}, {'Z'}, {'T'}};  // the first counts fastest
};

OmeImage::OmeImage(const xml_node& image, const xml_node& pixels)
    : pixels_(pixels), channels_(children(pixels, "Channel")) {
  if (channels_.empty()) channels_ = children(image, "LogicalChannel");  // before 2008
  described.name = image.attribute("Name").value();
  for (const xml_node& channel : channels_)
    described.channel_names.emplace_back(channel.attribute("Name").value());
  const auto size = [&](const char* attribute, const char* unit) {
    return pixel_size(number(pixels.attribute(attribute).value()).value_or(0),
                      pixels.attribute(unit) ? pixels.attribute(unit).value() : "µm");
  };
  described.pixel_width = size("PhysicalSizeX", "PhysicalSizeXUnit");
  described.pixel_height = size("PhysicalSizeY", "PhysicalSizeYUnit");
}

std::int64_t OmeImage::count_channels(const std::vector<StoredPlane>& stored) const {
  const std::int64_t size_c = whole(pixels_, "SizeC", 1, 1);
  std::int64_t sum = 0, most = 1;
  for (const xml_node& channel : channels_) {
    const std::int64_t samples = whole(channel, "SamplesPerPixel", 1, 1);
    sum += samples;
    most = std::max(most, samples);
  }
  if (most > 1 && sum == size_c) return static_cast<std::int64_t>(channels_.size());
  if (most == 1 && !stored.empty()) {  // some writers leave the attribute out
    const std::vector<xml_node> data = tiff_data();
    const std::int64_t first = data.empty() ? 0 : whole(data.front(), "IFD", 0, 0);
    most = stored[std::min(static_cast<std::size_t>(first), stored.size() - 1)].samples;
  }
  return size_c <= most ? 1 : size_c % most == 0 ? size_c / most : size_c;
}

void OmeImage::count_planes(const std::vector<StoredPlane>& stored) {
  described.width = whole(pixels_, "SizeX", 1, 0);
  described.height = whole(pixels_, "SizeY", 1, 0);
  described.channels = count_channels(stored);
  const std::int64_t size_z = whole(pixels_, "SizeZ", 1, 1), size_t = whole(pixels_, "SizeT", 1, 1);
  const std::string order = pixels_.attribute("DimensionOrder").value();
  if (order.size() == 5 && order.starts_with("XY") &&
      std::is_permutation(order.begin() + 2, order.end(), "CZT")) {
    for (std::size_t i = 0; i < 3; ++i) dimensions_[i].name = order[i + 2];
  } else if ((described.channels > 1) + (size_z > 1) + (size_t > 1) > 1) {
    throw Unusable{"DimensionOrder=\"" + order + "\""};
  }
  for (Dimension& d : dimensions_)
    d.size = d.name == 'C' ? described.channels : d.name == 'Z' ? size_z : size_t;
}

std::int64_t OmeImage::planes() const {
  return dimensions_[0].size * dimensions_[1].size * dimensions_[2].size;
}

std::int64_t OmeImage::rank(std::int64_t z, std::int64_t c, std::int64_t t) const {
  std::int64_t sum = 0, step = 1;
  for (const Dimension& d : dimensions_) {
    const std::int64_t at = d.name == 'C' ? c : d.name == 'Z' ? z : t;
    if (at >= d.size) throw Unusable{std::string("First") + d.name + "=\"" + std::to_string(at) + "\""};
    sum += step * at;
    step *= d.size;
  }
  return sum;
}

PlacedPlane OmeImage::at(std::int64_t rank) const {
  PlacedPlane plane;
  std::int64_t step = 1;
  for (const Dimension& d : dimensions_) {
    const std::int64_t index = rank % d.size;
    rank /= d.size;
    if (d.name == 'C') {
      plane.channel = index;
    } else {
      plane.page += step * index;
      step *= d.size;
    }
  }
  return plane;
}

/// Finds the planes of OME-XML's Images in the file.
class OmeReader {
 public:
  OmeReader(const xml_node& root, const std::vector<StoredPlane>& stored, const std::string& file_name);
  TiffDescription read();

 private:
  bool is_here(const xml_node& uuid) const;
  void place(OmeImage& image);
  void place(OmeImage& image, std::int64_t rank, std::size_t directory, std::int64_t count);
  void add_rest(TiffDescription& description) const;
  std::string missing() const;
  DescribedImage not_placed() const;

  xml_node root_;
  const std::vector<StoredPlane>& stored_;
  std::string file_name_, own_uuid_;
  std::vector<OmeImage> images_;
  std::set<std::string> files_;  // that TiffData names
  std::set<std::string> others_;
  std::vector<bool> used_;          // by directory
  std::size_t next_ = 0;            // the directory behind the last one that was used
  double planes_ = 0, placed_ = 0;  // doubles, which do not overflow
};

std::string file_of(const xml_node& uuid) {
  const std::string name = uuid.attribute("FileName").value();
  return name.empty() ? uuid.child_value() : name.substr(name.find_last_of("/\\") + 1);
}

OmeReader::OmeReader(const xml_node& root, const std::vector<StoredPlane>& stored,
                     const std::string& file_name)
    : root_(root), stored_(stored), file_name_(file_name), used_(stored.size()) {
  for (const xml_node& image : children(root, "Image"))
    if (const xml_node pixels = child(image, "Pixels")) images_.emplace_back(image, pixels);
  const std::string own = root.attribute("UUID").value();
  for (const OmeImage& image : images_)
    for (const xml_node& data : image.tiff_data())
      if (const xml_node uuid = child(data, "UUID")) {
        files_.insert(file_of(uuid));
        if (!own.empty() && uuid.child_value() == own) own_uuid_ = own;
      }
}

/// A file that was renamed keeps its UUID. Where none is this file's, the name tells; a single name is this
/// file's, whatever it is called now.
bool OmeReader::is_here(const xml_node& uuid) const {
  if (!uuid || files_.size() == 1) return true;
  return own_uuid_.empty() ? file_of(uuid) == file_name_ : uuid.child_value() == own_uuid_;
}

void OmeReader::place(OmeImage& image) {
  image.count_planes(stored_);
  planes_ += static_cast<double>(image.planes());
  const std::vector<xml_node> all = image.tiff_data();
  if (all.empty()) place(image, 0, next_, image.planes());
  for (const xml_node& data : all) {
    if (const xml_node uuid = child(data, "UUID"); !is_here(uuid)) {
      others_.insert(file_of(uuid));
      continue;
    }
    const std::int64_t rank =
        image.rank(whole(data, "FirstZ", 0, 0), whole(data, "FirstC", 0, 0), whole(data, "FirstT", 0, 0));
    const auto directory = whole(data, "IFD", 0, static_cast<std::int64_t>(next_));
    const std::int64_t usual = data.attribute("IFD") ? 1 : image.planes();
    const std::int64_t count = whole(data, "PlaneCount", 0, whole(data, "NumPlanes", 0, 0));
    place(image, rank, static_cast<std::size_t>(directory), count > 0 ? count : usual);
  }
}

// No directory is two planes, and no plane two directories. So the work is bounded by the file's directories.
void OmeReader::place(OmeImage& image, std::int64_t rank, std::size_t directory, std::int64_t count) {
  std::vector<PlacedPlane>& planes = image.described.planes;
  for (; count > 0 && rank < image.planes() && directory < stored_.size(); --count, ++rank, ++directory) {
    if (used_[directory]) return;
    used_[directory] = true;
    next_ = directory + 1;
    ++placed_;
    if (stored_[directory].reduced) continue;
    planes.push_back(image.at(rank));
    planes.back().stored = directory;
  }
}

/// Directories that the description leaves out become pages behind the others.
void OmeReader::add_rest(TiffDescription& description) const {
  DescribedImage rest;
  for (std::size_t i = 0; i < stored_.size(); ++i)
    if (!used_[i] && !stored_[i].reduced)
      rest.planes.push_back({.page = static_cast<std::int64_t>(rest.planes.size()), .stored = i});
  if (rest.planes.empty()) return;
  append_part(
      description.remark, "; ",
      "its OME-XML leaves out " + counted(rest.planes.size(), "plane") + ", which are the last pages");
  description.images.push_back(std::move(rest));
}

/// "its OME-XML tells of 6 planes, 4 are in this file (others: b.ome.tif)", or nothing.
std::string OmeReader::missing() const {
  if (placed_ >= planes_) return "";
  std::string text = "its OME-XML tells of " + fixed(planes_, 0) + " planes, " + fixed(placed_, 0) +
                     (placed_ == 1 ? " is" : " are") + " in this file";
  if (others_.empty()) return text;
  return text + ", others in " + *others_.begin() +
         (others_.size() > 1 ? " and " + std::to_string(others_.size() - 1) + " more" : "");
}

/// The pages as they lie, with the pixel size that all Images have.
DescribedImage OmeReader::not_placed() const {
  DescribedImage image = pages_as_they_lie(stored_);
  const DescribedImage& first = images_.front().described;
  const bool same = std::ranges::all_of(images_, [&](const OmeImage& i) {
    return i.described.pixel_width == first.pixel_width && i.described.pixel_height == first.pixel_height;
  });
  if (!same) return image;
  image.width = first.width;
  image.height = first.height;
  image.pixel_width = first.pixel_width;
  image.pixel_height = first.pixel_height;
  return image;
}

TiffDescription OmeReader::read() {
  if (const xml_node elsewhere = child(root_, "BinaryOnly"))
    return {{},
            std::string("its OME-XML is in ") + elsewhere.attribute("MetadataFile").value() +
                ", which is not read"};
  if (images_.empty()) return {};
  try {
    for (OmeImage& image : images_) place(image);
  } catch (const Unusable& problem) {
    return {{not_placed()}, "its OME-XML is not used: it says " + problem.reason};
  }
  if (placed_ == 0) return {{not_placed()}, missing()};
  TiffDescription description{{}, missing()};
  for (OmeImage& image : images_)
    if (!image.described.planes.empty()) description.images.push_back(std::move(image.described));
  add_rest(description);
  return description;
}

}  // namespace

TiffDescription read_ome(const std::string& xml, const std::vector<StoredPlane>& stored,
                         const std::string& file_name) {
  pugi::xml_document document;
  const pugi::xml_parse_result result =
      document.load_buffer(xml.data(), xml.size(), pugi::parse_default | pugi::parse_trim_pcdata);
  if (!result)
    return {{}, "its OME-XML is damaged at byte " + std::to_string(result.offset) + " and not used"};
  const xml_node root = child(document, "OME");
  return root ? OmeReader(root, stored, file_name).read() : TiffDescription{};
}

}  // namespace nuclei
