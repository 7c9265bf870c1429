// safetensors files: given ones, and ones whose header has the right length. What loads is written and read
// again.
#include <cstring>

#include <karyon/core/serialize.h>

#include "fuzz.h"
#include "safetensors.h"

namespace {

using fuzz::Bytes;

bool same(const karyon::TensorFile& a, const karyon::TensorFile& b) {
  if (a.metadata != b.metadata || a.tensors.size() != b.tensors.size()) return false;
  for (const auto& [name, x] : a.tensors) {
    const auto found = b.tensors.find(name);
    if (found == b.tensors.end() || found->second.shape() != x.shape() || found->second.dtype() != x.dtype())
      return false;
    const auto bytes = static_cast<std::size_t>(x.numel()) * karyon::element_size(x.dtype());
    if (bytes > 0 && std::memcmp(x.data_ptr(), found->second.data_ptr(), bytes) != 0) return false;
  }
  return true;
}

void run(Bytes input) {
  karyon::TensorFile file;
  if (!fuzz::succeeds<karyon::Error>([&] { file = karyon::load_safetensors(fuzz::as_safetensors(input)); }))
    return;
  if (input.size() % 8 != 0) return;
  const std::filesystem::path copy = fuzz::empty_folder() / "copy.safetensors";
  if (!fuzz::succeeds<karyon::Error>([&] { karyon::save_safetensors(copy, file); })) return;
  fuzz::expect(same(file, karyon::load_safetensors(copy)), "what was written is not what is read");
}

fuzz::Inputs seeds() {
  fuzz::Inputs seeds;
  karyon::TensorFile file{{}, {{"format", "pt"}, {"note", "text"}}};
  for (const karyon::DType dtype :
       {karyon::f32, karyon::f64, karyon::bf16, karyon::i64, karyon::u8, karyon::boolean})
    file.tensors.emplace("t" + std::to_string(file.tensors.size()), karyon::ones({2, 1}, {.dtype = dtype}));
  file.tensors.emplace("none", karyon::zeros({3, 0}));
  const std::filesystem::path path = fuzz::empty_folder() / "seed.safetensors";
  karyon::save_safetensors(path, file);
  seeds.push_back(fuzz::file_bytes(path));
  const auto with_header = [&](const std::string& text, std::size_t bytes) {
    seeds.push_back(fuzz::to_bytes("h" + text));
    seeds.back().resize(seeds.back().size() + 1 + bytes);
  };
  with_header("{}", 0);
  for (const char* type :
       {"F16", "F32", "F64", "BF16", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "BOOL"})
    with_header(std::string(R"({"w":{"dtype":")") + type + R"(","shape":[2,3],"data_offsets":[0,24]},)" +
                    R"("s":{"dtype":"U8","shape":[],"data_offsets":[24,25]},"__metadata__":{"a":"b"}})",
                25);
  with_header(R"({"w":{"dtype":"F32","shape":[4611686018427387904,4,0],"data_offsets":[0,0]}})", 0);
  return seeds;
}

const fuzz::Register target{{"safetensors", run, seeds}};

}  // namespace
