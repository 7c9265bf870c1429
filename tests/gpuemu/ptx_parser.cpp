#include "ptx_parser.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>

namespace gpuemu {
namespace {

std::string trim(std::string_view s) {
  const auto begin = s.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return "";
  return std::string(s.substr(begin, s.find_last_not_of(" \t\r\n") - begin + 1));
}

bool starts_with(std::string_view s, std::string_view head) { return s.substr(0, head.size()) == head; }

std::vector<std::string> split_words(std::string_view s) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : s) {
    if (std::isspace(static_cast<unsigned char>(c))) {
      if (!word.empty()) words.push_back(std::move(word));
      word.clear();
    } else {
      word += c;
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

std::string without_comments(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  bool quoted = false;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (!quoted && source.compare(i, 2, "//") == 0) {
      i = std::min(source.find('\n', i), source.size());
      out += '\n';
    } else if (!quoted && source.compare(i, 2, "/*") == 0) {
      const auto end = source.find("*/", i + 2);
      if (end == std::string_view::npos) throw PtxError("PTX: a comment does not end");
      i = end + 1;
      out += ' ';
    } else if (source[i] != '\0') {
      if (source[i] == '"') quoted = !quoted;
      out += source[i];
    }
  }
  return out;
}

class Parser {
 public:
  explicit Parser(std::string text) : text_(std::move(text)) {}

  PtxModule module() {
    while (skip_space(), at_ < text_.size()) top_level();
    return std::move(module_);
  }

  /// The text of a whole body, without its outer braces.
  std::vector<Item> body() {
    SourceLine where;
    while (skip_space(), at_ < text_.size()) {
      if (text_[at_] == '{') {
        ++at_;
        add(Item::Kind::scope_begin);
      } else if (text_[at_] == '}') {
        ++at_;
        add(Item::Kind::scope_end);
      } else if (next_is(".loc")) {
        where = location(rest_of_line());
      } else {
        statement(where);
      }
    }
    return std::move(items_);
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
  PtxModule module_;
  std::vector<Item> items_;

  [[noreturn]] static void fail(const std::string& what, const std::string& quoted) {
    throw PtxError("PTX: " + what + ": " + quoted.substr(0, 300));
  }

  void skip_space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }

  std::string rest_of_line() {
    const auto end = std::min(text_.find('\n', at_), text_.size());
    std::string line = trim(std::string_view(text_).substr(at_, end - at_));
    at_ = end;
    return line;
  }

  bool next_is(std::string_view word) const {
    return text_.compare(at_, word.size(), word) == 0 &&
           (at_ + word.size() == text_.size() ||
            std::isspace(static_cast<unsigned char>(text_[at_ + word.size()])));
  }

  /// Text up to one of `ends`, which is consumed and returned in `end`.
  std::string until(std::string_view ends, char& end) {
    const auto stop = text_.find_first_of(ends, at_);
    if (stop == std::string::npos) fail("unexpected end of the text", text_.substr(at_));
    std::string part = trim(std::string_view(text_).substr(at_, stop - at_));
    end = text_[stop];
    at_ = stop + 1;
    return part;
  }

  void top_level() {
    for (const char* directive : {".version", ".address_size", ".target", ".file"}) {
      if (!next_is(directive)) continue;
      line_directive(rest_of_line());
      return;
    }
    char end = 0;
    if (next_is(".section")) {
      until("{", end);
      until("}", end);
      return;
    }
    std::string head = until(";{=", end);
    if (end == '=') {
      std::string value = until(";", end);
      module_.variables.push_back(variable(head));
      initialize(module_.variables.back(), value);
    } else if (end == '{') {
      module_.functions.push_back(signature(head));
      module_.functions.back().defined = true;
      module_.functions.back().text = body_text(module_.functions.back().name);
    } else if (head.find(".func") != std::string::npos) {
      module_.functions.push_back(signature(head));
    } else if (!head.empty()) {
      module_.variables.push_back(variable(head));
    }
  }

  void line_directive(const std::string& line) {
    if (starts_with(line, ".target")) {
      const auto sm = line.find("sm_");
      if (sm == std::string::npos) fail("target", line);
      module_.target = std::atoi(line.c_str() + sm + 3);
    } else if (starts_with(line, ".file")) {
      const auto number = static_cast<std::size_t>(std::atoi(line.c_str() + 5));
      const auto open = line.find('"'), close = line.rfind('"');
      if (open == std::string::npos || close <= open) fail("file", line);
      if (module_.files.size() <= number) module_.files.resize(number + 1);
      module_.files[number] = line.substr(open + 1, close - open - 1);
    }
  }

  /// `.visible .global .align 4 .b8 name[24]`
  static Variable variable(const std::string& declaration) {
    Variable v;
    const auto words = split_words(declaration);
    for (std::size_t i = 0; i < words.size(); ++i) {
      const std::string& w = words[i];
      if (w[0] != '.') {
        v.name += w;
      } else if (w == ".align") {
        if (++i < words.size()) v.alignment = std::atoi(words[i].c_str());
      } else if (w == ".extern") {
        v.external = true;
      } else if (w == ".global" || w == ".const" || w == ".shared" || w == ".local" || w == ".param") {
        v.space = w.substr(1);
      } else if (type_bytes(w.substr(1)) != 0) {
        v.type = w.substr(1);
        v.element_bytes = type_bytes(v.type);
      } else if (w != ".visible" && w != ".weak" && w != ".ptr") {
        fail("unknown declaration", declaration);
      }
    }
    if (v.space.empty() || v.name.empty() || v.type.empty()) fail("unknown declaration", declaration);
    if (v.external && v.space != "shared") fail("variable of another module", declaration);
    if (const auto bracket = v.name.find('['); bracket != std::string::npos) {
      for (auto b = bracket; b != std::string::npos; b = v.name.find('[', b + 1))
        v.count *= std::strtoull(v.name.c_str() + b + 1, nullptr, 0);
      v.name.resize(bracket);
    }
    v.alignment = std::max(v.alignment, static_cast<int>(v.element_bytes));
    return v;
  }

  static void initialize(Variable& v, std::string value) {
    if (starts_with(value, "{")) {
      if (value.back() != '}') fail("initial value", value);
      value = value.substr(1, value.size() - 2);
    }
    v.initial.assign(v.bytes(), 0);
    std::size_t i = 0;
    for (const std::string& element : split_operands(value)) {
      unsigned long long bits = 0;
      char* end = nullptr;
      if (element.size() > 2 && element[0] == '0' && std::strchr("fFdD", element[1]) != nullptr)
        bits = std::strtoull(element.c_str() + 2, &end, 16);
      else if (element[0] == '-')
        bits = static_cast<unsigned long long>(std::strtoll(element.c_str(), &end, 0));
      else
        bits = std::strtoull(element.c_str(), &end, 0);
      if (*end != '\0' || i == v.count) fail("initial value", v.name + " = " + value);
      std::memcpy(v.initial.data() + v.element_bytes * i++, &bits, v.element_bytes);
    }
  }

  static std::vector<Variable> parameters(const std::string& list) {
    std::vector<Variable> out;
    for (const std::string& p : split_operands(list)) out.push_back(variable(p));
    return out;
  }

  /// `.visible .entry name(params) .maxntid 256, 1, 1` or `.func (results) name (params)`
  static Function signature(const std::string& head) {
    Function f;
    f.entry = head.find(".entry") != std::string::npos;
    const auto keyword = head.find(f.entry ? ".entry" : ".func");
    if (keyword == std::string::npos) fail("unknown statement", head);
    std::string rest = trim(head.substr(keyword + (f.entry ? 6 : 5)));
    const auto take_list = [&] {
      const auto close = rest.find(')');
      if (close == std::string::npos) fail("parameters", head);
      auto list = parameters(rest.substr(1, close - 1));
      rest = trim(rest.substr(close + 1));
      return list;
    };
    if (starts_with(rest, "(")) f.results = take_list();
    const auto name_end = std::min(rest.find_first_of("( \t\n"), rest.size());
    f.name = rest.substr(0, name_end);
    rest = trim(rest.substr(name_end));
    if (starts_with(rest, "(")) f.parameters = take_list();
    while (!rest.empty()) {
      const auto next = rest.find('.', 1);
      const std::string directive = rest.substr(0, next);
      rest = next == std::string::npos ? "" : rest.substr(next);
      if (starts_with(directive, ".maxntid") || starts_with(directive, ".reqntid")) {
        f.max_threads = 1;
        for (const std::string& n : split_operands(directive.substr(8)))
          f.max_threads *= static_cast<unsigned>(std::atoi(n.c_str()));
      } else if (!starts_with(directive, ".minnctapersm") && !starts_with(directive, ".noreturn") &&
                 !starts_with(directive, ".maxnreg")) {
        fail("unknown directive", directive);
      }
    }
    return f;
  }

  std::string body_text(const std::string& name) {
    const auto begin = at_;
    for (int depth = 1; at_ < text_.size(); ++at_) {
      if (text_[at_] == '{') ++depth;
      if (text_[at_] == '}' && --depth == 0) return text_.substr(begin, at_++ - begin);
    }
    fail("a function does not end", name);
  }

  Item& add(Item::Kind kind) {
    items_.emplace_back();
    items_.back().kind = kind;
    return items_.back();
  }

  /// `.loc 1 15 44` or `.loc 2 9 1, function_name $L__info_string0, inlined_at 1 15 44`
  static SourceLine location(const std::string& line) {
    SourceLine where;
    if (std::sscanf(line.c_str(), ".loc %d %d", &where.file, &where.line) != 2) fail("location", line);
    if (const auto inlined = line.find("inlined_at"); inlined != std::string::npos)
      std::sscanf(line.c_str() + inlined, "inlined_at %d %d", &where.inlined_file, &where.inlined_line);
    return where;
  }

  void statement(const SourceLine& where) {
    const auto word_end = text_.find_first_of(" \t\r\n:;", at_);
    if (word_end != std::string::npos && text_[word_end] == ':' && text_.compare(word_end, 2, "::") != 0 &&
        text_[at_] != '@') {
      const std::string label = text_.substr(at_, word_end - at_);
      at_ = word_end + 1;
      skip_space();
      if (!next_is(".branchtargets")) {
        add(Item::Kind::label).name = label;
        return;
      }
      char end = 0;
      Item& item = add(Item::Kind::branch_targets);
      item.name = label;
      item.names = split_operands(until(";", end).substr(14));
      return;
    }
    char end = 0;
    const std::string s = until(";", end);
    if (s.empty() || starts_with(s, ".pragma")) return;
    if (starts_with(s, ".reg")) {
      registers(s, add(Item::Kind::registers));
    } else if (s[0] == '.') {
      add(Item::Kind::variable).variable = variable(s);
    } else {
      Statement& parsed = add(Item::Kind::instruction).statement;
      parsed = instruction(s);
      parsed.where = where;
    }
  }

  /// `.reg .b32 %r<5>` or `.reg .b32 a, b`
  static void registers(const std::string& s, Item& item) {
    const auto words = split_words(s);
    if (words.size() < 3) fail("registers", s);
    item.name = words[1].substr(1);
    if (item.name != "pred" && type_bytes(item.name) == 0) fail("register type", s);
    const auto list = s.find(words[1]) + words[1].size();
    for (const std::string& name : split_operands(s.substr(list))) {
      const auto range = name.find('<');
      if (range == std::string::npos) {
        item.names.push_back(name);
        continue;
      }
      const int count = std::atoi(name.c_str() + range + 1);
      for (int i = 0; i < count; ++i) item.names.push_back(name.substr(0, range) + std::to_string(i));
    }
  }

  static Statement instruction(const std::string& s) {
    Statement out;
    // One line, single spaces: reports and errors quote it.
    for (const std::string& w : split_words(s)) out.text += (out.text.empty() ? "" : " ") + w;
    std::string rest = out.text;
    if (rest[0] == '@') {
      const auto end = rest.find(' ');
      if (end == std::string::npos) fail("predicate", s);
      out.negated = rest[1] == '!';
      out.predicate = rest.substr(out.negated ? 2 : 1, end - (out.negated ? 2 : 1));
      rest = trim(rest.substr(end));
    }
    const auto opcode_end = std::min(rest.find_first_of(" {["), rest.size());
    std::string part;
    for (const char c : rest.substr(0, opcode_end)) {
      if (c == '.') {
        out.opcode.push_back(std::move(part));
        part.clear();
      } else {
        part += c;
      }
    }
    out.opcode.push_back(part);
    out.operands = split_operands(rest.substr(opcode_end));
    return out;
  }
};

}  // namespace

bool Statement::has(std::string_view modifier) const {
  return std::find(opcode.begin() + 1, opcode.end(), modifier) != opcode.end();
}

std::string Statement::name() const {
  std::string s;
  for (const std::string& part : opcode) s += (s.empty() ? "" : ".") + part;
  return s;
}

const Function* PtxModule::find(std::string_view name) const {
  for (const Function& f : functions)
    if (f.name == name && f.defined) return &f;
  return nullptr;
}

std::string PtxModule::place(const SourceLine& where) const {
  const auto format = [this](int file, int line) {
    const auto i = static_cast<std::size_t>(file);
    std::string path = i < files.size() ? files[i] : "";
    return path.substr(path.rfind('/') + 1) + ":" + std::to_string(line);
  };
  if (where.line == 0) return "";
  std::string s = format(where.file, where.line);
  if (where.inlined_line != 0) s += " (inlined at " + format(where.inlined_file, where.inlined_line) + ")";
  return s;
}

PtxModule parse_ptx(std::string_view source) { return Parser(without_comments(source)).module(); }

std::vector<Item> parse_body(const Function& function) { return Parser(function.text).body(); }

std::size_t type_bytes(std::string_view type) {
  if (type == "f16x2" || type == "bf16x2") return 4;
  if (type == "bf16") return 2;
  if (type.size() < 2 || std::strchr("bsuf", type[0]) == nullptr) return 0;
  const std::string_view bits = type.substr(1);
  return bits == "8" ? 1 : bits == "16" ? 2 : bits == "32" ? 4 : bits == "64" ? 8 : bits == "128" ? 16 : 0;
}

std::vector<std::string> split_operands(std::string_view s) {
  std::vector<std::string> parts;
  std::string part;
  int depth = 0;
  for (const char c : s) {
    if (c == '[' || c == '{' || c == '(') ++depth;
    if (c == ']' || c == '}' || c == ')') --depth;
    if (c == ',' && depth == 0) {
      parts.push_back(trim(part));
      part.clear();
    } else {
      part += c;
    }
  }
  if (std::string last = trim(part); !last.empty()) parts.push_back(std::move(last));
  return parts;
}

}  // namespace gpuemu
