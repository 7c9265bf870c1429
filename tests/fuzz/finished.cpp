// finished.jsonl of an interrupted run, beside tables of any length.
#include <fstream>

#include "common/error.h"
#include "fuzz.h"
#include "output/finished.h"

namespace {

using namespace fuzz;

void write(const std::filesystem::path& path, Bytes bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void run(Bytes input) {
  constexpr std::size_t most_rows = 255;
  ByteReader in(input);
  const int gone = in.whole(0, 15);
  std::array<std::size_t, nuclei::shared_files.size()> lengths;
  for (std::size_t& length : lengths) length = static_cast<std::size_t>(in.between(0, most_rows));
  const std::filesystem::path& out = empty_folder();
  write(out / "finished.jsonl", in.rest());
  std::vector<std::uint8_t> rows(most_rows, 'x');
  rows[9] = '\n';
  for (std::size_t i = 0; i < lengths.size(); ++i)
    if (lengths[i] > 0) write(out / nuclei::shared_files[i], Bytes(rows).first(lengths[i]));
  nuclei::Finished::earlier(out);
  int asked = 0;
  const auto is_there = [&](const std::string&) { return (gone >> (asked++ % 4) & 1) == 0; };
  succeeds<nuclei::Failure>([&] {
    std::size_t before = 0;
    {
      nuclei::Finished finished(out, "s", true, is_there);
      finished.begin("name");
      finished.add({"key", "name", 3, finished.bytes()});
      finished.end();
      before = finished.entries().size();
    }
    nuclei::Finished::any(out);
    const nuclei::Finished again(out, "s", true, [](const std::string&) { return true; });
    expect(again.entries().size() == before && again.contains("key"), "finished: ", again.entries().size(),
           " entries are read, ", before, " were written");
  });
}

Inputs seeds() {
  Inputs seeds;
  for (const int count : {0, 1, 3}) {
    const std::filesystem::path& out = empty_folder();
    {
      nuclei::Finished finished(out, "s", false, [](const std::string&) { return true; });
      for (int i = 0; i < count; ++i) {
        const auto end = 20u + 30u * static_cast<unsigned>(i);
        finished.add({"/a/" + std::to_string(i), "n" + std::to_string(i), 2 * i, {end, end, 0}});
      }
    }
    for (const std::uint8_t gone : {0, 2}) {
      seeds.push_back({gone, 200, 200, 0});
      const auto text = file_bytes(out / "finished.jsonl");
      seeds.back().insert(seeds.back().end(), text.begin(), text.end());
    }
  }
  return seeds;
}

const Register target{{"finished", run, seeds}};

}  // namespace
