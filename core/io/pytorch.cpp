#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include <karyon/core/format/input_file.h>
#include <karyon/core/format/pickle.h>
#include <karyon/core/format/prefix.h>
#include <karyon/core/format/stored_values.h>
#include <karyon/core/format/zip.h>
#include <karyon/core/io/pytorch.h>

namespace karyon {
namespace {

using Value = PickledValue;
using Kind = PickledValue::Kind;

constexpr std::uint64_t most_pickle_bytes = std::uint64_t{32} << 20, most_name_bytes = 1024,
                        most_text_bytes = std::uint64_t{64} << 20, most_expansion = 4,
                        least_room = std::uint64_t{16} << 20;
constexpr int most_depth = 64;
constexpr std::size_t most_leaves = 250'000, most_visits = std::size_t{1} << 22;

constexpr std::string_view rebuild_tensor = "torch._utils _rebuild_tensor_v2",
                           rebuild_typed = "torch._utils _rebuild_tensor_v3",
                           rebuild_parameter = "torch._utils _rebuild_parameter";
// Storages name their type, but for those of types that came with PyTorch 2.3.
const std::pair<std::string_view, const char*> type_names[] = {
    {"torch FloatStorage", "F32"}, {"torch DoubleStorage", "F64"},
    {"torch HalfStorage", "F16"},  {"torch BFloat16Storage", "BF16"},
    {"torch LongStorage", "I64"},  {"torch IntStorage", "I32"},
    {"torch ShortStorage", "I16"}, {"torch CharStorage", "I8"},
    {"torch ByteStorage", "U8"},   {"torch BoolStorage", "BOOL"},
    {"torch uint16", "U16"},       {"torch uint32", "U32"},
    {"torch uint64", "U64"}};
constexpr std::array<std::string_view, 18> globals = {"collections OrderedDict",
                                                      rebuild_tensor,
                                                      rebuild_typed,
                                                      rebuild_parameter,
                                                      "torch.storage UntypedStorage",
                                                      "torch FloatStorage",
                                                      "torch DoubleStorage",
                                                      "torch HalfStorage",
                                                      "torch BFloat16Storage",
                                                      "torch LongStorage",
                                                      "torch IntStorage",
                                                      "torch ShortStorage",
                                                      "torch CharStorage",
                                                      "torch ByteStorage",
                                                      "torch BoolStorage",
                                                      "torch uint16",
                                                      "torch uint32",
                                                      "torch uint64"};

const StoredType* type_of(const std::string& name) {
  for (const auto& [known, type] : type_names)
    if (name == known) return stored_type(type);
  return nullptr;
}

// A tensor of the file, as its pickle has it.
struct View {
  std::string storage;
  const StoredType* type = nullptr;
  StoredLayout layout;

  auto key() const {
    const auto sizes = [&](const auto& values) {
      return std::vector<std::int64_t>(values.begin(), values.end());
    };
    return std::tuple(type, layout.offset, sizes(layout.shape), sizes(layout.strides));
  }
};

// Walks the value of a pickle and lists the tensors and texts in it by name.
class Flattener {
 public:
  explicit Flattener(const std::string& where) : where_(where) {}

  std::map<std::string, View> views;
  std::map<std::string, std::string> texts;

  void visit(const std::string& name, const Value& value, int depth = 0) {
    check(depth <= most_depth, where_, "is nested more than ", most_depth, " deep");
    check(++visits_ <= most_visits, where_, "has more than ", most_visits, " values");
    switch (value.kind) {
      case Kind::dict: return visit_dict(name, value, depth);
      case Kind::tuple:
      case Kind::list:
        for (std::size_t i = 0; i < value.items.size(); ++i)
          visit(joined(name, std::to_string(i)), *value.items[i], depth + 1);
        return;
      case Kind::call: return add(views, name, view_of(name, value));
      case Kind::truth: return add_text(name, value.whole != 0 ? "true" : "false");
      case Kind::whole: return add_text(name, std::to_string(value.whole));
      case Kind::real: return add_text(name, text_of(value.real));
      case Kind::text: return add_text(name, value.text);
      default: return;  // nothing that can be used
    }
  }

