#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <cstring>

#include <karyon/core/io/pytorch.h>
#include <karyon/core/io/tensor_file.h>

#include "pickle_bytes.h"
#include "temp_folder.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

namespace p = karyon::test::pickle;
using Floats = std::vector<float>;

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

TensorFile loaded(const TempFolder& folder, const std::string& bytes, const std::string& prefix = "") {
  std::filesystem::remove(folder / "x.pt");  // to write over a file is slow: the disk is waited for
  write_file(folder / "x.pt", bytes);
  return load_pytorch(folder / "x.pt", prefix);
}
/// A file whose data.pkl is this pickle, and which has a storage of four f32: 0, 1, 2, 3.
TensorFile unpickled(const TempFolder& folder, const std::string& value) {
  return loaded(folder, p::torch_save(value, {bytes_of<float>({0, 1, 2, 3})}));
}
std::string four_floats() { return p::tensor("FloatStorage", "0", 0, {4}, {1}); }

template <class T>
void check_type(const TempFolder& folder, const std::string& storage, DType becomes) {
  INFO(storage);
  const Tensor x = loaded(folder, p::torch_save(p::dict({{"x", p::tensor(storage, "0", 1, {2}, {1})}}),
                                                {bytes_of<T>({T(9), T(1), T(0)})}))
                       .tensors.at("x");
  CHECK(x.dtype() == becomes);
  CHECK(x.to_vector<double>() == std::vector<double>{1, 0});
}

}  // namespace

TEST_CASE("pytorch: a state dict, with strides and offsets") {
  const TempFolder folder;
  const std::string floats = bytes_of<float>({0, 1, 2, 3, 4, 5, 6, 7});
  const TensorFile file = loaded(
      folder,
      p::torch_save(p::ordered_dict({{"conv.weight", p::tensor("FloatStorage", "0", 0, {2, 3}, {3, 1})},
                                     {"transposed", p::tensor("FloatStorage", "0", 1, {3, 2}, {1, 3})},
                                     {"steps", p::tensor("FloatStorage", "0", 1, {3}, {3 - 1})},
                                     {"expanded", p::tensor("FloatStorage", "0", 7, {2, 2}, {0, 0})},
                                     {"one", p::tensor("FloatStorage", "0", 5, {1, 1}, {1000000, -3})},
                                     {"scalar", p::tensor("FloatStorage", "0", 6, {}, {})},
                                     {"none", p::tensor("FloatStorage", "0", 0, {0, 3}, {3, 1})}}),
                    {floats}));
  CHECK(file.metadata.empty());
  REQUIRE(file.tensors.size() == 7);
  CHECK(file.tensors.at("conv.weight").shape() == Shape{2, 3});
  CHECK(file.tensors.at("conv.weight").to_vector<float>() == Floats{0, 1, 2, 3, 4, 5});
  CHECK(file.tensors.at("transposed").shape() == Shape{3, 2});
  CHECK(file.tensors.at("transposed").to_vector<float>() == Floats{1, 4, 2, 5, 3, 6});
  CHECK(file.tensors.at("steps").to_vector<float>() == Floats{1, 3, 5});
  CHECK(file.tensors.at("expanded").to_vector<float>() == Floats{7, 7, 7, 7});
  CHECK(file.tensors.at("one").to_vector<float>() == Floats{5});
  CHECK(file.tensors.at("scalar").shape() == Shape{});
  CHECK(file.tensors.at("scalar").item() == 6);
  CHECK(file.tensors.at("none").shape() == Shape{0, 3});
}

