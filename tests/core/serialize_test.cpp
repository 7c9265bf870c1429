#include <sys/resource.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <csignal>
#include <cstring>

#include <karyon/core/atomic_file.h>
#include <karyon/core/random.h>
#include <karyon/core/serialize.h>

#include "temp_folder.h"

using namespace karyon;
using namespace karyon::test;

namespace {

TensorFile sample() {
  Generator generator(1);
  TensorFile file;
  file.metadata = {{"author", "Ada"}, {"umlaut", "Zelle \xc3\xa4"}};
  for (const DType dtype : {f32, f64, bf16, i64, u8, boolean})
    file.tensors[name(dtype)] = rand({3, 5}, generator).mul_(3).to(dtype);
  file.tensors["scalar"] = tensor({42}, Shape{}, {.dtype = i64});
  file.tensors["empty"] = zeros({0, 4});
  return file;
}

std::string bytes_of(const Tensor& x) {
  return {static_cast<const char*>(x.data_ptr()),
          static_cast<std::size_t>(x.numel()) * element_size(x.dtype())};
}

/// A file with this header and `data` zero bytes.
std::string with_header(const std::string& header, std::size_t data = 0) {
  std::string bytes(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data, '\0');
}

}  // namespace

TEST_CASE("safetensors: every type, shape and text comes back bit for bit") {
  const TempFolder folder;
  const TensorFile before = sample();
  save_safetensors(folder / "a.safetensors", before);
  const TensorFile after = load_safetensors(folder / "a.safetensors");
  CHECK(after.metadata == before.metadata);
  REQUIRE(after.tensors.size() == before.tensors.size());
  for (const auto& [key, x] : before.tensors) {
    INFO(key);
    const Tensor& y = after.tensors.at(key);
    CHECK(y.dtype() == x.dtype());
    CHECK(y.shape() == x.shape());
    CHECK(bytes_of(y) == bytes_of(x));
  }
  CHECK(folder.entry_count() == 1);
  save_safetensors(folder / "none.safetensors", {});
  CHECK(load_safetensors(folder / "none.safetensors").tensors.empty());
}

TEST_CASE("safetensors: a file cut anywhere is an Error") {
  const TempFolder folder;
  TensorFile small;
  small.metadata = {{"k", "v"}};
  small.tensors = {{"a", tensor({1, 2, 3})}, {"b", arange(2)}};
  save_safetensors(folder / "whole", small);
  const std::string bytes = read_file(folder / "whole");
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    INFO("cut to " << n << " of " << bytes.size());
    write_file(folder / "cut", bytes.substr(0, n));
    CHECK_THROWS_WITH(load_safetensors(folder / "cut"), Catch::Contains("cut"));
  }
}

TEST_CASE("safetensors: a damaged byte is an Error or another value, never a crash") {
  const TempFolder folder;
  TensorFile small;
  small.tensors = {{"a", tensor({1, 2})}, {"b", ones({2}).to(boolean)}};
  save_safetensors(folder / "whole", small);
  const std::string bytes = read_file(folder / "whole");
  int refused = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (const unsigned flip : {0x01u, 0x02u, 0x10u, 0x80u, 0xffu}) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(static_cast<unsigned char>(damaged[i]) ^ flip);
      write_file(folder / "damaged", damaged);
      try {
        load_safetensors(folder / "damaged");
      } catch (const Error&) {
        ++refused;
      }
    }
  CHECK(refused > 100);
}

