// The program as its users meet it: exit codes, messages, files, signals.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <thread>

#include <karyon/karyon.h>

#include "common/stop.h"
#include "dataset/synthetic.h"
#include "imageio/image.h"
#include "inference/segmenter.h"
#include "program.h"
#include "tiff_pages.h"
#include "workplace.h"

namespace fs = std::filesystem;
using Catch::Contains;
using karyon::test::read_file;
using nuclei::test::Result;
using nuclei::test::shell;
using nuclei::test::signalled;
using nuclei::test::Workplace;
using nuclei::test::write_pages;

TEST_CASE("nuclei: a command line that makes no sense ends with 2") {
  const Workplace w;
  for (const char* arguments : {"",
                                "--what",
                                "train",
                                "train --data x",
                                "train --data x --out y --epochs -1",
                                "train --data x --out y --epochs 0",
                                "train --data x --out y --epochs ten",
                                "train --data x --out y --what",
                                "train --data x --out y --lr -1",
                                "train --data x --out y --crop 4",
                                "train --data x --out y --batch-size 0",
                                "train --data x --out y --threads 0",
                                "train --data x --out y --max-minutes 0",
                                "train --data x --out y --device tpu",
                                "train --data x --out y --precision f16",
                                "train --data x --out y --validate-every 0",
                                "train --data x --out y --patience 2 --validate-every 5",
                                "train --resume y --precision bf16",
                                "train --resume y --validate-every 2",
                                "predict",
                                "predict --page 0 image.png",
                                "predict --page x image.png",
                                "predict --zoom 3 image.png",
                                "predict --zoom 0.3 image.png",
                                "predict --precision f16 image.png",
                                "evaluate --data x --precision f64",
                                "predict --max-memory much image.png",
                                "predict --labels jpeg image.png",
                                "predict --no-overlays=99999999999999999999 image.png",
                                "predict --pixel-size -1 image.png",
                                "evaluate --model m",
                                "doctor",
                                "doctor --data x --what",
                                "fly"}) {
    const Result r = shell("cd " + w.root.string() + " && $nuclei " + std::string(arguments));
    CHECK(r.code == 2);
    CHECK(r.text.size() > 10);
  }
  CHECK_FALSE(fs::exists(w.root / "y"));
  CHECK_THAT(shell("$nuclei train --data x --out y --epochs -1").text,
             Contains("--epochs") && Contains("-1"));
}

TEST_CASE("nuclei: --help and --version end with 0 and show examples") {
  for (const std::string command :
       {"", "train", "predict", "evaluate", "info", "doctor", "arrange", "shrink", "demo"}) {
    const Result r = shell("$nuclei " + command + " --help");
    CHECK(r.code == 0);
    CHECK_THAT(r.text, Contains("Example") && Contains("  nuclei " + command));
  }
  CHECK(shell("$nuclei --version").code == 0);
}

TEST_CASE("nuclei: what is misspelt ends with 2 and names what is nearest") {
  const Workplace w;
  for (const auto& [arguments, answer] :
       {std::pair{"pretict image.tif", "there is no command pretict; did you mean predict?"},
        {"eval --data x", "did you mean evaluate?"},
        {"fly", "there is no command fly (nuclei --help lists all)"},
        {"data", "there is no command data; did you mean nuclei predict data?"},
        {"--verson", "there is no option --verson; did you mean --version?"},
        {"predict image.tif --overwrit", "there is no option --overwrit; did you mean --overwrite?"},
        {"predict --maxmemory=2GB image.tif", "did you mean --max-memory?"},
        {"evaluate --dat x", "did you mean --data?"},
        {"train --data x --out y --epoch 3", "did you mean --epochs?"},
        {"train --data x --out y --precision bf61",
         "expects f32, tf32 or bf16, got 'bf61'; did you mean bf16?"},
        {"predict --device cuba image.tif", "expects auto, cpu or cuda, got 'cuba'; did you mean cuda?"},
        {"predict --labels tif image.tif", "did you mean tiff?"},
        {"predict --what image.tif", "there is no option --what (nuclei predict --help lists all)"}}) {
    const Result r = shell("cd " + w.root.string() + " && $nuclei " + arguments);
    CHECK(r.code == 2);
    CHECK_THAT(r.text, Contains(answer));
  }
}

