// The same nuclei, whatever memory there is.
#include "inference/windows.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <numeric>

#include "common/error.h"
#include "dataset/synthetic.h"
#include "inference/finder.h"
#include "temp_folder.h"

using namespace nuclei;
using Catch::Matchers::Contains;
using karyon::test::TempFolder;

namespace {

struct Keep : FindSink {
  std::vector<std::int32_t> labels;
  std::vector<float> maps, pixels;
  std::vector<Found> found;
  int next_row = 0;
  std::size_t width = 0, channels = 0;

  void rows(int y, int count, const std::int32_t* l, const float* m, const float* p) override {
    REQUIRE(y == next_row);
    next_row += count;
    const std::size_t n = static_cast<std::size_t>(count) * width;
    labels.insert(labels.end(), l, l + n);
    maps.insert(maps.end(), m, m + n * map_count);
    pixels.insert(pixels.end(), p, p + n * channels);
  }
  void nucleus(const Found& f) override {
    REQUIRE(f.nucleus.label == static_cast<int>(found.size()) + 1);
    found.push_back(f);
  }
};

/// A network with random weights: every pixel that it sees counts.
struct Setup {
  TempFolder folder;
  std::filesystem::path model = folder / "model.safetensors";

  explicit Setup(karyon::UNetOptions options = {.base_width = 16, .depth = 2}) {
    karyon::manual_seed(3);
    options.out_channels = map_count;
    karyon::save_unet(karyon::UNet(options), model);
  }
};

Keep run(Segmenter& segmenter, const std::filesystem::path& file, const FindOptions& options,
         FindSummary* summary = nullptr) {
  Keep keep;
  const auto source = open_image(file);
  keep.width = static_cast<std::size_t>(source->header().width);
  keep.channels = static_cast<std::size_t>(source->header().channels);
  const FindSummary s = find_nuclei(segmenter, *source, options, keep);
  CHECK(s.nuclei == static_cast<std::int64_t>(keep.found.size()));
  CHECK(keep.next_row == source->header().height);
  if (summary) *summary = s;
  return keep;
}

std::filesystem::path picture(const TempFolder& folder, int width, int height, Style style,
                              std::uint64_t seed = 4) {
  const Example e = make_synthetic(seed, width, height, style);
  const std::filesystem::path file = folder / (std::to_string(width) + "x" + std::to_string(height) + ".png");
  write_png8(file, to_8_bits(e.image));
  return file;
}

/// A network of one convolution that passes the brightness on, so that the picture decides what is found.
void save_brightness_net(const std::filesystem::path& file) {
  karyon::UNet net({.out_channels = map_count, .base_width = 2, .depth = 1, .norm = karyon::Norm::none});
  for (auto& [name, parameter] : net.named_parameters()) {
    karyon::Tensor p = parameter.detach();
    p.fill_(0);
    float* v = p.data<float>();
    // Filters [out, 3, 3, in]: the middle passes channel 0 on.
    const auto pass = [&](std::int64_t in, double by) { v[4 * in] = static_cast<float>(by); };
    if (name == "down.0.conv1.weight") pass(3, 1);
    if (name == "down.0.conv2.weight" || name == "up.0.conv2.weight") pass(2, 1);
    if (name == "up.0.conv1.weight") pass(4, 1);
    // Nucleus and depth follow the brightness, [out, 1, 1, in]; borders are nowhere.
    if (name == "head.weight") v[0] = v[4] = 20;
    if (name == "head.bias") v[0] = v[1] = v[2] = -10;
  }
  karyon::save_unet(net, file);
}

bool same(const Found& a, const Found& b) {
  // A band's rows are counted from its top: the centre may differ in its last bits.
  const auto close = [](double p, double q) { return std::abs(p - q) < 1e-9; };
  return a.nucleus.area == b.nucleus.area && close(a.nucleus.cx, b.nucleus.cx) &&
         close(a.nucleus.cy, b.nucleus.cy) && a.nucleus.y0 == b.nucleus.y0 &&
         a.nucleus.perimeter == b.nucleus.perimeter &&
         a.nucleus.total_intensity == b.nucleus.total_intensity && a.parts.size() == b.parts.size() &&
         a.parts[0].outer == b.parts[0].outer && a.runs.size() == b.runs.size();
}

}  // namespace

