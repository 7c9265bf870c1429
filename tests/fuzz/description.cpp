// What OME-XML and ImageJ write into a TIFF file's description.
#include "fuzz.h"
#include "imageio/tiff_description.h"

namespace {

/// The first byte says how many planes the file has, or the second one how many lie behind its only
/// directory.
void run(fuzz::Bytes input) {
  fuzz::ByteReader in(input);
  const int directories = in.whole(0, 9), behind = in.whole(0, 9);
  std::vector<nuclei::StoredPlane> stored;
  for (int i = 0; i < directories; ++i)
    stored.push_back(
        {.directory = static_cast<std::uint32_t>(i), .reduced = i == 7, .samples = i == 8 ? 3 : 1});
  for (int i = 1; directories == 1 && i <= behind; ++i)
    stored.push_back({.behind = static_cast<std::uint64_t>(i)});
  const fuzz::Bytes text = in.rest();
  const nuclei::TiffDescription d = nuclei::describe({text.begin(), text.end()}, stored, "x.ome.tif");
  for (const nuclei::DescribedImage& image : d.images) {
    fuzz::expect(image.channels >= 1, "channels ", image.channels);
    fuzz::expect(image.width >= 0 && image.height >= 0, "size ", image.width, " x ", image.height);
    fuzz::expect(image.pixel_width >= 0 && image.pixel_height >= 0, "pixels of ", image.pixel_width, " x ",
                 image.pixel_height);
    for (const nuclei::PlacedPlane& plane : image.planes)
      fuzz::expect(plane.stored < stored.size() && plane.page >= 0 && plane.channel >= 0 &&
                       plane.channel < image.channels,
                   "page ", plane.page, ", channel ", plane.channel, ", plane ", plane.stored);
  }
}

fuzz::Inputs seeds() {
  fuzz::Inputs seeds;
  for (const char* text :
       {"<OME><Image><Pixels DimensionOrder=\"XYZCT\" SizeC=\"3\" SizeZ=\"2\" SizeT=\"4\" "
        "PhysicalSizeX=\"0.1\" "
        "PhysicalSizeXUnit=\"nm\"><Channel Name=\"DAPI\" SamplesPerPixel=\"1\"/></Pixels></Image></OME>",
        "<?xml version='1.0'?><ome:OME xmlns:ome='x'><ome:Image><ome:Pixels SizeC='1' PhysicalSizeX='1e-3' "
        "PhysicalSizeY='2'/></ome:Image></ome:OME>",
        "<OME><Image><Pixels SizeC=\"3\"><Channel SamplesPerPixel=\"3\"/><TiffData IFD=\"0\" FirstC=\"1\" "
        "PlaneCount=\"2\"/></Pixels></Image><Image><Pixels SizeC=\"1\"/></Image></OME>",
        "ImageJ=1.53t\nimages=12\nchannels=2\nslices=3\nframes=2\nhyperstack=true\nunit=micron\nspacing=0."
        "5\n",
        "ImageJ=1.0\nimages=4\nunit=\\u00B5m\nmin=0\nmax=4095\nmode=color\n", "a note"})
    for (const char* planes : {"\x04\x09", "\x01\x04"})
      seeds.push_back(fuzz::to_bytes(planes + std::string(text)));
  return seeds;
}

const fuzz::Register target{{"description", run, seeds}};

}  // namespace