TEST_CASE("pytorch: storages of every type") {
  const TempFolder folder;
  check_type<float>(folder, "FloatStorage", f32);
  check_type<double>(folder, "DoubleStorage", f64);
  check_type<BFloat16>(folder, "BFloat16Storage", bf16);
  check_type<std::int64_t>(folder, "LongStorage", i64);
  check_type<std::int32_t>(folder, "IntStorage", i32);
  check_type<std::int16_t>(folder, "ShortStorage", i64);
  check_type<std::int8_t>(folder, "CharStorage", i64);
  check_type<std::uint8_t>(folder, "ByteStorage", u8);
  check_type<std::uint8_t>(folder, "BoolStorage", boolean);
  const TensorFile half =
      loaded(folder, p::torch_save(p::dict({{"x", p::tensor("HalfStorage", "0", 0, {2}, {1})}}),
                                   {std::string("\x00\x3c\x00\xc0", 4)}));
  CHECK(half.tensors.at("x").dtype() == f16);
  CHECK(half.tensors.at("x").to_vector<float>() == Floats{1, -2});
  const std::string untyped = p::tuple({p::text("storage"), p::global("torch.storage", "UntypedStorage"),
                                        p::text("0"), p::text("cpu"), p::whole(4)}) +
                              "Q";
  const std::string wide = p::call(p::global("torch._utils", "_rebuild_tensor_v3"),
                                   {untyped, p::whole(0), p::wholes({2}), p::wholes({1}), "\x89",
                                    p::ordered_dict({}), p::global("torch", "uint16")});
  CHECK(loaded(folder, p::torch_save(wide, {std::string("\xff\xff\x01\x00", 4)}))
            .tensors.at("")
            .to_vector<std::int64_t>() == std::vector<std::int64_t>{65535, 1});
  const TensorFile big =
      loaded(folder, p::torch_save(p::dict({{"x", p::tensor("IntStorage", "0", 0, {2}, {1})}}),
                                   {std::string("\0\0\0\1\xff\xff\xff\xfe", 8)}, "big"));
  CHECK(big.tensors.at("x").to_vector<std::int64_t>() == std::vector<std::int64_t>{1, -2});
}

TEST_CASE("pytorch: a checkpoint is flattened, and a prefix takes a part of it") {
  const TempFolder folder;
  const std::string bytes =
      p::torch_save(p::dict({{"state_dict", p::ordered_dict({{"w", four_floats()}})},
                             {"epoch", p::whole(3)},
                             {"lr", std::string("G\x3f\xe0\0\0\0\0\0\0", 9)},
                             {"best", "\x88"},
                             {"nothing", "N"},
                             {"note", p::text("a note")},
                             {"many", p::list({p::whole(-1), p::tuple({four_floats()}), "]"})},
                             {"state", "}(" + p::whole(0) + p::dict({{"step", p::whole(7)}}) + "u"}}),
                    {bytes_of<float>({0, 1, 2, 3})});
  const TensorFile all = loaded(folder, bytes);
  REQUIRE(all.tensors.size() == 2);
  CHECK(all.tensors.at("state_dict.w").to_vector<float>() == Floats{0, 1, 2, 3});
  CHECK(all.tensors.at("many.1.0").shape() == Shape{4});
  CHECK(all.metadata == std::map<std::string, std::string>{{"epoch", "3"},
                                                           {"lr", "0.5"},
                                                           {"best", "true"},
                                                           {"note", "a note"},
                                                           {"many.0", "-1"},
                                                           {"state.0.step", "7"}});
  const TensorFile part = load_pytorch(folder / "x.pt", "state_dict");
  REQUIRE(part.tensors.size() == 1);
  CHECK(part.tensors.contains("w"));
  CHECK(part.metadata.empty());
  CHECK(load_pytorch(folder / "x.pt", "state_dict.").tensors.contains("w"));
  CHECK(load_tensors(folder / "x.pt", "many").tensors.contains("1.0"));
  CHECK_THROWS_WITH(load_pytorch(folder / "x.pt", "model"),
                    Contains("x.pt: has no tensors below 'model'; its first is 'many.1.0'"));
}