TEST_CASE("nuclei: windows give every bit of the whole picture", "[nuclei][tiles]") {
  for (const karyon::UNetOptions& options :
       {karyon::UNetOptions{.base_width = 16, .depth = 2},
        {.base_width = 16, .depth = 2, .up = karyon::UpMode::bilinear}}) {
    const Setup setup(options);
    Segmenter segmenter(setup.model, karyon::Device::cpu());
    for (const auto& [width, height, style] :
         {std::tuple{221, 197, Style::fluorescence}, {610, 67, Style::stained}, {50, 830, Style::mixed}}) {
      if (options.up == karyon::UpMode::bilinear && width != 221)
        continue;  // shapes are the other network's part
      const auto file = picture(setup.folder, width, height, style);
      FindSummary whole, tiled;
      for (const auto& [tta, zoom, precision] : {std::tuple(false, 1.0, karyon::f32),
                                                 {true, 1, karyon::f32},
                                                 {false, 2, karyon::f32},
                                                 {true, 2, karyon::f32},
                                                 {false, 1, karyon::bf16},
                                                 {true, 2, karyon::bf16}}) {
        if (tta && zoom == 2 && std::max(width, height) > 400) continue;  // takes longest
        const karyon::AutocastGuard autocast(precision);
        const Keep a = run(segmenter, file, {.tta = tta, .zoom = zoom}, &whole);
        CHECK_FALSE(whole.tiled);
        const std::size_t memory = karyon::unet_window(segmenter.model->options).bytes_per_pixel * 192 * 192 *
                                   static_cast<std::size_t>(zoom * zoom);
        const Keep b = run(segmenter, file, {.tta = tta, .zoom = zoom, .window_memory = memory}, &tiled);
        CHECK(tiled.zoom == zoom);
        CHECK(tiled.exact);
        CHECK(tiled.tiled);
        CHECK((a.maps == b.maps));
        CHECK((a.labels == b.labels));
        CHECK((a.pixels == b.pixels));
      }
    }
  }
}

TEST_CASE("nuclei: the library's own path gives the same maps", "[nuclei][tiles]") {
  const Setup setup;
  Segmenter segmenter(setup.model, karyon::Device::cpu());
  const auto file = picture(setup.folder, 131, 93, Style::stained);
  for (const double zoom : {auto_zoom, 1.0, 2.0, 0.5, 0.25, 4.0}) {
    const Keep keep = run(segmenter, file, {.zoom = zoom});
    CHECK((keep.maps == predict_maps(*segmenter.model, read_image(file), false, {.zoom = zoom}).maps.values));
  }
}

TEST_CASE("nuclei: windows on a shrunk picture give every bit of the whole", "[nuclei][tiles]") {
  const Setup setup;
  Segmenter segmenter(setup.model, karyon::Device::cpu());
  for (const auto& [width, height] : {std::pair(47, 850), {850, 43}}) {
    const auto file = picture(setup.folder, width, height, Style::fluorescence);
    for (const auto& [tta, zoom] : {std::pair(false, 0.5), {true, 0.5}, {false, 0.25}}) {
      FindSummary whole, tiled;
      const Keep a = run(segmenter, file, {.tta = tta, .zoom = zoom}, &whole);
      const auto pixels =
          static_cast<std::size_t>(std::min(width, height) * (zoom < 0.5 ? 750 : 420) * zoom * zoom);
      const std::size_t memory = karyon::unet_window(segmenter.model->options).bytes_per_pixel * pixels;
      const Keep b = run(segmenter, file, {.tta = tta, .zoom = zoom, .window_memory = memory}, &tiled);
      CHECK_FALSE(whole.tiled);
      CHECK(tiled.tiled);
      CHECK(tiled.exact);
      CHECK(tiled.zoom == zoom);
      CHECK((a.maps == b.maps));
      CHECK((a.labels == b.labels));
    }
  }
}