TEST_CASE("nuclei: the model is found from where the program lies, and never in the current folder") {
  const Workplace w;
  const fs::path prefix = w.root / "prefix", program = prefix / "bin/nuclei",
                 model = prefix / "share/karyon/pretrained/nuclei.safetensors";
  fs::create_directories(program.parent_path());
  fs::copy_file(NUCLEI_PROGRAM, program);
  // Strangers' models, in the current folder and where it looked once.
  for (const fs::path& folder :
       {w.root / "models/pretrained", w.root / "share/karyon/pretrained", w.root / "bin"}) {
    fs::create_directories(folder);
    fs::copy_file(w.model(), folder / "nuclei.safetensors");
  }
  const std::string here = "unset NUCLEI_MODEL; cd " + w.root.string() + " && ";
  Result r = shell(here + program.string() + " info");
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("there is no model") && Contains(model.string()));

  fs::create_directories(model.parent_path());
  fs::copy_file(w.model(), model);
  fs::create_symlink(program, w.root / "bin/nuclei");
  const std::string path = "PATH=" + program.parent_path().string() + ":$PATH ";
  for (const std::string& how :
       {program.string(), std::string("prefix/bin/nuclei"), std::string("bin/nuclei"), path + "nuclei",
        "PATH=" + (w.root / "bin").string() + ":$PATH nuclei"}) {
    r = shell(here + how + " info");
    CHECK(r.code == 0);
    CHECK_THAT(r.text, Contains(model.string() + ": "));
  }
  fs::rename(prefix, w.root / "moved");
  CHECK_THAT(shell(here + "moved/bin/nuclei info").text, Contains((w.root / "moved/share").string()));
  // The build has the model beside its programs.
  CHECK(shell(here + "$nuclei info").code == 0);
}

TEST_CASE("nuclei: the demo keeps what is in its folder") {
  const Workplace w;
  const std::size_t files = nuclei::test::files_in(w.data);
  const Result r = shell("$nuclei demo --out " + w.data.string());
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains(w.data.string() + " is not empty; choose another --out"));
  CHECK(nuclei::test::files_in(w.data) == files);
}

TEST_CASE("nuclei: data that is not there or not right ends with 1 and leaves nothing") {
  const Workplace w;
  const std::string out = (w.root / "run").string();
  Result r = shell("$nuclei train --data " + (w.root / "nowhere").string() + " --out " + out);
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("nowhere"));

  fs::create_directories(w.root / "empty");
  CHECK(shell("$nuclei train --data " + (w.root / "empty").string() + " --out " + out).code == 1);

  fs::remove_all(w.data / "synthetic-00003/masks");
  r = shell("$nuclei train" + w.settings + "--out " + out);
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("mask"));

  r = shell("$nuclei train" + w.settings + "--device cuda --out " + out);
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("cuda"));
  CHECK_FALSE(fs::exists(out));
}

TEST_CASE("nuclei: doctor ends with 1 where there is an error, and says what to do") {
  const Workplace w;
  const std::string command = "$nuclei doctor --data " + w.data.string();
  Result r = shell(command);
  CHECK(r.code == 0);
  CHECK_THAT(r.text, Contains("10 images") && Contains("0 errors"));
  CHECK(shell(command + " > /dev/full").code == 1);
  fs::remove_all(w.data / "synthetic-00003/masks");
  r = shell(command + " --json " + (w.root / "findings.json").string());
  CHECK(r.code == 1);
  CHECK_THAT(r.text, Contains("images without masks") && Contains("synthetic-00003") && Contains("1 error,"));
  CHECK_THAT(read_file(w.root / "findings.json"), Contains("\"no-masks\"") && Contains("\"remedy\""));
  CHECK(shell(command + " --json /dev/full").code == 1);
  CHECK(shell("$nuclei doctor --data " + (w.root / "nowhere").string()).code == 1);
  fs::create_directories(w.root / "empty");
  CHECK(shell("$nuclei doctor --data " + (w.root / "empty").string()).code == 1);
}

TEST_CASE("nuclei: words for users: no empty list, no digits of rounding, the remedy by its name") {
  Workplace w;
  fs::create_directories(w.root / "one");
  fs::copy(w.data / "synthetic-00000", w.root / "one/synthetic-00000", fs::copy_options::recursive);
  const Result one = shell("$nuclei evaluate --no-report --model " + w.model().string() + " --data " +
                           (w.root / "one").string());
  CHECK(one.code == 0);
  CHECK_THAT(one.text, !Contains("lowest Bowl scores"));
  CHECK_THAT(nuclei::to_text({.nucleus = 0.35f, .prominence = 0.1f, .min_area = 16}),
             Contains("\"nucleus\":0.35,") && Contains("\"prominence\":0.1}"));
  for (const float value : {0.35f, 0.1f, 1.0f / 3})
    CHECK(nuclei::thresholds_from(nuclei::to_text({.nucleus = value})).nucleus == value);
  CHECK(nuclei::thresholds_from(nuclei::to_text({.fragment = 0.1f})).fragment == 0.1f);
  // Models of older versions drop no fragments.
  CHECK(nuclei::thresholds_from(R"({"nucleus": 0.5, "prominence": 0.1, "min_area": 9})").fragment == 0);
  fs::create_directories(w.root / "pictures");
  fs::copy_file(w.a_picture(), w.root / "pictures/a.png");
  const Result doctor = shell("$nuclei doctor --data " + (w.root / "pictures").string());
  CHECK(doctor.code == 1);
  CHECK_THAT(doctor.text, Contains("nuclei arrange"));
}

