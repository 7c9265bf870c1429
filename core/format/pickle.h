#pragma once
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

// Private: pickles of Python, read as data. Nothing in them is executed: a call of a class is a value with
// the name of the class and the arguments.
namespace karyon {

struct PickledValue {
  enum class Kind {
    none,
    truth,
    whole,  // a number of 64 bits
    real,
    text,
    tuple,
    list,
    dict,        // items: key, value, key, value ...
    global,      // text: "module name" of a class or function
    call,        // items: the global and its tuple of arguments
    persistent,  // items: what stands for an object that lies elsewhere
    other        // bytes, and numbers of more than 64 bits
  };
  Kind kind = Kind::none;
  std::int64_t whole = 0;  // also a truth value
  double real = 0;
  std::string text;
  std::vector<PickledValue*> items;  // a value may stand in several places, and inside of itself
};

/// Reads protocols 2 to 5. The values live as long as the reader.
class Unpickler {
 public:
  /// `globals` are the only classes and functions that may be named. Where collections.OrderedDict is one of
  /// them, a call of it is a dict. Errors begin with `where`.
  Unpickler(std::string_view bytes, std::span<const std::string_view> globals, std::string where);

  /// The value. Throws Error if the pickle is damaged, names another global, or has more than 2^21 values.
  const PickledValue& read();

 private:
  using Value = PickledValue;
  using Kind = PickledValue::Kind;

  [[noreturn]] void fail() const;
  void require(bool holds) const;
  std::string_view take(std::uint64_t count);
  template <class T>
  T take_number();

  Value* add(Kind kind);
  void push(Value* value);
  Value* pop();
  Value* top() const;
  std::vector<Value*> pop_to_mark();

  bool run_constant(unsigned char code);
  bool run_text(unsigned char code);
  bool run_container(unsigned char code);
  bool run_memo(unsigned char code);
  bool run_object(unsigned char code);

  void push_whole(std::int64_t value);
  void push_long(std::uint64_t bytes);
  void push_real();
  void push_text(std::uint64_t bytes);
  void push_items(Kind kind, std::vector<Value*> items);
  void extend(Kind kind, const std::vector<Value*>& items);
  void remember(std::uint32_t place);
  void recall(std::uint32_t place);
  void push_global(const std::string& name);
  void push_call();

  std::string_view rest_;
  std::span<const std::string_view> globals_;
  std::string where_;
  std::deque<Value> values_;
  std::vector<Value*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint32_t, Value*> memo_;
  Value none_;
};

}  // namespace karyon
