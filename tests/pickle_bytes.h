#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "zip_bytes.h"

// Pickles as strings of bytes, as Python writes them by protocol 2, and files of torch.save around them. The
// codes of a value stand one after the other, so values are put together as strings are.
namespace karyon::test::pickle {

inline std::string text(const std::string& value) { return "X" + number_bytes(value.size(), 4) + value; }
inline std::string whole(std::int64_t value) {
  return "\x8a\x08" + number_bytes(static_cast<std::uint64_t>(value), 8);
}
inline std::string sequence(char code, const std::vector<std::string>& items) {
  std::string out = "(";
  for (const std::string& item : items) out += item;
  return out + code;
}
inline std::string tuple(const std::vector<std::string>& items) { return sequence('t', items); }
inline std::string list(const std::vector<std::string>& items) { return "]" + sequence('e', items); }
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string call(const std::string& callee, const std::vector<std::string>& arguments) {
  return callee + tuple(arguments) + "R";
}
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "}(";
  for (const auto& [key, value] : items) out += text(key) + value;
  return out + "u";
}
inline std::string ordered_dict(const std::vector<std::pair<std::string, std::string>>& items) {
  return call(global("collections", "OrderedDict"), {}) + dict(items).substr(1);
}
inline std::string wholes(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(whole(value));
  return tuple(items);
}
inline std::string storage(const std::string& type, const std::string& key) {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), whole(0)}) + "Q";
}
inline std::string tensor(const std::string& type, const std::string& key, std::int64_t offset,
                          const std::vector<std::int64_t>& sizes, const std::vector<std::int64_t>& strides) {
  return call(global("torch._utils", "_rebuild_tensor_v2"),
              {storage(type, key), whole(offset), wholes(sizes), wholes(strides), "\x89", ordered_dict({})});
}

inline std::string file_of(const std::string& value) { return "\x80\x02" + value + "."; }

/// A file of torch.save with this value and these storages: "0", "1" ...
inline std::string torch_save(const std::string& value, const std::vector<std::string>& storages,
                              const std::string& byte_order = "little") {
  std::vector<ZipEntry> entries = {{"archive/data.pkl", file_of(value)}, {"archive/byteorder", byte_order}};
  for (std::size_t i = 0; i < storages.size(); ++i)
    entries.push_back({"archive/data/" + std::to_string(i), storages[i]});
  entries.push_back({"archive/version", "3\n"});
  return zip_of(entries);
}

}  // namespace karyon::test::pickle