 private:
  void visit_dict(const std::string& name, const Value& dict, int depth) {
    for (std::size_t i = 0; i < dict.items.size(); i += 2) {
      const Value& key = *dict.items[i];
      check(key.kind == Kind::text || key.kind == Kind::whole, where_, "'", name,
            "' is a dict whose keys are neither text nor whole numbers");
      visit(joined(name, key.kind == Kind::text ? key.text : std::to_string(key.whole)), *dict.items[i + 1],
            depth + 1);
    }
  }
  std::string joined(const std::string& name, const std::string& key) const {
    check(name.size() + key.size() < most_name_bytes, where_, "has a name of more than ", most_name_bytes,
          " bytes");
    return name.empty() ? key : name + '.' + key;
  }
  static std::string text_of(double value) {
    char text[32];
    return {text, std::to_chars(text, text + sizeof text, value).ptr};
  }
  template <class Leaf>
  void add(std::map<std::string, Leaf>& leaves, const std::string& name, Leaf leaf) {
    check(leaves.emplace(name, std::move(leaf)).second, where_, "has two values of the name '", name, "'");
    check(leaves.size() <= most_leaves, where_, "has more than ", most_leaves, " tensors or texts");
  }
  void add_text(const std::string& name, const std::string& text) {
    text_bytes_ += text.size();
    check(text_bytes_ <= most_text_bytes, where_, "has more than ", most_text_bytes, " bytes of text");
    add(texts, name, text);
  }

  // ---- calls that make tensors

  View view_of(const std::string& name, const Value& call) const {
    const std::string where = where_ + "tensor '" + name + "' ";
    const Value* made = &call;
    if (made->items[0]->text == rebuild_parameter) {
      const auto& arguments = made->items[1]->items;
      check(arguments.size() == 3 && arguments[0]->kind == Kind::call, where, "is damaged");
      made = arguments[0];
    }
    const std::string& function = made->items[0]->text;
    const auto& arguments = made->items[1]->items;
    const bool typed = function == rebuild_typed;
    check((typed || function == rebuild_tensor) && arguments.size() >= (typed ? 7u : 6u), where,
          "is damaged");
    View view = storage_of(*arguments[0], where);
    if (typed) view.type = arguments[6]->kind == Kind::global ? type_of(arguments[6]->text) : nullptr;
    check(view.type != nullptr, where, "has no type that is read");
    check(arguments[1]->kind == Kind::whole, where, "is damaged");
    view.layout.offset = arguments[1]->whole;
    const Value &sizes = *arguments[2], &strides = *arguments[3];
    check(sizes.kind == Kind::tuple && strides.kind == Kind::tuple &&
              sizes.items.size() == strides.items.size(),
          where, "is damaged");
    check(sizes.items.size() <= Shape::max_dims, where, "has more than ", Shape::max_dims, " dimensions");
    for (std::size_t d = 0; d < sizes.items.size(); ++d) {
      check(sizes.items[d]->kind == Kind::whole && strides.items[d]->kind == Kind::whole, where,
            "is damaged");
      view.layout.shape.push_back(sizes.items[d]->whole);
      view.layout.strides[d] = strides.items[d]->whole;
    }
    return view;
  }
  // ('storage', type, key, device, elements)
  static View storage_of(const Value& id, const std::string& where) {
    const bool is_tuple = id.kind == Kind::persistent && id.items[0]->kind == Kind::tuple;
    check(is_tuple && id.items[0]->items.size() >= 5, where, "is damaged");
    const auto& parts = id.items[0]->items;
    check(parts[0]->kind == Kind::text && parts[0]->text == "storage" && parts[1]->kind == Kind::global &&
              parts[2]->kind == Kind::text,
          where, "is damaged");
    return {.storage = parts[2]->text, .type = type_of(parts[1]->text)};
  }

  const std::string& where_;
  std::size_t visits_ = 0;
  std::uint64_t text_bytes_ = 0;
};

class PyTorchReader {
 public:
  explicit PyTorchReader(const std::filesystem::path& path)
      : file_("load_pytorch", path, "a file of torch.save"), where_(file_.where()) {}