TEST_CASE("pytorch: parameters, versions of modules and shared weights") {
  const TempFolder folder;
  const std::string parameter =
      p::call(p::global("torch._utils", "_rebuild_parameter"), {four_floats(), "\x88", p::ordered_dict({})});
  const std::string versions =
      p::dict({{"_metadata", p::ordered_dict({{"", p::dict({{"version", p::whole(1)}})}})}}) + "b";
  const TensorFile file = unpickled(
      folder,
      p::ordered_dict(
          {{"a", parameter}, {"b", four_floats()}, {"c", p::tensor("FloatStorage", "0", 2, {2}, {1})}}) +
          versions);
  REQUIRE(file.tensors.size() == 3);
  CHECK(file.tensors.at("a").data_ptr() == file.tensors.at("b").data_ptr());
  CHECK_FALSE(file.tensors.at("a").requires_grad());
  CHECK(file.tensors.at("c").to_vector<float>() == Floats{2, 3});
  CHECK(file.tensors.at("c").owns_storage_alone());
}

TEST_CASE("pytorch: the codes of later protocols") {
  const TempFolder folder;
  const auto brief = [](const std::string& text) { return "\x8c" + number_bytes(text.size(), 1) + text; };
  const std::string sizes = "K\x04\x85\x94", stride = "K\x01\x85\x94";
  const std::string storage = "(" + brief("storage") + "\x94" + brief("torch") + brief("FloatStorage") +
                              "\x93\x94" + brief("0") + brief("cpu") + "M\x04" + std::string(1, '\0') + "tQ";
  const std::string tensor = brief("torch._utils") + brief("_rebuild_tensor_v2") + "\x93\x94(" + storage +
                             "K" + std::string(1, '\0') + sizes + stride + "\x89}tR";
  std::string value = "\x80\x04\x95" + number_bytes(100, 8) + "}\x94(" + brief("x") + tensor + brief("y") +
                      "h" + "\x02" + brief("n") + "\x8a\x01\xff" + brief("b") + "C\x01z" + brief("long") +
                      "\x8a\x09" + std::string(9, '\x01') + "u.";
  std::vector<ZipEntry> entries = {{"a/data.pkl", value}, {"a/data/0", bytes_of<float>({0, 1, 2, 3})}};
  const TensorFile file = loaded(folder, zip_of(entries));
  REQUIRE(file.tensors.size() == 1);
  CHECK(file.tensors.at("x").to_vector<float>() == Floats{0, 1, 2, 3});
  CHECK(file.metadata == std::map<std::string, std::string>{{"y", "storage"}, {"n", "-1"}});
}