TEST_CASE("safetensors: headers that lie are refused") {
  const TempFolder folder;
  const std::pair<const char*, std::string> lies[] = {
      {"no file at all", ""},
      {"a length beyond the file", std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8)},
      {"not JSON", with_header("hello")},
      {"not an object", with_header("[1, 2]")},
      {"an entry that is no object", with_header(R"({"a": 3})")},
      {"an entry that is true", with_header(R"({"a": true})")},
      {"an entry that is null", with_header(R"({"a": null})")},
      {"no dtype", with_header(R"({"a": {"shape": [1], "data_offsets": [0, 4]}})", 4)},
      {"an unknown dtype", with_header(R"({"a": {"dtype": "F8", "shape": [1], "data_offsets": [0, 4]}})", 4)},
      {"a negative size",
       with_header(R"({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}})", 4)},
      {"an overflowing shape",
       with_header(R"({"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}})")},
      {"too many dimensions",
       with_header(R"({"a": {"dtype": "F32", "shape": [1,1,1,1,1,1,1,1,1], "data_offsets": [0, 4]}})", 4)},
      {"offsets beyond the data",
       with_header(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})", 4)},
      {"offsets backwards",
       with_header(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [8, 4]}})", 8)},
      {"negative offsets",
       with_header(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}})", 8)},
      {"offsets that disagree with the shape",
       with_header(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}})", 8)},
      {"no shape", with_header(R"({"a": {"dtype": "F32", "data_offsets": [0, 4]}})", 4)},
      {"a shape that is no array",
       with_header(R"({"a": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}})", 4)},
      {"a size that is no whole number",
       with_header(R"({"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}})", 4)},
      {"three offsets",
       with_header(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}})", 4)},
      {"a tensor twice", with_header(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},)"
                                     R"( "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})",
                                     4)},
      {"two types", with_header(R"({"a": {"dtype": "F16", "dtype": "F32", "shape": [1],)"
                                R"( "data_offsets": [0, 4]}})",
                                4)},
      {"two shapes",
       with_header(R"({"a": {"dtype": "F32", "shape": [1], "shape": [1], "data_offsets": [0, 4]}})", 4)},
      {"two places", with_header(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4],)"
                                 R"( "data_offsets": [0, 4]}})",
                                 4)},
      {"arrays in arrays",
       with_header(R"({"a": {"dtype": "F32", "shape": [[1]], "data_offsets": [0, 4]}})", 4)},
      {"objects in a tensor", with_header(R"({"a": {"b": {}}})")},
      {"two headers", with_header(R"({} {})")},
      {"metadata that is no text", with_header(R"({"__metadata__": {"a": 1}})")},
  };
  for (const auto& [what, bytes] : lies) {
    INFO(what);
    write_file(folder / "lie", bytes);
    CHECK_THROWS_AS(load_safetensors(folder / "lie"), Error);
  }
}

TEST_CASE("safetensors: what a tensor says of itself and is not known is passed over") {
  const TempFolder folder;
  write_file(folder / "more", with_header(R"({"a": {"dtype": "U8", "new": true, "shape": [4], "old": null,)"
                                          R"( "share": 0.5, "data_offsets": [0, 4], "note": "x", "n": -1}})",
                                          4));
  CHECK(load_safetensors(folder / "more").tensors.at("a").shape() == Shape{4});
}

TEST_CASE("safetensors: a header of brackets takes no more memory than its text") {
  const TempFolder folder;
  const std::size_t count = std::size_t{4} << 20;
  std::string flat = R"({"a":[)", texts = R"({"__metadata__":{)";
  for (std::size_t i = 0; i < count / 3; ++i) flat += "[],";
  for (std::size_t i = 0; i < count / 12; ++i) texts += '"' + std::to_string(i) + R"(":"",)";
  const std::string deep(count, '['), entries = R"({"a":)" + std::string(count, '{');
  for (const std::string& text : {deep, flat, entries, R"({"a":{"shape":)" + deep, texts + R"("z":""}})"}) {
    write_file(folder / "brackets", with_header(text));
    rusage before{}, after{};
    ::getrusage(RUSAGE_SELF, &before);
    CHECK_THROWS_WITH(load_safetensors(folder / "brackets"),
                      Catch::Contains("brackets: ") && !Catch::Contains("json.exception"));
    ::getrusage(RUSAGE_SELF, &after);
#ifndef __SANITIZE_ADDRESS__                                // which keeps what is freed
    CHECK(after.ru_maxrss - before.ru_maxrss < 64 * 1024);  // KiB
#endif
  }
}

TEST_CASE("safetensors: what cannot be read says why") {
  const TempFolder folder;
  CHECK_THROWS_WITH(load_safetensors(folder / "missing"), Catch::Contains("missing: no such file"));
  std::filesystem::create_directory(folder / "folder");
  CHECK_THROWS_WITH(load_safetensors(folder / "folder"), Catch::Contains("is a folder"));
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(load_safetensors(folder / "pipe"), Catch::Contains("pipe: is a pipe or a device"));
  CHECK_THROWS_WITH(load_safetensors("/dev/zero"), Catch::Contains("is a pipe or a device"));
  write_file(folder / "text", with_header("hello"));
  CHECK_THROWS_WITH(load_safetensors(folder / "text"),
                    Catch::Contains("its header is no JSON at byte") && !Catch::Contains("json.exception"));
}