TEST_CASE("nuclei: small nuclei are seen enlarged, large ones shrunk", "[nuclei][tiles]") {
  const TempFolder folder;
  save_brightness_net(folder / "model.safetensors");
  Segmenter segmenter(folder / "model.safetensors", karyon::Device::cpu());
  // Squares of `side` pixels, and beside them a few of another size, in a picture of one part or of several.
  const auto zoom_of = [&](int width, int height, int side, int other, bool inverted = false) {
    Picture pixels(width, height);
    const int step = side * 2;  // mostly background
    for (int y = 4; y + std::max(side, other) < height; y += step)
      for (int x = 4; x + std::max(side, other) < width; x += step) {
        const bool is_other = (x / step + y / step) % 5 == 0 && other < side;
        const int size = is_other ? other : side;
        for (int v = y; v < y + size; ++v)
          for (int u = x; u < x + size; ++u) pixels.at(u, v) = 255;
      }
    Picture shown = pixels;
    if (inverted)
      for (std::uint8_t& p : shown) p = static_cast<std::uint8_t>(255 - p);
    write_png8(folder / "a.png", shown);
    FindSummary summary;
    const Keep keep = run(segmenter, folder / "a.png", {}, &summary);
    // Found where they are, whatever the zoom.
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < pixels.size(); ++i) wrong += (keep.labels[i] != 0) != (pixels[i] != 0);
    CHECK(wrong * 20 <= pixels.size());
    FindSummary told;
    const double other_zoom = summary.zoom == 1 ? 2 : 1;
    run(segmenter, folder / "a.png", {.zoom = other_zoom}, &told);
    CHECK(told.zoom == other_zoom);
    return summary.zoom;
  };
  CHECK(zoom_of(200, 150, 12, 12) == 2);
  CHECK(zoom_of(1300, 300, 12, 12) == 2);
  CHECK(zoom_of(200, 150, 40, 40) == 1);
  CHECK(zoom_of(300, 1300, 40, 8) == 1);        // most are not small
  CHECK(zoom_of(200, 150, 300, 300) == 1);      // nothing to measure
  CHECK(zoom_of(200, 150, 12, 12, true) == 1);  // a light background
  CHECK(zoom_of(500, 400, 90, 90) == 0.25);
  CHECK(zoom_of(500, 400, 90, 90, true) == 0.25);
}

// KARYON_DSB2018 names the folder of the data set.
TEST_CASE("nuclei: cells with small nuclei are not taken for large nuclei", "[nuclei][tiles]") {
  const char* const folder = std::getenv("KARYON_DSB2018");
  const std::string id = "08275a5b1c2dfcd739e8c4888a5ee2d29f83eccfa75185404ced1dc0866ea992";
  const std::filesystem::path file =
      std::filesystem::path(folder ? folder : "") / "stage1_train" / id / "images" / (id + ".png");
  if (!folder || !std::filesystem::exists(file)) {
    WARN("skipped: KARYON_DSB2018 does not name a folder with stage1_train in it");
    return;
  }
  Segmenter segmenter(default_model(), karyon::Device::cpu());
  const SizeOptions options = segmenter.size_options(auto_zoom);
  CHECK(predict_maps(*segmenter.model, read_image(file), false, options).size.zoom == 1);
}

TEST_CASE("nuclei: fragments are dropped inside a picture, not at its edge, in whole pictures and bands",
          "[nuclei][tiles]") {
  const TempFolder folder;
  save_brightness_net(folder / "model.safetensors");
  Segmenter segmenter(folder / "model.safetensors", karyon::Device::cpu());
  const int width = 240, height = 700;
  Picture pixels(width, height);
  const auto square = [&](int x0, int y0, int side) {
    for (int y = std::max(0, y0); y < std::min(height, y0 + side); ++y)
      for (int x = std::max(0, x0); x < std::min(width, x0 + side); ++x) pixels.at(x, y) = 255;
  };
  int large = 0, small = 0;
  for (int y = 30; y + 60 < height; y += 60)
    for (int x = 30; x + 60 < width; x += 60, ++large) square(x, y, 30);
  for (int y = 15; y + 8 < height; y += 60, ++small) square(125, y, 8);
  int at_edge = 0;
  for (int y = 5; y + 8 < height; y += 60, ++at_edge) square(-2, y, 8);
  square(100, -3, 8), square(100, height - 6, 8), square(width - 6, 100, 8);
  at_edge += 3;
  write_png8(folder / "a.png", pixels);
  for (const double zoom : {auto_zoom, 1.0}) {
    segmenter.thresholds.fragment = 0;
    CHECK(std::cmp_equal(run(segmenter, folder / "a.png", {.zoom = zoom}).found.size(),
                         large + small + at_edge));
    segmenter.thresholds.fragment = 0.1f;
    FindSummary summary;
    const Keep whole = run(segmenter, folder / "a.png", {.zoom = zoom}, &summary);
    CHECK(summary.size.typical > 25 * 25);
    CHECK(summary.size.typical < 35 * 35);
    CHECK(std::cmp_equal(whole.found.size(), large + at_edge));
    for (const int band : {300, 420}) {
      const Keep banded = run(segmenter, folder / "a.png", {.zoom = zoom, .band_rows = band}, &summary);
      CHECK_FALSE(summary.whole);
      CHECK((banded.labels == whole.labels));
      CHECK(banded.found.size() == whole.found.size());
    }
    const LabelMap found = segmenter(read_image(folder / "a.png"), false, zoom);
    CHECK((std::vector<std::int32_t>(found.begin(), found.end()) == whole.labels));
  }
  // A share below the smallest drops nothing.
  segmenter.thresholds.fragment = 0.02f;
  CHECK(std::cmp_equal(run(segmenter, folder / "a.png", {}).found.size(), large + small + at_edge));
}

