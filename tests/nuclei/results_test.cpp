// Results that cannot be kept, that are the user's, and inputs that are no files.
#include <sys/stat.h>

#include <catch2/catch.hpp>

#include <karyon/karyon.h>

#include "imageio/image.h"
#include "output/text_file.h"
#include "program.h"
#include "workplace.h"

namespace fs = std::filesystem;
using Catch::Contains;
using karyon::test::read_file;
using karyon::test::TempFolder;
using karyon::test::write_file;
using nuclei::test::Result;
using nuclei::test::shell;
using nuclei::test::Workplace;

TEST_CASE("nuclei: results that somebody removes are no success") {
  const TempFolder folder;
  const fs::path table = folder / "table.csv";
  nuclei::GrowingFile file(table, "a,b\n", 0);
  file.add("1,2\n");
  fs::remove(table);
  CHECK_THROWS_WITH(file.add("3,4\n"), Contains("table.csv") && Contains("removed or replaced"));
  write_file(table, "another");
  CHECK_THROWS_WITH(file.check(), Contains("table.csv") && Contains("removed or replaced"));
  CHECK(read_file(table) == "another");

  // The results of the first pictures go while a large one is worked on.
  const Workplace w;
  const fs::path out = w.root / "out", large = w.root / "large.png";
  nuclei::write_png8(large, nuclei::to_8_bits(nuclei::make_synthetic(1, 1200, 1200).image));
  for (const char* gone : {"", "/labels"}) {
    fs::remove_all(out);
    const Result r = shell(w.predict(w.data.string() + " " + large.string()) +
                           " & p=$!; until grep -q '\"name\"' " + (out / "finished.jsonl").string() +
                           " 2>/dev/null || ! kill -0 $p; do sleep 0.01; done; rm -rf " + out.string() +
                           gone + "; wait $p");
    CHECK(r.code == 1);
    CHECK_THAT(r.text, Contains(out.string()));
  }
}

TEST_CASE("nuclei: a growing file goes on where it ended, or says why it cannot be written") {
  const TempFolder folder;
  const fs::path table = folder / "table.csv";
  {
    nuclei::GrowingFile file(table, "a,b\n", 0);
    file.add("1,2\n3,4\n");
    CHECK(file.size() == 12);
  }
  {
    nuclei::GrowingFile file(table, "a,b\n", 8);  // the last row is of a picture that was not finished
    file.add("5,6\n");
  }
  CHECK(read_file(table) == "a,b\n1,2\n5,6\n");
  CHECK_THROWS_WITH(nuclei::GrowingFile(table, "a,b\n", 13),
                    Contains("table.csv: expected at least 13 bytes, it has 12; start over"));
  CHECK_THROWS_WITH(nuclei::GrowingFile(folder / "none/table.csv", "", 0),
                    Contains("none/table.csv: No such"));
  CHECK_THROWS_WITH(nuclei::GrowingFile("/dev/full", "", 0), Contains("writing /dev/full: Invalid argument"));

  nuclei::TextFile text(folder / "text", "[");
  const std::string block(1 << 19, 'x');
  for (int i = 0; i < 5; ++i) text.add(block);
  CHECK_FALSE(fs::exists(folder / "text"));
  text.finish("]");
  CHECK(read_file(folder / "text") == "[" + block + block + block + block + block + "]");
}

TEST_CASE(
    "nuclei: a run whose tables were cut short, or whose annotations are damaged, is not gone on with") {
  const Workplace w;
  const fs::path out = w.root / "out", second = w.data / "synthetic-00001/images/synthetic-00001.png";
  const std::string one = w.predict(w.a_picture().string() + " --coco"),
                    both = w.predict(w.a_picture().string() + " " + second.string() + " --coco --continue");
  REQUIRE(shell(one).code == 0);
  write_file(out / "coco/synthetic-00000.json", R"({"images": []})");
  Result r = shell(both);
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("joining " + (out / "coco/synthetic-00000.json").string()) &&
                         Contains("start over with --overwrite"));

  fs::remove_all(out);
  REQUIRE(shell(one).code == 0);
  REQUIRE(shell(both).code == 0);
  fs::remove(out / "labels/synthetic-00000.png");
  write_file(out / "nuclei.csv", "image");
  r = shell(both);
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("continuing " + (out / "nuclei.csv").string() + ": expected at least") &&
                         Contains("it has 5; start over"));
}

TEST_CASE("nuclei: predict replaces nothing that it did not write") {
  const Workplace w;
  const fs::path out = w.root / "out", picture = w.a_picture();
  const std::string name = picture.stem().string();
  for (const std::string& file :
       {std::string("nuclei.csv"), std::string("images.csv"), "labels/" + name + ".png",
        "overlays/" + name + ".png", std::string("unfinished")}) {
    fs::remove_all(out);
    fs::create_directories((out / file).parent_path());
    write_file(out / file, "mine");
    for (const char* more : {"", " --continue"}) {
      const Result r = shell(w.predict(picture.string() + more));
      CHECK(r.code == 1);
      CHECK_THAT(r.text, Contains((out / file).string()) && Contains("--overwrite"));
      CHECK(read_file(out / file) == "mine");
    }
    CHECK(shell(w.predict(picture.string() + " --overwrite")).code == 0);
    CHECK((!fs::exists(out / file) || read_file(out / file) != "mine"));
  }
  // What its own runs left is in nobody's way.
  CHECK(shell(w.predict(picture.string())).code == 1);
  CHECK(shell(w.predict(picture.string() + " --continue")).code == 0);
}