TEST_CASE("safetensors: a failed save leaves the old file and nothing else") {
  const TempFolder folder;
  TensorFile big;
  big.tensors = {{"a", zeros({1 << 18})}};
  save_safetensors(folder / "a", sample());
  const std::string old = read_file(folder / "a");

  SECTION("the disk is full") {
    CHECK_THROWS_WITH(save_safetensors("/dev/full", big), Catch::Contains("No space left"));
    // Files may not grow beyond 64 KiB: what a full disk does, in the middle of a write.
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const rlimit small{.rlim_cur = 65536, .rlim_max = before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
    CHECK_THROWS_WITH(save_safetensors(folder / "a", big), Catch::Contains("File too large"));
    ::setrlimit(RLIMIT_FSIZE, &before);
  }
  SECTION("a tensor is undefined") {
    big.tensors["b"] = Tensor();
    CHECK_THROWS_WITH(save_safetensors(folder / "a", big), Catch::Contains("'b' is undefined"));
  }
  SECTION("a name is not text") {
    big.tensors["\xff"] = zeros({1});
    CHECK_THROWS_WITH(save_safetensors(folder / "a", big), Catch::Contains("UTF-8"));
  }
  SECTION("the writer gives up half-way") {
    AtomicFile file(folder / "a");
    file.write("half", 4);
  }
  CHECK(read_file(folder / "a") == old);
  CHECK(folder.entry_count() == 1);
}

TEST_CASE("safetensors: a place that cannot be written is an Error that names it") {
  const TempFolder folder;
  CHECK_THROWS_WITH(save_safetensors(folder / "no" / "a", sample()), Catch::Contains("no/a"));
  write_file(folder / "file", "");
  CHECK_THROWS_AS(save_safetensors(folder / "file" / "a", sample()), Error);
  std::filesystem::create_directories(folder / "folder" / "inside");
  CHECK_THROWS_WITH(save_safetensors(folder / "folder", sample()), Catch::Contains("folder"));
  CHECK(folder.entry_count() == 2);
  if (::geteuid() != 0) {  // root may write anywhere
    std::filesystem::permissions(folder / "folder", std::filesystem::perms::owner_read);
    CHECK_THROWS_AS(save_safetensors(folder / "folder" / "a", sample()), Error);
    std::filesystem::permissions(folder / "folder", std::filesystem::perms::owner_all);
  }
}

TEST_CASE("safetensors: empty tensors come back, overlapping ones are refused") {
  const TempFolder folder;
  save_safetensors(folder / "a", {{{"x", zeros({3, 0})}, {"y", zeros({0, 3})}}, {}});
  CHECK(load_safetensors(folder / "a").tensors.at("x").shape() == Shape{3, 0});
  std::string header =
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  write_file(folder / "b", bytes + header + std::string(8, '\0'));
  CHECK_THROWS_WITH(load_safetensors(folder / "b"), Catch::Contains("overlaps"));
}

TEST_CASE("safetensors: f16 and i32 stay, other types of other programs come as i64") {
  const TempFolder folder;
  const std::string header =
      with_header(R"({"h": {"dtype": "F16", "shape": [7], "data_offsets": [0, 14]},)"
                  R"( "i": {"dtype": "I32", "shape": [2], "data_offsets": [14, 22]},)"
                  R"( "s": {"dtype": "I8", "shape": [2], "data_offsets": [22, 24]},)"
                  R"( "u": {"dtype": "U16", "shape": [1], "data_offsets": [24, 26]}})");
  // 1, -2, the least, the largest, 0.333.., infinity, NaN
  const std::uint16_t halves[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x3555, 0x7c00, 0x7e00};
  const std::int32_t ints[] = {-5, 2000000000};
  std::string bytes = header;
  const auto append = [&](const void* data, std::size_t n) {
    bytes.append(static_cast<const char*>(data), n);
  };
  append(halves, sizeof halves);
  append(ints, sizeof ints);
  bytes += "\xff\x7f\xff\xff";
  write_file(folder / "other", bytes);
  const TensorFile file = load_safetensors(folder / "other");
  const auto h = file.tensors.at("h").to_vector<float>();
  CHECK(file.tensors.at("h").dtype() == f16);
  CHECK(std::vector<float>(h.begin(), h.begin() + 4) ==
        std::vector<float>{1, -2, std::ldexp(1.0f, -24), 65504});
  CHECK(h[4] == 0.333251953125f);
  CHECK((std::isinf(h[5]) && std::isnan(h[6])));
  using Ints = std::vector<std::int64_t>;
  CHECK(file.tensors.at("i").dtype() == i32);
  CHECK(file.tensors.at("i").to_vector<std::int64_t>() == Ints{-5, 2000000000});
  CHECK(file.tensors.at("s").to_vector<std::int64_t>() == Ints{-1, 127});
  CHECK(file.tensors.at("u").to_vector<std::int64_t>() == Ints{65535});
  save_safetensors(folder / "again", file);
  const TensorFile again = load_safetensors(folder / "again");
  for (const char* name : {"h", "i"}) {
    const Tensor before = file.tensors.at(name), after = again.tensors.at(name);
    CHECK(after.dtype() == before.dtype());
    CHECK(std::memcmp(after.data_ptr(), before.data_ptr(),
                      static_cast<std::size_t>(before.numel()) * element_size(before.dtype())) == 0);
  }

  write_file(folder / "cut", bytes.substr(0, bytes.size() - 1));
  CHECK_THROWS_WITH(load_safetensors(folder / "cut"), Catch::Contains("truncated"));
}