TEST_CASE("nuclei: bands of rows give the same nuclei, however they touch", "[nuclei][tiles]") {
  const TempFolder folder;
  save_brightness_net(folder / "model.safetensors");
  Segmenter segmenter(folder / "model.safetensors", karyon::Device::cpu());

  const int width = 96, height = 700;
  Picture pixels(width, height);
  const auto paint = [&](int x0, int y0, int x1, int y1) {
    for (int y = y0; y < y1; ++y)
      for (int x = x0; x < x1; ++x) pixels.at(x, y) = 255;
  };
  for (int y = 3; y + 12 < height; y += 29)
    for (int x = 2 + y % 7; x + 10 < 60; x += 15) paint(x, y, x + 9 + y % 4, y + 11);
  paint(64, 70, 70, 180);   // a long one across ends of bands
  paint(72, 100, 78, 150);  // a U, whose legs meet far below
  paint(84, 110, 90, 150);
  paint(72, 145, 90, 150);
  paint(80, 300, 84, 302);  // too small
  // A clump taller than a band.
  for (int y = 330; y < 620; y += 20) paint(80, y, 92, y + 18), paint(84, y + 18, 86, y + 20);
  write_png8(folder / "a.png", pixels);

  const Keep whole = run(segmenter, folder / "a.png", {});
  CHECK(whole.found.size() > 80);
  for (const int band : {420, 351, 400}) {
    FindSummary summary;
    const Keep banded = run(segmenter, folder / "a.png", {.band_rows = band}, &summary);
    INFO("bands of " << band);
    CHECK_FALSE(summary.whole);
    CHECK(summary.cut == 0);
    CHECK((banded.labels == whole.labels));
    REQUIRE(banded.found.size() == whole.found.size());
    for (std::size_t i = 0; i < whole.found.size(); ++i) {
      INFO(i << " area " << banded.found[i].nucleus.area << " " << whole.found[i].nucleus.area << " c "
             << banded.found[i].nucleus.cx << " " << whole.found[i].nucleus.cx << " "
             << banded.found[i].nucleus.cy - whole.found[i].nucleus.cy << " p "
             << banded.found[i].nucleus.perimeter << " " << whole.found[i].nucleus.perimeter << " t "
             << banded.found[i].nucleus.total_intensity - whole.found[i].nucleus.total_intensity << " parts "
             << banded.found[i].parts.size() << " " << whole.found[i].parts.size() << " y0 "
             << banded.found[i].nucleus.y0);
      CHECK(same(banded.found[i], whole.found[i]));
    }
  }
  // Where the clump is taller than a band only it may come out in parts; no pixel is lost but at the cuts.
  FindSummary summary;
  const Keep cut = run(segmenter, folder / "a.png", {.band_rows = 160}, &summary);
  CHECK(summary.cut > 0);
  std::size_t differ = 0;
  for (std::size_t i = 0; i < whole.labels.size(); ++i) {
    const bool in_clump = static_cast<int>(i) / width >= 320 && static_cast<int>(i) % width >= 78;
    if (!in_clump) CHECK((cut.labels[i] != 0) == (whole.labels[i] != 0));
    differ += (cut.labels[i] != 0) != (whole.labels[i] != 0);
  }
  CHECK(differ <= whole.labels.size() / 100);
}

TEST_CASE("nuclei: the number of threads changes nothing", "[nuclei][tiles]") {
  const Setup setup;
  Segmenter segmenter(setup.model, karyon::Device::cpu());
  const auto file = picture(setup.folder, 150, 120, Style::fluorescence);
  const int before = karyon::num_threads();
  for (const karyon::DType precision : {karyon::f32, karyon::bf16}) {
    const karyon::AutocastGuard autocast(precision);
    karyon::set_num_threads(1);
    const Keep one = run(segmenter, file, {});
    for (const int threads : {2, 3}) {
      karyon::set_num_threads(threads);
      CHECK((run(segmenter, file, {}).maps == one.maps));
    }
  }
  karyon::set_num_threads(before);
}

