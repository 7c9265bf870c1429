#include "common/nearest.h"

#include <catch2/catch.hpp>

using nuclei::did_you_mean;
using nuclei::nearest;

TEST_CASE("nuclei: the nearest word is the one that was meant, or none", "[nuclei][nearest]") {
  const std::vector<std::string> commands{"train", "evaluate", "arrange", "predict", "info", "demo"};
  CHECK(nearest("pretict", commands) == "predict");
  CHECK(nearest("trian", commands) == "train");
  CHECK(nearest("predcit", commands) == "predict");
  CHECK(nearest("eval", commands) == "evaluate");
  CHECK(nearest("infos", commands) == "info");
  CHECK(nearest("fly", commands).empty());
  CHECK(nearest("", commands).empty());
  CHECK(nearest("image.tif", commands).empty());
  CHECK(nearest("predict", {}).empty());
  CHECK(nearest("--maxmemory", {"--model", "--max-memory"}) == "--max-memory");
  CHECK(nearest("bf61", {"f32", "bf16"}) == "bf16");
  CHECK(did_you_mean("bf61", {"f32", "bf16"}) == "; did you mean bf16?");
  CHECK(did_you_mean("double", {"f32", "bf16"}).empty());
}
