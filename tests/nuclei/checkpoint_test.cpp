// Checkpoints that are damaged, or were made to harm.
#include <sys/stat.h>

#include <catch2/catch.hpp>

#include <karyon/karyon.h>
#include <nlohmann/json.hpp>

#include "common/json.h"
#include "program.h"
#include "workplace.h"

namespace fs = std::filesystem;
using Catch::Contains;
using Json = nlohmann::json;
using karyon::test::read_file;
using karyon::test::write_file;
using nuclei::test::Result;
using nuclei::test::shell;
using nuclei::test::Workplace;

TEST_CASE("nuclei: a checkpoint with impossible numbers is refused, by its name") {
  const Workplace w;
  const fs::path run = w.root / "run", file = run / "last.ckpt";
  REQUIRE(shell("$nuclei train" + w.settings + "--out " + run.string()).code == 0);
  const karyon::TensorFile good = karyon::load_safetensors(file);
  const auto resume = [&](const char* what) {
    INFO(what);
    const Result r = shell("timeout 20 $nuclei train --resume " + run.string());
    CHECK(r.code == 1);
    CHECK_THAT(r.text, Contains(file.string()) && Contains("damaged") && !Contains("json.exception"));
  };
  const auto with = [&](const char* entry, const char* key, const Json& value) {
    karyon::TensorFile bad = good;
    Json json = Json::parse(bad.metadata.at(entry));
    json[key] = value;
    bad.metadata[entry] = json.dump();
    karyon::save_safetensors(file, bad);
    resume(key);
  };
  const std::int64_t least = std::numeric_limits<std::int64_t>::min(), most = -(least + 1);
  for (const std::int64_t epoch : {least, std::int64_t{-1}, std::int64_t{2}, most})
    with("nuclei.state", "epoch", epoch);
  for (const std::int64_t batch : {least, std::int64_t{-1}, most}) with("nuclei.state", "batch", batch);
  with("nuclei.state", "best_epoch", most);
  with("nuclei.state", "history", Json::array());
  with("nuclei.state", "history", Json::array({1, 2, 3}));
  with("nuclei.state", "history", Json::object());
  with("nuclei.state", "thresholds", "{");
  with("nuclei.state", "loss_sum", nullptr);
  with("nuclei.options", "base_width", 1024);  // terabytes, if they were allocated
  with("nuclei.options", "depth", 8);
  with("nuclei.options", "depth", -1);
  with("nuclei.options", "epochs", most);
  with("nuclei.options", "crop", "wide");
  for (const std::string& text :
       {std::string(), std::string("{"), std::string(1 << 20, '['), "{\"a\":[" + [] {
          std::string lists;
          for (int i = 0; i < 1 << 18; ++i) lists += "[],";
          return lists;
        }() + "1]}"})
    for (const char* entry : {"nuclei.options", "nuclei.state"}) {
      karyon::TensorFile bad = good;
      bad.metadata[entry] = text;
      karyon::save_safetensors(file, bad);
      resume(entry);
    }
  karyon::save_safetensors(file, good);
  CHECK(shell("$nuclei train --resume " + run.string()).code == 0);
}

TEST_CASE("nuclei: JSON is read in bounded memory, and errors name the file") {
  CHECK(nuclei::parse_json("{\"a\": [1, [2]]}", "x").at("a").size() == 2);
  for (const std::string& text : {std::string(), std::string("{]"), std::string("\xff"),
                                  std::string("[1e999]"), std::string(9, '[') + std::string(9, ']')})
    CHECK_THROWS_WITH(nuclei::parse_json(text, "a.json"),
                      Catch::StartsWith("a.json: damaged") && !Contains("json.exception"));
  CHECK_THROWS_WITH(
      nuclei::read_json("{}", "a.json", [](const Json& json) { return json.at("b").get<int>(); }),
      Catch::StartsWith("a.json: damaged: an entry is missing"));
}

TEST_CASE(
    "nuclei: pipes and devices are no models, checkpoints or folders of data, and nothing waits for them") {
  const Workplace w;
  const std::string pipe = (w.root / "pipe").string(), data = w.data.string(), model = w.model().string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  for (const std::string& command :
       {"predict --model " + pipe + " " + w.a_picture().string(), "info " + pipe,
        std::string("info /dev/zero"), "shrink " + pipe + " --out " + (w.root / "s").string(),
        "evaluate --data " + data + " --model " + pipe, "evaluate --data " + pipe + " --model " + model,
        "doctor --data " + pipe, "train --resume " + pipe,
        "train --data " + pipe + " --out " + (w.root / "t").string(),
        "train --data " + data + " --out " + (w.root / "t").string() + " --init " + pipe,
        "arrange --images " + pipe + " --masks " + pipe + " --out " + (w.root / "a").string()}) {
    const Result r = shell("timeout 20 $nuclei " + command);
    CHECK(r.code == 1);
    CHECK_THAT(r.text, Contains("pipe") || Contains("/dev/zero"));
  }
  for (const char* place : {"images/synthetic-00000.png", "masks/pipe.png"}) {
    const Workplace other;
    const fs::path file = other.data / "synthetic-00000" / place;
    fs::remove(file);
    REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
    for (const std::string& command : {"train" + other.settings + "--out " + (other.root / "t").string(),
                                       "evaluate --data " + other.data.string() + " --model " + model,
                                       "doctor --data " + other.data.string()}) {
      const Result r = shell("timeout 20 $nuclei " + command);
      CHECK(r.code == 1);
      CHECK_THAT(r.text, Contains(file.filename().string()));
    }
  }
}

TEST_CASE("nuclei: files that nobody asked to replace stay") {
  const Workplace w;
  const std::string json = (w.root / "mine.json").string(), page = (w.root / "mine.html").string(),
                    model = w.model().string(), data = w.data.string();
  const std::string evaluate = "$nuclei evaluate --model " + model + " --data " + data;
  const auto mine = [](const std::string& file) { return read_file(file) == "mine"; };
  const auto refused = [&](const std::string& file, const std::string& command) {
    write_file(file, "mine");
    const Result r = shell(command);
    CHECK(r.code == 1);
    CHECK_THAT(r.text, Contains(fs::path(file).filename().string()) && Contains("--overwrite"));
    CHECK(mine(file));
    CHECK(shell(command + " --overwrite").code == 0);
    CHECK_FALSE(mine(file));
  };
  refused(json, evaluate + " --no-report --json " + json);
  CHECK(shell(evaluate + " --no-report --json " + json).code == 0);  // what an earlier one wrote
  refused(page, evaluate + " --report " + page);
  CHECK(shell(evaluate + " --report " + page).code == 0);
  fs::create_directory(w.root / "here");  // where the report goes if nobody says where
  refused((w.root / "here/report.html").string(), "cd " + (w.root / "here").string() + "; " + evaluate);
  refused(json, "$nuclei doctor --data " + data + " --json " + json);
  CHECK(shell("$nuclei doctor --data " + data + " --json " + json).code == 0);
  refused((w.root / "small.safetensors").string(),
          "$nuclei shrink " + model + " --out " + (w.root / "small.safetensors").string());
}