TEST_CASE("nuclei: arrange says what it took of several pages") {
  Workplace w;
  fs::create_directories(w.root / "images");
  fs::create_directories(w.root / "masks");
  write_pages(w.root / "images/a.tif", 4, {{1, 11, 1, 1}, {2, 22, 2, 2}});
  nuclei::write_png8(w.root / "masks/a.png", {4, 1, 1, {0, 1, 0, 1}});
  const auto arrange = [&](const std::string& more) {
    fs::remove_all(w.root / "set");
    return shell("$nuclei arrange --images " + (w.root / "images").string() + " --masks " +
                 (w.root / "masks").string() + " --out " + (w.root / "set").string() + more);
  };
  CHECK_THAT(arrange("").text, Contains("page 1 of 2; --page chooses another") && Contains("1 image with"));
  const Result second = arrange(" --page 2");
  CHECK(second.code == 0);
  CHECK_THAT(second.text, !Contains("--page"));
  CHECK(nuclei::read_image(w.root / "set/a/images/a.png")[1] == Approx(22 / 255.0));
  CHECK(arrange(" --page 0").code == 2);
  CHECK(arrange(" --channel 2").code == 1);
  REQUIRE(::mkfifo((w.root / "images/b.png").c_str(), 0600) == 0);
  fs::create_directory(w.root / "images/more");
  CHECK_THAT(arrange("").text, Contains("images: passed over 1 folder, 1 neither file nor folder\n"));
}

TEST_CASE("nuclei: a signal ends train and predict alike, also while they read") {
  Workplace w;
  std::string inputs;
  for (int i = 0; i < 40; ++i) {
    const fs::path copy = w.root / ("copy" + std::to_string(i) + ".png");
    if (i > 0) {
      fs::copy_file(w.root / "copy0.png", copy);
    } else {
      nuclei::write_png8(copy, nuclei::to_8_bits(nuclei::make_synthetic(1, 1400, 1400).image));
    }
    inputs += copy.string() + " ";
  }
  const std::string predict = w.predict(inputs);
  const fs::path out = w.root / "out";
  const Result r = shell(signalled(predict, "INT", out / "finished.jsonl"));
  CHECK(r.code == 130);
  CHECK_THAT(r.text, Contains("--continue goes on"));
  const Result more = shell(signalled(predict + " --continue", "TERM", out / "labels/copy3.png"));
  CHECK(more.code == 143);
  CHECK_THAT(more.text, Contains("--continue goes on"));
  fs::remove_all(out);
  CHECK_THAT(shell(signalled(predict + " --overwrite", "INT", out / "finished.jsonl")).text,
             Contains("--continue in place of --overwrite goes on"));

  const fs::path many = w.root / "many";
  nuclei::write_png8(w.root / "large.png", {1000, 1000, 1, std::vector<std::uint8_t>(1000 * 1000, 200)});
  for (int i = 0; i < 300; ++i) {
    const fs::path id = many / std::to_string(i);
    for (const char* folder : {"images", "masks"}) {
      fs::create_directories(id / folder);
      fs::create_hard_link(w.root / "large.png", id / folder / "a.png");
    }
  }
  const std::string run = (w.root / "run").string();
  CHECK(shell("timeout --preserve-status -s INT 0.5 $nuclei train --data " + many.string() + " --out " + run)
            .code == 130);
  CHECK_FALSE(fs::exists(run));
}

TEST_CASE("nuclei: a signal twice at once is one request to stop, half a second later it ends the process") {
  const nuclei::StopOnSignal stop;
  CHECK(nuclei::StopOnSignal::signal() == 0);
  std::raise(SIGTERM);
  std::raise(SIGTERM);
  CHECK(nuclei::StopOnSignal::signal() == SIGTERM);
  const pid_t child = fork();
  if (child == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(600));
    std::raise(SIGTERM);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM));
}
