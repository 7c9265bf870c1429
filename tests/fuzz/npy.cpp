// Arrays of NumPy's: .npy files, and .npz files with any bytes or around an entry of any bytes. What loads is
// written and read again.
#include <cstring>

#include <karyon/core/io/numpy.h>

#include "fuzz.h"
#include "zip_bytes.h"

namespace {

using fuzz::Bytes;
using karyon::Tensor;
using Arrays = std::map<std::string, Tensor>;

void expect_same(const Tensor& x, const Tensor& y) {
  const auto bytes = static_cast<std::size_t>(x.numel()) * karyon::element_size(x.dtype());
  fuzz::expect(x.dtype() == y.dtype() && x.shape() == y.shape() &&
                   (bytes == 0 || std::memcmp(x.data_ptr(), y.data_ptr(), bytes) == 0),
               "what was written is not what is read");
}

void run_npz(const std::filesystem::path& path) {
  Arrays arrays;
  if (!fuzz::succeeds<karyon::Error>([&] { arrays = karyon::load_npz(path); })) return;
  const std::filesystem::path copy = fuzz::empty_folder() / "copy.npz";
  karyon::save_npz(copy, arrays);
  const Arrays again = karyon::load_npz(copy);
  fuzz::expect(arrays.size() == again.size(), "what was written is not what is read");
  for (const auto& [name, x] : arrays) expect_same(x, again.at(name));
}

void run(Bytes input) {
  if (!input.empty() && input.front() == 'P') return run_npz(fuzz::as_file(input));
  if (!input.empty() && input.front() == 'e') {
    const std::string entry(input.begin() + 1, input.end());
    return run_npz(fuzz::as_file(fuzz::to_bytes(karyon::test::zip_of({{"a.npy", entry}}))));
  }
  Tensor x;
  if (!fuzz::succeeds<karyon::Error>([&] { x = karyon::load_npy(fuzz::as_file(input)); })) return;
  const std::filesystem::path copy = fuzz::empty_folder() / "copy.npy";
  karyon::save_npy(copy, x);
  expect_same(x, karyon::load_npy(copy));
}

fuzz::Inputs seeds() {
  fuzz::Inputs seeds;
  const std::filesystem::path path = fuzz::empty_folder() / "seed";
  for (const karyon::DType dtype :
       {karyon::f32, karyon::f64, karyon::i64, karyon::u8, karyon::boolean, karyon::f16, karyon::i32}) {
    karyon::save_npy(path, karyon::ones({2, 1}, {.dtype = dtype}));
    seeds.push_back(fuzz::file_bytes(path));
  }
  for (const char* type : {"<f2", ">f2", "|i1", ">i2", "<i4", ">u2", "<u4", ">u8"})
    for (const char* order : {"True", "False"}) {
      const std::string header =
          std::string("{'descr': '") + type + "', 'fortran_order': " + order + ", 'shape': (2, 3)}";
      seeds.push_back(fuzz::to_bytes("\x93NUMPY" + std::string("\x02\0", 2) +
                                     karyon::test::number_bytes(header.size(), 4) + header +
                                     std::string(6 * static_cast<std::size_t>(type[2] - '0'), '\1')));
    }
  karyon::save_npz(path, {{"a", karyon::ones({2})}, {"b", karyon::zeros({3, 0})}});
  seeds.push_back(fuzz::file_bytes(path));
  using karyon::test::zip_of;
  seeds.push_back(fuzz::to_bytes(zip_of(
      {{"a.npy", "stored", "\x01\x06" + std::string("\0\xf9\xff", 3) + "stored"}, {"b.npy", "", "", true}},
      "a comment")));
  seeds.push_back(fuzz::to_bytes("e" + std::string(seeds.front().begin(), seeds.front().end())));
  return seeds;
}

const fuzz::Register target{{"npy", run, seeds}};

}  // namespace