TEST_CASE("nuclei: train replaces no run and no model that it did not write") {
  const Workplace w;
  const fs::path run = w.root / "run";
  fs::create_directories(run);
  const std::string train = "$nuclei train" + w.settings + "--out " + run.string();
  for (const char* file : {"model.safetensors", "metrics.csv", "split.csv", "report.html"}) {
    write_file(run / file, "mine");
    const Result r = shell(train);
    CHECK(r.code == 1);
    CHECK_THAT(r.text, Contains((run / file).string()) && Contains("--overwrite"));
    CHECK(read_file(run / file) == "mine");
    fs::remove(run / file);
  }
  write_file(run / "model.safetensors", "mine");
  REQUIRE(shell(train + " --overwrite").code == 0);
  CHECK(read_file(run / "model.safetensors") != "mine");
  CHECK_THAT(shell(train).text, Contains("already holds a run") && Contains("--overwrite"));
  CHECK(shell(train + " --resume " + run.string() + " --overwrite").code == 2);
  CHECK(shell(train + " --overwrite").code == 0);
}

TEST_CASE("nuclei: a damaged list of finished pictures is an error that names it") {
  const Workplace w;
  const fs::path list = w.root / "out/finished.jsonl";
  const std::string again = w.predict(w.a_picture().string() + " --continue");
  REQUIRE(shell(again).code == 0);
  const std::string good = read_file(list), head = good.substr(0, good.find('\n') + 1);
  for (const std::string& line :
       {std::string("[]"), std::string("{}"), std::string(R"({"image":1,"name":"a","nuclei":1})"),
        std::string(
            R"({"image":"a","name":"../a","nuclei":1,"table_bytes":1,"images_bytes":1,"bowl_bytes":0})"),
        std::string(R"({"image":"a","name":"a","nuclei":1,"table_bytes":-1})")}) {
    write_file(list, head + line + "\n" + line + "\n");
    const Result r = shell(again);
    CHECK(r.code == 1);
    CHECK_THAT(r.text, Contains(list.string() + ": damaged: line 2") && Contains("--overwrite") &&
                           !Contains("json.exception") && !Contains("basic_string"));
  }
  const std::string deep = std::string(1 << 22, '[') + "\n";
  for (const auto& [text, code] : {std::pair(deep, 1), {head + deep, 0}}) {  // the list ends where it was cut
    write_file(list, text);
    const Result r = shell("timeout 20 " + again);
    CHECK_THAT(r.text, !Contains("json.exception"));
    CHECK(r.code == code);
  }
  fs::remove(list);
  REQUIRE(::mkfifo(list.c_str(), 0600) == 0);
  CHECK(shell("timeout 20 " + again).code == 1);
}

TEST_CASE("nuclei: pictures and models of names that are not UTF-8 are worked on once") {
  const Workplace w;
  const fs::path folder = w.root / "b\xff";
  fs::create_directory(folder);
  fs::copy_file(w.a_picture(), folder / "\xe9t\xe9.png");
  fs::copy_file(w.model(), folder / "m\xfe.safetensors");
  const std::string predict = "$nuclei predict --model " + (folder / "m\xfe.safetensors").string() +
                              " --out " + (w.root / "out").string() + " --coco " +
                              (folder / "\xe9t\xe9.png").string();
  CHECK(shell(predict).code == 0);
  CHECK(fs::exists(w.root / "out/labels/\xe9t\xe9.png"));
  const Result r = shell(predict + " --continue");
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("1 image finished before"));

  // Data, too: a training finds its images again.
  const fs::path data = w.root / "d\xff";
  fs::rename(w.data, data);
  const std::string run = (w.root / "run").string();
  REQUIRE(shell("$nuclei train --data " + data.string() + nuclei::test::small_network +
                "--epochs 1 --validation 0 --out " + run)
              .code == 0);
  CHECK(shell("$nuclei train --epochs 2 --resume " + run).code == 0);
  CHECK(shell("$nuclei evaluate --data " + data.string() + " --model " + run + "/model.safetensors --json " +
              run + "/scores.json")
            .code == 0);
  CHECK(shell("$nuclei info " + run + "/last.ckpt").code == 0);
}

TEST_CASE("nuclei: links that lead nowhere or in circles, and pipes, are passed over") {
  const Workplace w;
  const fs::path in = w.root / "in";
  fs::create_directories(in / "inside");
  fs::copy_file(w.a_picture(), in / "a.png");
  fs::create_symlink("loop.png", in / "loop.png");
  fs::create_symlink("nowhere.png", in / "broken.png");
  fs::create_directory_symlink("..", in / "inside/up");
  fs::create_directory_symlink(".", in / "self");
  REQUIRE(::mkfifo((in / "pipe.png").c_str(), 0600) == 0);
  const Result r = shell("timeout 60 " + w.predict(in.string() + " --recursive"));
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("in 1 image") && Contains("3 neither file nor folder"));
  const Result loop = shell(w.predict("--overwrite " + (in / "loop.png").string()));
  CHECK(loop.code == 1);
  CHECK_THAT(loop.text, Contains("loop.png: no such file or folder"));
  fs::create_directory_symlink("..", w.data / "up");
  CHECK(shell("timeout 60 $nuclei doctor --data " + w.data.string()).code <= 1);
}
