#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include <karyon/core/check.h>
#include <karyon/core/format/pickle.h>

namespace karyon {
namespace {

constexpr std::size_t most_values = std::size_t{1} << 21;
constexpr std::string_view ordered_dict = "collections OrderedDict";

}  // namespace

Unpickler::Unpickler(std::string_view bytes, std::span<const std::string_view> globals, std::string where)
    : rest_(bytes), globals_(globals), where_(std::move(where)) {}

void Unpickler::fail() const { throw Error(where_ + "its pickle is damaged"); }

void Unpickler::require(bool holds) const {
  if (!holds) fail();
}

std::string_view Unpickler::take(std::uint64_t count) {
  require(count <= rest_.size());
  const std::string_view taken = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return taken;
}

template <class T>
T Unpickler::take_number() {
  T value;
  std::memcpy(&value, take(sizeof value).data(), sizeof value);
  return value;
}

// ---- values

Unpickler::Value* Unpickler::add(Kind kind) {
  check(values_.size() < most_values, where_, "its pickle has more than ", most_values, " values");
  values_.push_back({.kind = kind});
  return &values_.back();
}

void Unpickler::push(Value* value) {
  check(stack_.size() < most_values, where_, "its pickle has more than ", most_values, " values");
  stack_.push_back(value);
}

Unpickler::Value* Unpickler::top() const {
  require(stack_.size() > (marks_.empty() ? 0 : marks_.back()));
  return stack_.back();
}

Unpickler::Value* Unpickler::pop() {
  Value* const value = top();
  stack_.pop_back();
  return value;
}

std::vector<Unpickler::Value*> Unpickler::pop_to_mark() {
  require(!marks_.empty());
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Value*> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

void Unpickler::push_whole(std::int64_t value) {
  Value* const out = add(Kind::whole);
  out->whole = value;
  push(out);
}

// Little-endian, in two's complement.
void Unpickler::push_long(std::uint64_t bytes) {
  const std::string_view digits = take(bytes);
  if (bytes > 8) return push(add(Kind::other));
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < digits.size(); ++i)
    value |= std::uint64_t{static_cast<unsigned char>(digits[i])} << 8 * i;
  if (bytes > 0 && bytes < 8 && (digits.back() & 0x80) != 0) value |= ~std::uint64_t{0} << 8 * bytes;
  push_whole(std::bit_cast<std::int64_t>(value));
}

void Unpickler::push_real() {
  std::uint64_t bits = 0;
  for (const char c : take(8)) bits = bits << 8 | static_cast<unsigned char>(c);
  Value* const out = add(Kind::real);
  out->real = std::bit_cast<double>(bits);
  push(out);
}

void Unpickler::push_text(std::uint64_t bytes) {
  const std::string_view text = take(bytes);
  Value* const out = add(Kind::text);
  out->text = text;
  push(out);
}

void Unpickler::push_items(Kind kind, std::vector<Value*> items) {
  require(kind != Kind::dict || items.size() % 2 == 0);
  Value* const out = add(kind);
  out->items = std::move(items);
  push(out);
}

// Adds the items to the list or dict below them.
void Unpickler::extend(Kind kind, const std::vector<Value*>& items) {
  Value* const target = top();
  require(target->kind == kind && (kind != Kind::dict || items.size() % 2 == 0));
  target->items.insert(target->items.end(), items.begin(), items.end());
}

void Unpickler::remember(std::uint32_t place) {
  memo_[place] = top();
  check(memo_.size() <= most_values, where_, "its pickle has more than ", most_values, " values");
}

void Unpickler::recall(std::uint32_t place) {
  const auto found = memo_.find(place);
  require(found != memo_.end());
  push(found->second);
}

void Unpickler::push_global(const std::string& name) {
  std::string dotted = name.substr(0, 200);
  std::replace(dotted.begin(), dotted.end(), ' ', '.');
  check(std::ranges::find(globals_, name) != globals_.end(), where_, "holds an object of ", dotted,
        ", expected tensors, numbers, text, lists and dicts: no code of a file is run. In Python, save the "
        "state dict alone: torch.save(model.state_dict(), path)");
  Value* const out = add(Kind::global);
  out->text = name;
  push(out);
}

void Unpickler::push_call() {
  Value* const arguments = pop();
  Value* const callee = pop();
  require(callee->kind == Kind::global && arguments->kind == Kind::tuple);
  if (callee->text == ordered_dict) {
    check(arguments->items.empty(), where_, "holds an OrderedDict with arguments, which is not read");
    return push_items(Kind::dict, {});
  }
  push_items(Kind::call, {callee, arguments});
}

// ---- codes

bool Unpickler::run_constant(unsigned char code) {
  switch (code) {
    case 'N': push(&none_); return true;
    case 0x88:  // NEWTRUE, NEWFALSE
    case 0x89:
      push(add(Kind::truth));
      top()->whole = code == 0x88;
      return true;
    case 'J': push_whole(take_number<std::int32_t>()); return true;
    case 'K': push_whole(take_number<std::uint8_t>()); return true;
    case 'M': push_whole(take_number<std::uint16_t>()); return true;
    case 0x8a: push_long(take_number<std::uint8_t>()); return true;
    case 0x8b: push_long(take_number<std::uint32_t>()); return true;
    case 'G': push_real(); return true;
    default: return false;
  }
}

bool Unpickler::run_text(unsigned char code) {
  switch (code) {
    case 'X': push_text(take_number<std::uint32_t>()); return true;
    case 0x8c: push_text(take_number<std::uint8_t>()); return true;
    case 0x8d: push_text(take_number<std::uint64_t>()); return true;
    case 'U': push_text(take_number<std::uint8_t>()); return true;  // text of Python 2
    case 'T': push_text(take_number<std::uint32_t>()); return true;
    case 'B':  // bytes
      take(take_number<std::uint32_t>());
      push(add(Kind::other));
      return true;
    case 'C':
      take(take_number<std::uint8_t>());
      push(add(Kind::other));
      return true;
    case 0x8e:
      take(take_number<std::uint64_t>());
      push(add(Kind::other));
      return true;
    default: return false;
  }
}

bool Unpickler::run_container(unsigned char code) {
  const auto last = [&](std::size_t count) {
    std::vector<Value*> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    return items;
  };
  switch (code) {
    case '(':
      check(marks_.size() < most_values, where_, "its pickle is nested too deeply");
      marks_.push_back(stack_.size());
      return true;
    case ')': push_items(Kind::tuple, {}); return true;
    case ']': push_items(Kind::list, {}); return true;
    case '}': push_items(Kind::dict, {}); return true;
    case 't': push_items(Kind::tuple, pop_to_mark()); return true;
    case 'l': push_items(Kind::list, pop_to_mark()); return true;
    case 'd': push_items(Kind::dict, pop_to_mark()); return true;
    case 0x85:
    case 0x86:
    case 0x87: push_items(Kind::tuple, last(code - 0x84u)); return true;
    case 'a': extend(Kind::list, last(1)); return true;
    case 'e': extend(Kind::list, pop_to_mark()); return true;
    case 's': extend(Kind::dict, last(2)); return true;
    case 'u': extend(Kind::dict, pop_to_mark()); return true;
    default: return false;
  }
}

bool Unpickler::run_memo(unsigned char code) {
  switch (code) {
    case 'q': remember(take_number<std::uint8_t>()); return true;
    case 'r': remember(take_number<std::uint32_t>()); return true;
    case 0x94: remember(static_cast<std::uint32_t>(memo_.size())); return true;
    case 'h': recall(take_number<std::uint8_t>()); return true;
    case 'j': recall(take_number<std::uint32_t>()); return true;
    case '0': pop(); return true;
    case '1': pop_to_mark(); return true;
    case '2': push(top()); return true;
    default: return false;
  }
}

bool Unpickler::run_object(unsigned char code) {
  const auto line = [&] {
    const std::size_t end = rest_.find('\n');
    require(end != std::string_view::npos);
    const std::string text(take(end));
    take(1);
    return text;
  };
  switch (code) {
    case 'c': {
      const std::string module = line();
      push_global(module + ' ' + line());
      return true;
    }
    case 0x93: {
      const Value* const name = pop();
      const Value* const module = pop();
      require(name->kind == Kind::text && module->kind == Kind::text);
      push_global(module->text + ' ' + name->text);
      return true;
    }
    case 'R': push_call(); return true;
    case 'b': pop(), top(); return true;  // attributes of a dict: versions of modules
    case 'Q': {
      Value* const id = pop();
      push_items(Kind::persistent, {id});
      return true;
    }
    default: return false;
  }
}

const PickledValue& Unpickler::read() {
  require(take_number<std::uint8_t>() == 0x80);
  const int protocol = take_number<std::uint8_t>();
  check(protocol >= 2 && protocol <= 5, where_, "its pickle has protocol ", protocol, ", expected 2 to 5");
  for (;;) {
    const auto code = take_number<unsigned char>();
    if (code == '.') return *pop();
    if (code == 0x95) {  // how long the next part is
      take(8);
      continue;
    }
    check(run_constant(code) || run_text(code) || run_container(code) || run_memo(code) || run_object(code),
          where_, "its pickle has a code that is not read: ", static_cast<int>(code));
  }
}

}  // namespace karyon
