#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include <karyon/core/io/numpy.h>

#include "temp_folder.h"
#include "zip_bytes.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

std::string npy(const std::string& header, const std::string& data, int version = 1) {
  return "\x93NUMPY" + number_bytes(static_cast<std::uint64_t>(version), 2) +
         number_bytes(header.size(), version == 1 ? 2 : 4) + header + data;
}
std::string header(const std::string& type, const std::string& shape, bool fortran_order = false) {
  return "{'descr': '" + type + "', 'fortran_order': " + (fortran_order ? "True" : "False") +
         ", 'shape': " + shape + ", }\n";
}
template <class T>
std::string bytes_of(const std::vector<T>& values, bool big_endian = false) {
  std::string bytes;
  for (const T value : values) {
    std::string element(reinterpret_cast<const char*>(&value), sizeof value);
    if (big_endian) std::reverse(element.begin(), element.end());
    bytes += element;
  }
  return bytes;
}

Tensor loaded(const TempFolder& folder, const std::string& bytes) {
  std::filesystem::remove(folder / "x.npy");  // to write over a file is slow: the disk is waited for
  write_file(folder / "x.npy", bytes);
  return load_npy(folder / "x.npy");
}

/// 0 to 5, of type T, come from both byte orders and both orders of elements.
template <class T>
void check_type(const TempFolder& folder, const std::string& name, DType becomes) {
  INFO(name);
  const std::vector<double> expected = {0, 1, 2, 3, 4, 5};
  for (const bool big_endian : {false, true}) {
    const std::string type = (sizeof(T) == 1 ? "|" : big_endian ? ">" : "<") + name;
    const Tensor c = loaded(
        folder, npy(header(type, "(2, 3)"), bytes_of<T>({T(0), T(1), T(2), T(3), T(4), T(5)}, big_endian)));
    CHECK(c.dtype() == becomes);
    CHECK(c.shape() == Shape{2, 3});
    CHECK(c.to_vector<double>() == expected);
    const Tensor f = loaded(folder, npy(header(type, "(2, 3)", true),
                                        bytes_of<T>({T(0), T(3), T(1), T(4), T(2), T(5)}, big_endian)));
    CHECK(f.dtype() == becomes);
    CHECK(f.to_vector<double>() == expected);
  }
}

}  // namespace

TEST_CASE("npy: every type, byte order and order of elements") {
  const TempFolder folder;
  check_type<float>(folder, "f4", f32);
  check_type<double>(folder, "f8", f64);
  check_type<std::int8_t>(folder, "i1", i64);
  check_type<std::int16_t>(folder, "i2", i64);
  check_type<std::int32_t>(folder, "i4", i32);
  check_type<std::int64_t>(folder, "i8", i64);
  check_type<std::uint8_t>(folder, "u1", u8);
  check_type<std::uint16_t>(folder, "u2", i64);
  check_type<std::uint32_t>(folder, "u4", i64);
  check_type<std::uint64_t>(folder, "u8", i64);

  const Tensor half = loaded(folder, npy(header(">f2", "(3,)"), std::string("\x3c\x00\xc0\x00\x7c\x00", 6)));
  CHECK(half.dtype() == f16);
  CHECK(half.to_vector<float>() == std::vector<float>{1, -2, std::numeric_limits<float>::infinity()});
  const Tensor truth = loaded(folder, npy(header("|b1", "(3,)"), std::string("\0\1\2", 3)));
  CHECK(truth.dtype() == boolean);
  CHECK(truth.to_vector<std::uint8_t>() == std::vector<std::uint8_t>{0, 1, 1});
  CHECK(loaded(folder, npy(header("<i4", "(2,)"), bytes_of<std::int32_t>({-1, INT32_MIN})))
            .to_vector<std::int64_t>() == std::vector<std::int64_t>{-1, INT32_MIN});
}

TEST_CASE("npy: a uint64 above 2^63 - 1 is refused") {
  const TempFolder folder;
  const std::uint64_t most = std::uint64_t{1} << 63;
  CHECK(loaded(folder, npy(header("<u8", "()"), bytes_of<std::uint64_t>({most - 1}))).item<std::int64_t>() ==
        std::numeric_limits<std::int64_t>::max());
  CHECK_THROWS_WITH(loaded(folder, npy(header("<u8", "()"), bytes_of<std::uint64_t>({most}))),
                    Contains("x.npy: a value of type U64 does not fit in i64"));
}

TEST_CASE("npy: versions and headers as NumPy has written them") {
  const TempFolder folder;
  const std::string data = bytes_of<float>({1, 2});
  for (const int version : {1, 2, 3})
    CHECK(loaded(folder, npy(header("<f4", "(2,)"), data, version)).to_vector<float>() ==
          std::vector<float>{1, 2});
  for (const char* text : {"{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"<f4\"}",
                           "{ 'descr' : 'f4' , "
                           "'fortran_order' : True , 'shape' : ( 2L , ) , }   \n",
                           "{'descr': '=f4', 'fortran_order': False, 'shape': (2,1,1)}"})
    CHECK(loaded(folder, npy(text, data)).to_vector<float>() == std::vector<float>{1, 2});
  CHECK(loaded(folder, npy(header("<f4", "(0, 5)"), "")).shape() == Shape{0, 5});
  CHECK(loaded(folder, npy(header("<f8", "()"), bytes_of<double>({3}))).shape() == Shape{});
}

