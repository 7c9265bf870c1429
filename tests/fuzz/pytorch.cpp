// Files of torch.save: given ones, and around a pickle of any bytes. What loads takes no more memory than is
// allowed, and is written and read again.
#include <karyon/core/io/pytorch.h>

#include "fuzz.h"
#include "pickle_bytes.h"

namespace {

using fuzz::Bytes;
namespace pickle = karyon::test::pickle;

/// The input as a file. Behind a first byte 'p' stands a pickle: a zip file with it and storages is put
/// around, so that checksums are right.
std::vector<std::uint8_t> as_torch_save(Bytes input) {
  if (input.empty() || input.front() != 'p') return {input.begin(), input.end()};
  std::vector<karyon::test::ZipEntry> entries = {{"a/data.pkl", std::string(input.begin() + 1, input.end())}};
  for (const char* key : {"0", "1"}) entries.push_back({std::string("a/data/") + key, std::string(64, '\1')});
  return fuzz::to_bytes(karyon::test::zip_of(entries));
}

void run(Bytes input) {
  const std::vector<std::uint8_t> bytes = as_torch_save(input);
  karyon::TensorFile file;
  if (!fuzz::succeeds<karyon::Error>([&] { file = karyon::load_pytorch(fuzz::as_file(bytes)); })) return;
  double taken = 0;
  for (const auto& [name, x] : file.tensors)
    taken += static_cast<double>(x.numel()) * static_cast<double>(karyon::element_size(x.dtype()));
  // Eight times as much, as bytes become numbers of 64 bits. Tensors of shared memory count more than once
  // here.
  const double most = 8 * (4 * static_cast<double>(bytes.size()) + (1 << 24));
  fuzz::expect(taken <= most * static_cast<double>(file.tensors.size()), "tensors of ", taken, " bytes");
  const std::filesystem::path copy = fuzz::empty_folder() / "copy.safetensors";
  if (!fuzz::succeeds<karyon::Error>([&] { karyon::save_safetensors(copy, file); })) return;
  fuzz::expect(karyon::load_safetensors(copy).tensors.size() == file.tensors.size(), "tensors are lost");
}

fuzz::Inputs seeds() {
  fuzz::Inputs seeds;
  const auto add = [&](const std::string& value) {
    seeds.push_back(fuzz::to_bytes("p" + pickle::file_of(value)));
  };
  for (const char* type :
       {"Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool"})
    add(pickle::ordered_dict({{"x", pickle::tensor(std::string(type) + "Storage", "0", 1, {2, 3}, {1, 2})}}));
  const std::string x = pickle::tensor("FloatStorage", "1", 0, {4}, {1});
  add(pickle::call(pickle::global("torch._utils", "_rebuild_parameter"), {x, "\x88", "N"}));
  add(pickle::dict({{"state_dict", pickle::ordered_dict({{"w", x}, {"v", x}})},
                    {"epoch", pickle::whole(3)},
                    {"list", pickle::list({pickle::text("a"), pickle::tuple({x, "N", "\x89"})})}}));
  add("]q" + std::string(1, '\0') + "h" + std::string(1, '\0') + "a");
  seeds.push_back(fuzz::to_bytes(
      pickle::torch_save(pickle::dict({{"x", x}}), {std::string(16, '\0'), std::string(16, '\1')})));
  seeds.push_back(fuzz::to_bytes("\x80\x02\x8a\x0al\xfc"));
  return seeds;
}

const fuzz::Register target{{"pytorch", run, seeds}};

}  // namespace