TEST_CASE("pytorch: what is not read is refused by name, and nothing is executed") {
  const TempFolder folder;
  const std::string system =
      p::call(p::global("os", "system"), {p::text("touch " + (folder / "touched").string())});
  const std::pair<std::string, const char*> values[] = {
      {system, "x.pt: holds an object of os.system, expected tensors"},
      {p::call(p::global("builtins", "eval"), {p::text("1")}), "holds an object of builtins.eval"},
      {p::dict({{"args", p::call(p::global("argparse", "Namespace"), {})}}),
       "holds an object of argparse.Namespace"},
      {p::tensor("ComplexFloatStorage", "0", 0, {1}, {1}), "holds an object of torch.ComplexFloatStorage"},
      {p::call(p::global("torch._utils", "_rebuild_sparse_tensor"), {}),
       "torch._utils._rebuild_sparse_tensor"},
      {p::call(p::global("collections", "OrderedDict"), {p::list({})}), "an OrderedDict with arguments"},
      {p::tensor("UntypedStorage", "0", 0, {1}, {1}), "holds an object of torch.UntypedStorage"},
      {p::tensor("FloatStorage", "0", 0, {1, 1, 1, 1, 1, 1, 1, 1, 1}, std::vector<std::int64_t>(9, 1)),
       "more than 8 dimensions"},
      {p::tensor("FloatStorage", "0", 0, {5}, {1}),
       "tensor '': a tensor of shape [5] does not fit in its values"},
      {p::tensor("FloatStorage", "0", 1, {4}, {1}), "does not fit in its values"},
      {p::tensor("FloatStorage", "0", -1, {1}, {1}), "does not fit in its values"},
      {p::tensor("FloatStorage", "0", 3, {2}, {-1}), "does not fit in its values"},
      {p::tensor("FloatStorage", "0", 0, {2}, {std::int64_t{1} << 62}), "does not fit in its values"},
      {p::tensor("FloatStorage", "0", INT64_MAX, {2}, {INT64_MAX}), "does not fit in its values"},
      {p::tensor("FloatStorage", "0", 0, {-1}, {1}), "x.pt: tensor ''"},
      {p::tensor("FloatStorage", "0", 0, {-1, 0}, {1, 1}), "negative size"},
      {p::tensor("FloatStorage", "0", 0, {std::int64_t{1} << 62, 4, 0}, {1, 1, 1}), "too large"},
      {p::tensor("FloatStorage", "1", 0, {1}, {1}), "has no entry 'archive/data/1'"},
      {p::tensor("FloatStorage", "../data.pkl", 0, {1}, {1}), "has no entry 'archive/data/../data.pkl'"},
      {p::dict({{"a", four_floats()}, {"a", four_floats()}}), "has two values of the name 'a'"},
      {p::dict({{"a.b", four_floats()}, {"a", p::dict({{"b", four_floats()}})}}),
       "has two values of the name 'a.b'"},
      {"}(N" + four_floats() + "u", "a dict whose keys are neither text nor whole numbers"},
      {p::call(p::global("torch._utils", "_rebuild_tensor_v2"), {}), "tensor '' is damaged"},
      {p::call(p::global("torch._utils", "_rebuild_parameter"), {"N", "N", "N"}), "tensor '' is damaged"},
      {p::call(p::global("torch", "FloatStorage"), {}), "tensor '' is damaged"},
      {"]q" + std::string(1, '\0') + "h" + std::string(1, '\0') + "a", "is nested more than 64 deep"},
      {"h\x07", "its pickle is damaged"},
      {"t", "its pickle is damaged"},
      {"R", "its pickle is damaged"},
      {"NNa", "its pickle is damaged"},
      {"X\xff\xff\xff\xff", "its pickle is damaged"},
      {"I1\n", "its pickle has a code that is not read: 73"}};
  for (const auto& [value, message] : values) {
    INFO(message);
    CHECK_THROWS_WITH(unpickled(folder, value),
                      Contains("load_pytorch: ") && Contains("x.pt: ") && Contains(message));
  }
  CHECK_FALSE(std::filesystem::exists(folder / "touched"));
}

TEST_CASE("pytorch: files of another kind say what they are") {
  const TempFolder folder;
  const std::string pickle = p::file_of(four_floats()), four(16, '\0');
  const std::pair<std::string, const char*> files[] = {
      {"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "is a file of PyTorch before 1.6"},
      {"", "not a file of torch.save"},
      {"text", "not a file of torch.save"},
      {zip_of({{"a.npy", "x"}}), "has no data.pkl"},
      {zip_of({{"data.pkl", pickle}, {"a/b/data.pkl", pickle}}), "has no data.pkl"},
      {zip_of({{"a/data.pkl", pickle}, {"b/data.pkl", pickle}}), "has two pickles"},
      {zip_of({{"a/data.pkl", pickle}, {"a/constants.pkl", pickle}}), "is a TorchScript program"},
      {zip_of({{"a/data.pkl", pickle}, {"a/byteorder", "middle"}, {"a/data/0", four}}), "unknown byte order"},
      {zip_of({{"a/data.pkl", pickle}, {"a/byteorder", std::string(99, 'x')}}), "unknown byte order"},
      {zip_of({{"a/data.pkl", ""}}), "its pickle is damaged"},
      {zip_of({{"a/data.pkl", "\x80\x01N."}}), "its pickle has protocol 1, expected 2 to 5"}};
  for (const auto& [bytes, message] : files) {
    INFO(message);
    CHECK_THROWS_WITH(loaded(folder, bytes), Contains("x.pt: ") && Contains(message));
  }
  CHECK_THROWS_WITH(load_pytorch(folder / "missing"), Contains("missing: no such file"));
  CHECK_THROWS_WITH(load_pytorch(folder.path()), Contains("is a folder, expected a file of torch.save"));
}

TEST_CASE("pytorch: a file cut or damaged anywhere is an Error or other values") {
  const TempFolder folder;
  const std::string whole =
      p::torch_save(p::ordered_dict({{"w", four_floats()}}), {bytes_of<float>({0, 1, 2, 3})});
  for (std::size_t n = 0; n < whole.size(); ++n)
    CHECK_THROWS_WITH(loaded(folder, whole.substr(0, n)), Contains("x.pt"));
  // In the pickle itself, behind the checksums.
  const std::string value = p::ordered_dict({{"w", four_floats()}, {"n", p::whole(1)}});
  int refused = 0;
  const auto try_to_load = [&](const std::string& bytes) {
    try {
      loaded(folder, bytes);
    } catch (const Error& e) {
      ++refused;
      CHECK_THAT(e.what(), Contains("x.pt"));
    }
  };
  for (std::size_t i = 0; i < value.size(); ++i)
    for (const unsigned flip : {0x01u, 0x02u, 0x10u, 0x80u, 0xffu}) {
      std::string damaged = value;
      damaged[i] = static_cast<char>(static_cast<unsigned char>(damaged[i]) ^ flip);
      try_to_load(p::torch_save(damaged, {bytes_of<float>({0, 1, 2, 3})}));
    }
  CHECK(refused > 500);
  refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x11);
    try_to_load(damaged);
  }
  CHECK(refused > 300);
}