TEST_CASE("nuclei: too little memory is said before anything is computed", "[nuclei][tiles]") {
  const Setup setup;
  Segmenter segmenter(setup.model, karyon::Device::cpu());
  const auto file = picture(setup.folder, 700, 700, Style::fluorescence);
  CHECK_THROWS_WITH(run(segmenter, file, {.max_memory = 1000}), Contains("--max-memory"));
  CHECK_THROWS_WITH(run(segmenter, file, {.window_memory = 1000}), Contains("--max-memory"));
  const Setup group({.base_width = 8, .depth = 2, .norm = karyon::Norm::group});
  Segmenter grouped(group.model, karyon::Device::cpu());
  CHECK_THROWS_WITH(run(grouped, file, {.window_memory = 10'000'000}), Contains("group norms"));
}

TEST_CASE("nuclei: the memory that is asked for is enough, and little less is not", "[nuclei][tiles]") {
  const auto named = [](const std::string& text) {
    const std::string option = "--max-memory ";
    const std::size_t at = text.find(option);
    REQUIRE(at != std::string::npos);
    return std::stoull(text.substr(at + option.size())) * 1'000'000;
  };
  for (const bool tall : {false, true}) {
    for (const karyon::Norm norm : {karyon::Norm::batch, karyon::Norm::group}) {
      const Setup setup({.base_width = 8, .depth = 2, .norm = norm});
      Segmenter segmenter(setup.model, karyon::Device::cpu());
      const auto file = picture(setup.folder, tall ? 300 : 900, tall ? 900 : 300, Style::fluorescence);
      std::string reason;
      try {
        run(segmenter, file, {.max_memory = 1000});
      } catch (const Failure& failure) {
        reason = failure.what();
      }
      const std::size_t enough = named(reason);
      CHECK_NOTHROW(run(segmenter, file, {.max_memory = enough}));
      CHECK_THROWS_WITH(run(segmenter, file, {.max_memory = enough - 1'000'000}), Contains("--max-memory"));
    }
  }
}

TEST_CASE("nuclei: holes are no nuclei, and a nucleus that reaches into one stays", "[nuclei][tiles]") {
  const TempFolder folder;
  save_brightness_net(folder / "model.safetensors");
  Segmenter segmenter(folder / "model.safetensors", karyon::Device::cpu());
  Image image(80, 60);
  const auto fill = [&](int x0, int y0, int x1, int y1, float value) {
    for (int y = y0; y < y1; ++y)
      for (int x = x0; x < x1; ++x) image.at(x, y) = value;
  };
  fill(0, 0, 80, 60, 0.1f);
  for (int x = 5; x < 70; x += 20) fill(x, 10, x + 12, 22, 0.8f);
  fill(5, 14, 9, 18, std::numeric_limits<float>::quiet_NaN());    // inside the first
  fill(40, 30, 70, 50, std::numeric_limits<float>::quiet_NaN());  // in the background
  ImageRows source(image);
  Keep keep;
  keep.width = 80;
  keep.channels = 1;
  const FindSummary summary = find_nuclei(segmenter, source, {.zoom = 1}, keep);
  CHECK(summary.holes == 16 + 600);
  REQUIRE(keep.found.size() == 4);
  CHECK(keep.found[0].nucleus.min_intensity == 204);
  CHECK(segmenter(image, false, 1) == LabelMap(80, 60, 1, keep.labels));
  // Without a single value there is nothing.
  fill(0, 0, 80, 60, std::numeric_limits<float>::quiet_NaN());
  CHECK(find_nuclei(segmenter, source, {}, *std::make_unique<Keep>()).nuclei == 0);
}

TEST_CASE("nuclei: quantiles in two passes are those of sorting", "[nuclei][tiles]") {
  const TempFolder folder;
  for (const Style style : {Style::fluorescence, Style::stained}) {
    const auto file = picture(folder, 83, 141, style);
    const auto source = open_image(file);
    const Image image = read_image(file);
    std::vector<float> brightness;
    for (std::size_t i = 0; i < image.pixels(); ++i) {
      const float* p = image.pixel(i);
      brightness.push_back(std::accumulate(p, p + image.channels, 0.0f) / static_cast<float>(image.channels));
    }
    std::sort(brightness.begin(), brightness.end());
    const std::vector<double> shares{0, 0.005, 0.5, 0.995, 1};
    const std::vector<float> quantiles = brightness_quantiles(*source, shares);
    for (std::size_t i = 0; i < shares.size(); ++i)
      CHECK(quantiles[i] ==
            brightness[static_cast<std::size_t>(shares[i] * static_cast<double>(brightness.size() - 1))]);
  }
}
