// Data that doctor calls wrong stop training and evaluation, unless the user wants it.
#include <catch2/catch.hpp>

#include "dataset/diagnosis.h"
#include "imageio/image.h"
#include "program.h"
#include "workplace.h"

using namespace nuclei;
namespace fs = std::filesystem;
using Catch::Contains;
using nuclei::test::Result;
using nuclei::test::shell;
using nuclei::test::Workplace;

namespace {

/// In place of an image's masks: one file.
template <class Values>
void one_mask(const Workplace& w, const std::string& id, int channels, const Values& values) {
  const Example e = read_example(scan_bowl(w.data, true).front());
  fs::remove_all(w.data / id / "masks");
  fs::create_directories(w.data / id / "masks");
  Picture mask(e.truth.width, e.truth.height, channels);
  for (std::size_t i = 0; i < e.truth.size(); ++i)
    for (int c = 0; c < channels; ++c) mask.pixel(i)[c] = static_cast<std::uint8_t>(values(e.truth[i], c));
  write_png8(w.data / id / "masks/1.png", mask);
}

struct Commands {
  std::string train, evaluate;

  explicit Commands(const Workplace& w)
      : train("$nuclei train" + w.settings + "--out " + (w.root / "run").string()),
        evaluate("$nuclei evaluate --no-report --model " + w.model().string() + " --data " +
                 w.data.string()) {}
};

}  // namespace

TEST_CASE("nuclei: train and evaluate stop where doctor finds an error", "[nuclei][faults]") {
  const std::string first = "synthetic-00000";
  struct Wrong {
    const char* says;
    void (*plant)(const Workplace&, const std::string& id);
  };
  for (const Wrong& wrong : {
           Wrong{"label images in place of one mask per nucleus (1: synthetic-00000/masks/1.png)",
                 [](const Workplace&w, const std::string&id) {
                   one_mask(w, id, 1, [](std::int32_t label, int) { return 10 * label; });
                 }},
           Wrong{"masks kept in the alpha channel",
                 [](const Workplace&w, const std::string&id) {
                   one_mask(w, id, 4, [](std::int32_t label, int c) {
                     return c < 3 ? 0 : label > 0 ? 255 : 9;
                   });
                 }},
           Wrong{"inverted masks",
                 [](const Workplace&w, const std::string&id) {
                   one_mask(w, id, 1, [](std::int32_t label, int) { return label > 0 ? 0 : 255; });
                 }},
       }) {
    const Workplace w;
    const Commands commands(w);
    wrong.plant(w, first);
    for (const std::string& command : {commands.train, commands.evaluate}) {
      const Result r = shell(command);
      CHECK(r.code == 1);
      CHECK_THAT(r.text, Contains(wrong.says) && Contains("nuclei doctor --data " + w.data.string()) &&
                             Contains("--ignore-faults"));
      CHECK_FALSE(fs::exists(w.root / "run"));
    }
    const Result r = shell(commands.train + " --ignore-faults");
    CHECK(r.code == 0);
    CHECK_THAT(r.text, Contains("warning: ") && Contains(wrong.says));
    // What began with faults goes on with them.
    CHECK(shell("$nuclei train --epochs 4 --resume " + (w.root / "run").string()).code == 0);
    CHECK(shell(commands.evaluate + " --ignore-faults").code == 0);
  }
}

TEST_CASE("nuclei: train and evaluate stop where the masks are empty, and warn where doctor warns",
          "[nuclei][faults]") {
  const Workplace w;
  const Commands commands(w);
  fs::copy_file(w.data / "synthetic-00000/masks/00001.png", w.data / "synthetic-00000/masks/twice.png");
  for (const std::string& command : {commands.train, commands.evaluate}) {
    const Result r = shell(command);
    CHECK(r.code == 0);
    CHECK_THAT(r.text, Contains("warning: " + w.data.string() +
                                ": masks that are the same as another (1: "
                                "synthetic-00000/masks/twice.png)"));
  }
  fs::remove_all(w.root / "run");
  for (const auto& entry : fs::directory_iterator(w.data))
    one_mask(w, entry.path().filename().string(), 1, [](std::int32_t, int) { return 0; });
  fs::remove_all(w.root / "data/synthetic-00001");
  for (const std::string& command : {commands.train, commands.evaluate}) CHECK(shell(command).code == 1);
}

TEST_CASE("nuclei: what was examined is what training reads", "[nuclei][faults]") {
  const Workplace w;
  // Masks that lie below others, wholly or in part, and one that is empty.
  const fs::path masks = w.data / "synthetic-00000/masks";
  fs::copy_file(masks / "00001.png", masks / "00001b.png");
  Picture all(48, 64);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i % 48 < 24 ? 255 : 0;
  write_png8(masks / "00002b.png", all);
  write_png8(masks / "00003b.png", Picture(48, 64));
  const std::vector<Sample> samples = scan_bowl(w.data, true);
  const Examined examined = read_examined(w.data, samples);
  REQUIRE(examined.examples.size() == samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const Example read = read_example(samples[i]);
    CHECK(examined.examples[i].id == read.id);
    CHECK((examined.examples[i].image.values == read.image.values));
    CHECK((examined.examples[i].truth == read.truth));
  }
}