TEST_CASE("pytorch: small files that ask for a lot take no more than their bytes") {
  const TempFolder folder;
  std::string laughs = "]q" + std::string(1, '\0');  // lists of lists of lists, each twice
  for (char i = 1; i < 60; ++i)
    laughs += "]q" + std::string(1, i) + "(h" + std::string(1, static_cast<char>(i - 1)) + "h" +
              std::string(1, static_cast<char>(i - 1)) + "e";
  std::string names = p::text("x");
  for (int i = 0; i < 3; ++i) names = "}(" + p::text(std::string(500, 'k')) + names + "u";
  const std::int64_t many = std::int64_t{1} << 40;
  const std::pair<std::string, const char*> values[] = {
      {laughs, "has more than 4194304 values"},
      {names, "has a name of more than 1024 bytes"},
      {std::string(std::size_t{3} << 20, 'N'), "its pickle has more than 2097152 values"},
      {std::string(std::size_t{3} << 20, '('), "its pickle is nested too deeply"},
      {std::string(std::size_t{3} << 20, ']'), "its pickle has more than 2097152 values"},
      {p::tensor("FloatStorage", "0", 0, {many}, {0}), "take more than 4 times the file"},
      {p::tensor("FloatStorage", "0", 0, {many, many}, {0, 0}), "take more than 4 times the file"}};
  for (const auto& [value, message] : values) {
    INFO(message);
    rusage before{}, after{};
    ::getrusage(RUSAGE_SELF, &before);
    CHECK_THROWS_WITH(unpickled(folder, value), Contains("x.pt: ") && Contains(message));
    ::getrusage(RUSAGE_SELF, &after);
#ifndef __SANITIZE_ADDRESS__                                 // which keeps what is freed
    CHECK(after.ru_maxrss - before.ru_maxrss < 400 * 1024);  // KiB
#endif
  }
}

TEST_CASE("load_tensors: the first bytes tell the kind of the file") {
  const TempFolder folder;
  save_safetensors(folder / "a",
                   {{{"m.x", ones({2})}, {"y", ones({3})}}, {{"m.note", "hello"}, {"other", "text"}}});
  CHECK(load_tensors(folder / "a").tensors.size() == 2);
  const TensorFile part = load_tensors(folder / "a", "m");
  CHECK(part.tensors.at("x").shape() == Shape{2});
  CHECK(part.metadata == std::map<std::string, std::string>{{"note", "hello"}});
  CHECK_THROWS_WITH(load_tensors(folder / "a", "z"), Contains("a: has no tensors below 'z'"));
  CHECK_THROWS_WITH(load_tensors(folder / "missing"), Contains("missing: no such file"));
  write_file(folder / "old", "\x80\x02\x8a\x0a....");
  CHECK_THROWS_WITH(load_tensors(folder / "old"), Contains("before 1.6"));
}