  TensorFile read(const std::string& prefix) {
    check_kind();
    zip_.emplace(file_);
    find_folder();
    const std::vector<char> pickle = zip_->read(folder_ + "data.pkl");
    Unpickler unpickler({pickle.data(), pickle.size()}, globals, where_);
    Flattener all(where_);
    all.visit("", unpickler.read());
    TensorFile file{.tensors = {}, .metadata = below(prefix, all.texts)};
    const auto views = below(prefix, all.views);
    check_found(where_, prefix, views, all.views);
    file.tensors = read_tensors(views);
    return file;
  }

 private:
  void check_kind() {
    std::array<char, 4> start{};
    file_.read(0, start.data(), std::min<std::uint64_t>(file_.bytes(), start.size()));
    const std::string_view text(start.data(), start.size());
    check(!text.starts_with('\x80'), where_,
          "is a file of PyTorch before 1.6 or a bare pickle, which is not read: in a newer PyTorch, load it "
          "and "
          "save it again with torch.save");
    check(text == "PK\x03\x04", where_, "not a file of torch.save (a zip file), or truncated");
  }

  void find_folder() {
    constexpr std::string_view pickle = "/data.pkl";
    for (const auto& [name, entry] : zip_->entries())
      if (name.ends_with(pickle) && name.find('/') == name.size() - pickle.size()) {
        check(folder_.empty(), where_, "has two pickles: '", folder_, "data.pkl' and '", name, "'");
        folder_ = name.substr(0, name.size() - pickle.size() + 1);
        check(entry.bytes <= most_pickle_bytes, where_, "has a pickle of ", entry.bytes,
              " bytes, expected at most ", most_pickle_bytes);
      }
    check(!folder_.empty(), where_, "has no data.pkl: not a file of torch.save");
    check(!zip_->entries().contains(folder_ + "constants.pkl"), where_,
          "is a TorchScript program, which is not read: save the state dict, torch.save(model.state_dict(), "
          "path)");
    if (zip_->entries().contains(folder_ + "byteorder")) {
      check(zip_->entries().at(folder_ + "byteorder").bytes <= 6, where_, "has an unknown byte order");
      const std::vector<char> order = zip_->read(folder_ + "byteorder");
      const std::string_view text(order.data(), order.size());
      check(text == "little" || text == "big", where_, "has an unknown byte order");
      big_endian_ = text == "big";
    }
  }

  // Storage by storage, so that one of them is in memory at a time.
  std::map<std::string, Tensor> read_tensors(const std::map<std::string, View>& views) {
    std::map<std::string, std::vector<const std::pair<const std::string, View>*>> by_storage;
    for (const auto& named : views) by_storage[named.second.storage].push_back(&named);
    std::map<std::string, Tensor> tensors;
    for (const auto& [storage, members] : by_storage) {
      const std::string entry = folder_ + "data/" + storage;
      const auto found = zip_->entries().find(entry);
      check(found == zip_->entries().end() || found->second.bytes <= room(), where_, "entry '", entry,
            "' takes far more than the file: damaged");
      const std::vector<char> bytes = zip_->read(entry);
      std::map<decltype(View().key()), Tensor> known;
      for (const auto* member : members) {
        const auto& [name, view] = *member;
        Tensor& x = known[view.key()];
        if (!x.defined()) x = read_tensor(name, view, bytes);
        tensors.emplace(name, x);
      }
    }
    return tensors;
  }
  Tensor read_tensor(const std::string& name, const View& view, const std::vector<char>& bytes) {
    const std::string where = where_ + "tensor '" + name + "': ";
    const std::uint64_t wanted = stored_bytes(view.layout.shape, *view.type);
    check(wanted <= room() - claimed_, where, "its ", view.layout.shape,
          " elements and those before it take more than ", most_expansion,
          " times the file: damaged, or expanded without a copy");
    claimed_ += wanted;
    StoredLayout layout = view.layout;
    layout.big_endian = big_endian_;
    return decode(*view.type, layout, bytes, where);
  }

  // The most that tensors may take, as the file holds them.
  std::uint64_t room() const { return most_expansion * file_.bytes() + least_room; }

  InputFile file_;
  const std::string& where_;
  std::optional<ZipReader> zip_;
  std::string folder_;  // in the zip file
  bool big_endian_ = false;
  std::uint64_t claimed_ = 0;  // bytes of the tensors so far
};

}  // namespace

TensorFile load_pytorch(const std::filesystem::path& path, const std::string& prefix) {
  return PyTorchReader(path).read(prefix);
}

}  // namespace karyon