TEST_CASE("npy: what is not read is refused by name") {
  const TempFolder folder;
  const std::pair<std::string, const char*> cases[] = {
      {npy(header("<c8", "(1,)"), std::string(8, '\0')), "has the dtype '<c8', expected whole numbers"},
      {npy(header("|O", "(1,)"), std::string(8, '\0')), "has the dtype '|O'"},
      {npy(header("<U3", "(1,)"), std::string(12, '\0')), "has the dtype '<U3'"},
      {npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "1234"), "records"},
      {npy(header("<f4", "(1,)"), "1234", 4), "has version 4 of the format"},
      {npy(header("<f4", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), "1234"), "more than 8 dimensions"},
      {npy(header("<f4", "(1,)"), "12345678"), "4 bytes more than its array"},
      {npy(header("<f4", "(2,)"), "1234"), "truncated"},
      {npy(header("<f4", "(4611686018427387904, 4)"), "1234"), "truncated, or damaged"},
      {npy(header("<f4", "(4611686018427387904, 4, 0)"), ""), "too large"},
      {npy(header("<f4", "(-1,)"), ""), "its header is damaged"},
      {npy(header("<f4", "(99999999999999999999,)"), ""), "its header is damaged"},
      {npy(header("<f4", "(1.5,)"), "1234"), "its header is damaged"},
      {npy("{'descr': '<f4', 'shape': (1,)}", "1234"),
       "expects a header with descr, fortran_order and shape"},
      {npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "1234"), "damaged"},
      {npy("{'descr': '<f4', 'fortran_order': None, 'shape': (1,)}", "1234"), "damaged"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", "1234"), "damaged"},
      {npy("", ""), "damaged"},
      {"text", "not an .npy file"},
      {"", "not an .npy file"}};
  for (const auto& [bytes, message] : cases) {
    INFO(message);
    CHECK_THROWS_WITH(loaded(folder, bytes),
                      Contains("load_npy: ") && Contains("x.npy: ") && Contains(message));
  }
  CHECK_THROWS_WITH(load_npy(folder / "missing"), Contains("missing: no such file"));
  CHECK_THROWS_WITH(load_npy(folder.path()), Contains("is a folder, expected an .npy file"));
  CHECK_THROWS_WITH(load_npy("/dev/zero"), Contains("is a pipe or a device"));
}

TEST_CASE("npy: what is written comes back, in NumPy's own bytes") {
  const TempFolder folder;
  for (const DType dtype : {f32, f64, i64, u8, boolean, f16, i32})
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{2, 3}, Shape{0, 4}}) {
      INFO(dtype << shape);
      Tensor x = ones(shape, {.dtype = f64});
      for (std::int64_t i = 0; i < x.numel(); ++i) x.data<double>()[i] = static_cast<double>(i % 3);
      x = x.to(dtype);
      save_npy(folder / "x.npy", x);
      const Tensor y = load_npy(folder / "x.npy");
      CHECK(y.dtype() == dtype);
      CHECK(y.shape() == shape);
      CHECK(y.to_vector<double>() == x.to_vector<double>());
    }
  save_npy(folder / "x.npy", tensor({1.5, 2.0}, {.dtype = bf16}));
  CHECK(load_npy(folder / "x.npy").dtype() == f32);
  save_npy(folder / "x.npy", tensor({1, 2}, {2, 1}));
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
  text.resize(117, ' ');
  CHECK(read_file(folder / "x.npy") == npy(text + '\n', bytes_of<float>({1, 2})));
  CHECK_THROWS_WITH(save_npy(folder / "x.npy", Tensor()), Contains("x.npy: the tensor is undefined"));
  CHECK_THROWS_WITH(save_npy(folder / "no" / "x.npy", ones({1})), Contains("no/x.npy"));
  CHECK_THROWS_WITH(save_npy("/dev/full", ones({1 << 18})), Contains("No space left"));
}

TEST_CASE("npy: a file cut or damaged anywhere is an Error or other values") {
  const TempFolder folder;
  const std::string bytes = npy(header("<f4", "(2, 1)"), bytes_of<float>({1, 2}));
  for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_THROWS_AS(loaded(folder, bytes.substr(0, n)), Error);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (const unsigned flip : {0x01u, 0x02u, 0x10u, 0x80u, 0xffu}) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(static_cast<unsigned char>(damaged[i]) ^ flip);
      try {
        loaded(folder, damaged);
      } catch (const Error& e) {
        CHECK_THAT(e.what(), Contains("x.npy"));
      }
    }
}

TEST_CASE("npz: arrays by name, stored or deflated, also with sizes of 64 bits") {
  const TempFolder folder;
  const std::string a = npy(header("<f4", "(2,)"), bytes_of<float>({1, 2}));
  const std::string stored_block = "\x01" + number_bytes(a.size(), 2) + number_bytes(~a.size(), 2) + a;
  write_file(folder / "x.npz",
             zip_of({{"a.npy", a}, {"b.npy", a, stored_block}, {"c/d.npy", a, "", true}}, "comment"));
  const auto tensors = load_npz(folder / "x.npz");
  REQUIRE(tensors.size() == 3);
  for (const char* name : {"a", "b", "c/d"})
    CHECK(tensors.at(name).to_vector<float>() == std::vector<float>{1, 2});
  write_file(folder / "x.npz", zip_of({}));
  CHECK(load_npz(folder / "x.npz").empty());

  const std::map<std::string, Tensor> written = {{"w", tensor({1, 2, 3}, {3, 1})},
                                                 {"n", arange(4)},
                                                 {"none", zeros({0})},
                                                 {"h", ones({2}, {.dtype = bf16})}};
  save_npz(folder / "y.npz", written);
  const auto read = load_npz(folder / "y.npz");
  REQUIRE(read.size() == written.size());
  for (const auto& [name, x] : written) {
    CHECK(read.at(name).shape() == x.shape());
    CHECK(read.at(name).to_vector<double>() == x.to_vector<double>());
  }
  CHECK(read.at("n").dtype() == i64);
  CHECK_THROWS_WITH(save_npz(folder / "y.npz", {{"u", Tensor()}}),
                    Contains("y.npz: tensor 'u' is undefined"));
  CHECK(load_npz(folder / "y.npz").size() == written.size());
}

TEST_CASE("npz: what is damaged or not read is refused") {
  const TempFolder folder;
  const std::string a = npy(header("<f4", "(2,)"), bytes_of<float>({1, 2}));
  const std::string whole = zip_of({{"a.npy", a}});
  const auto changed = [&](const std::string& signature, std::size_t at, const std::string& bytes) {
    std::string file = whole;
    return file.replace(file.find(signature) + at, bytes.size(), bytes);
  };
  const std::string entry = "PK\x01\x02";
  const std::pair<std::string, const char*> cases[] = {
      {zip_of({{"readme.txt", "hello"}}), "holds 'readme.txt', expected arrays (.npy) alone"},
      {zip_of({{"a.npy", "text"}}), "x.npz: entry 'a.npy': not an .npy file"},
      {zip_of({{"a.npy", a}, {"a.npy", a}}), "entry 'a.npy' is there twice"},
      {changed(entry, 8, number_bytes(1, 2)), "entry 'a.npy' is encrypted"},
      {changed(entry, 10, number_bytes(14, 2)),
       "is compressed by method 14, expected 0 (stored) or 8 (deflated)"},
      {changed(entry, 10, number_bytes(8, 2)), "compressed data"},
      {changed(entry, 16, number_bytes(0, 4)), "its checksum is wrong"},
      {changed(entry, 20, number_bytes(1u << 30, 4)), "lies behind the file's end"},
      {changed(entry, 24, number_bytes(1u << 30, 4)), "has 1073741824 bytes of"},
      {changed(entry, 42, number_bytes(1u << 30, 4)), "lies behind the file's end"},
      {changed(entry, 42, number_bytes(1, 4)), "damaged"},
      {changed(entry, 28, number_bytes(60000, 2)), "its list of entries is damaged"},
      {changed("PK\x05\x06", 16, number_bytes(1u << 30, 4)), "its list of entries lies behind its end"},
      {changed("PK\x05\x06", 10, number_bytes(2, 2)), "its list of entries is damaged"},
      {whole.substr(0, whole.size() - 1), "has no list of its entries"},
      {"PK", "not a zip file"}};
  for (const auto& [bytes, message] : cases) {
    INFO(message);
    write_file(folder / "x.npz", bytes);
    CHECK_THROWS_WITH(load_npz(folder / "x.npz"),
                      Contains("load_npz: ") && Contains("x.npz: ") && Contains(message));
  }
  for (std::size_t n = 0; n < whole.size(); ++n) {
    write_file(folder / "x.npz", whole.substr(0, n));
    CHECK_THROWS_AS(load_npz(folder / "x.npz"), Error);
  }
  int refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x11);
    write_file(folder / "x.npz", damaged);
    try {
      load_npz(folder / "x.npz");
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > 100);
}

TEST_CASE("npz: a small file that claims a lot of memory is refused before it is taken") {
  const TempFolder folder;
  ZipEntry entry{"a.npy", "", std::string("\x03\x00", 2)};
  std::string file = zip_of({entry});
  const std::size_t at = file.find("PK\x01\x02");
  file.replace(at + 24, 4, number_bytes(4'000'000'000u, 4));
  write_file(folder / "x.npz", file);
  CHECK_THROWS_WITH(load_npz(folder / "x.npz"), Contains("entry 'a.npy' has 4000000000 bytes of 2: damaged"));
}
