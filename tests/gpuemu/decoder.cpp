#include "decoder.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstring>

namespace gpuemu {
namespace {

constexpr std::size_t max_call_depth = 64;

std::size_t round_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

struct Register {
  int at;             // bytes into the warp's file, or a predicate's number
  std::size_t bytes;  // 0: a predicate
};

struct Symbol {
  Space space;
  std::uint64_t address;
  bool dynamic = false;  // behind the static shared memory, whose size is not known yet
};

/// Names that a function's text can use, from the outermost scope inwards.
struct Scope {
  std::map<std::string, Register, std::less<>> registers;
  std::map<std::string, Symbol, std::less<>> symbols;
};

/// One function's text being placed into the program: the kernel, or a function that it calls.
struct Frame {
  const Function* function;
  std::vector<Scope> scopes;
  std::map<std::string, std::uint32_t, std::less<>> labels;
  std::map<std::string, std::vector<std::string>, std::less<>> tables;
  std::vector<std::pair<std::size_t, std::string>> branches, table_branches;  // instruction, label
  std::vector<std::size_t> returns;  // of a called function: branch to its end
};

void no_operation(Warp&, const Instruction&, Mask) {}

class Decoder {
 public:
  Decoder(const PtxModule& module, const SymbolTable& symbols) : module_(module), symbols_(symbols) {}

  std::unique_ptr<Program> decode(const Function& kernel) {
    program_ = std::make_unique<Program>();
    program_->name = kernel.name;
    program_->module = &module_;
    program_->max_threads = kernel.max_threads;
    Frame frame{&kernel, {Scope{}}, {}, {}, {}, {}, {}};
    for (const Variable& p : kernel.parameters) {
      const std::size_t at = round_up(program_->parameter_bytes, static_cast<std::size_t>(p.alignment));
      program_->parameters.push_back({at, p.bytes()});
      program_->parameter_bytes = at + p.bytes();
      frame.scopes[0].symbols[p.name] = {Space::param, at};
    }
    place(frame);
    Instruction end;
    end.control = Control::exit;
    append(end, *program_->code.back().source);
    const std::size_t dynamic_at = round_up(program_->shared_bytes, 16);
    if (!dynamic_constants_.empty()) program_->shared_bytes = dynamic_at;
    for (const std::size_t c : dynamic_constants_) program_->constants[c].value += dynamic_at;
    program_->local_bytes = round_up(program_->local_bytes, 16);
    program_->register_bytes = round_up(program_->register_bytes, 64);
    return std::move(program_);
  }

 private:
  friend class StatementDecoding;
  const PtxModule& module_;
  const SymbolTable& symbols_;
  std::unique_ptr<Program> program_;
  std::vector<Frame*> frames_;
  std::map<std::pair<std::size_t, std::uint64_t>, int> constants_;
  std::map<std::pair<std::size_t, std::string>, int> dynamic_registers_;
  std::vector<std::size_t> dynamic_constants_;
  std::map<Special, int> specials_;
  std::map<std::string, Symbol, std::less<>> module_shared_;

  [[noreturn]] void fail(const std::string& what, const Statement& s) const {
    throw PtxError("PTX: " + what + ": `" + s.text + "` in " + program_->demangled());
  }

  Frame& frame() { return *frames_.back(); }

  void append(Instruction in, const Statement& source) {
    in.index = static_cast<std::uint32_t>(program_->code.size());
    in.source = &source;
    program_->code.push_back(std::move(in));
  }

  int new_register(std::size_t bytes) {
    const auto at = static_cast<int>(program_->register_bytes);
    program_->register_bytes += round_up(bytes * lane_count, 64);
    return at;
  }

  int constant(std::size_t bytes, std::uint64_t value) {
    const auto [found, added] = constants_.try_emplace({bytes, value}, 0);
    if (added) {
      found->second = new_register(bytes);
      program_->constants.push_back({found->second, static_cast<int>(bytes), value});
    }
    return found->second;
  }

  /// The end of static shared memory, known only when all is decoded.
  int dynamic_address(std::size_t bytes) {
    const auto [found, added] = dynamic_registers_.try_emplace({bytes, "dynamic"}, 0);
    if (added) {
      found->second = new_register(bytes);
      dynamic_constants_.push_back(program_->constants.size());
      program_->constants.push_back({found->second, static_cast<int>(bytes), 0});
    }
    return found->second;
  }

  int special(const std::string& name, const Statement& s) {
    static const std::map<std::string, Special, std::less<>> names = {
        {"%tid.x", Special::tid_x},
        {"%tid.y", Special::tid_y},
        {"%tid.z", Special::tid_z},
        {"%ntid.x", Special::ntid_x},
        {"%ntid.y", Special::ntid_y},
        {"%ntid.z", Special::ntid_z},
        {"%ctaid.x", Special::ctaid_x},
        {"%ctaid.y", Special::ctaid_y},
        {"%ctaid.z", Special::ctaid_z},
        {"%nctaid.x", Special::nctaid_x},
        {"%nctaid.y", Special::nctaid_y},
        {"%nctaid.z", Special::nctaid_z},
        {"%laneid", Special::laneid},
        {"%warpid", Special::warpid},
        {"%nwarpid", Special::nwarpid},
        {"%lanemask_eq", Special::lanemask_eq},
        {"%lanemask_lt", Special::lanemask_lt},
        {"%lanemask_le", Special::lanemask_le},
        {"%lanemask_gt", Special::lanemask_gt},
        {"%lanemask_ge", Special::lanemask_ge},
        {"%dynamic_smem_size", Special::dynamic_smem_size}};
    const auto which = names.find(name);
    if (which == names.end()) fail("unknown register " + name, s);
    const auto [found, added] = specials_.try_emplace(which->second, 0);
    if (added) {
      found->second = new_register(4);
      program_->specials.push_back({found->second, which->second});
    }
    return found->second;
  }

  const Register* find_register(std::string_view name) {
    auto& scopes = frame().scopes;
    for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope)
      if (const auto r = scope->registers.find(name); r != scope->registers.end()) return &r->second;
    return nullptr;
  }

  const Symbol* find_symbol(std::string_view name) {
    auto& scopes = frame().scopes;
    for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope)
      if (const auto s = scope->symbols.find(name); s != scope->symbols.end()) return &s->second;
    if (const auto s = module_shared_.find(name); s != module_shared_.end()) return &s->second;
    if (const auto s = symbols_.find(name); s != symbols_.end())
      return &(module_shared_[std::string(name)] = {Space::global, s->second});
    for (const Variable& v : module_.variables)
      if (v.name == name && v.space == "shared")
        return &(module_shared_[v.name] =
                     v.external ? Symbol{Space::shared, 0, true} : Symbol{Space::shared, reserve(v)});
    return nullptr;
  }

  /// Room for a variable in shared memory or in a thread's own.
  std::uint64_t reserve(const Variable& v) {
    std::size_t& total = v.space == "shared" ? program_->shared_bytes : program_->local_bytes;
    const std::size_t at = round_up(total, static_cast<std::size_t>(v.alignment));
    total = at + v.bytes();
    return at;
  }

  void place(Frame& f) {
    if (frames_.size() == max_call_depth)
      throw PtxError("PTX: calls nested too deeply, or a recursion: " + f.function->name);
    frames_.push_back(&f);
    program_->bodies.push_back(parse_body(*f.function));
    const std::size_t body = program_->bodies.size() - 1;
    for (std::size_t i = 0; i < program_->bodies[body].size(); ++i) item(program_->bodies[body][i]);
    const auto end = static_cast<std::uint32_t>(program_->code.size());
    for (const std::size_t r : f.returns) program_->code[r].target = end;
    const auto find = [&](std::size_t branch, const std::string& label) {
      const auto found = f.labels.find(label);
      if (found == f.labels.end()) fail("unknown label", *program_->code[branch].source);
      return found->second;
    };
    for (const auto& [branch, label] : f.branches) program_->code[branch].target = find(branch, label);
    for (const auto& [branch, name] : f.table_branches)
      for (const std::string& label : f.tables[name])
        program_->code[branch].targets.push_back(find(branch, label));
    frames_.pop_back();
  }

  void item(const Item& item) {
    Frame& f = frame();
    switch (item.kind) {
      case Item::Kind::scope_begin: f.scopes.emplace_back(); break;
      case Item::Kind::scope_end: f.scopes.pop_back(); break;
      case Item::Kind::label: f.labels[item.name] = static_cast<std::uint32_t>(program_->code.size()); break;
      case Item::Kind::branch_targets: f.tables[item.name] = item.names; break;
      case Item::Kind::registers: {
        const std::size_t bytes = type_bytes(item.name);
        if (bytes == 16) throw PtxError("PTX: 128-bit registers are not supported: .reg ." + item.name);
        for (const std::string& name : item.names)
          f.scopes.back().registers[name] =
              item.name == "pred"
                  ? Register{static_cast<int>(program_->predicates++), 0}
                  : Register{new_register(std::max<std::size_t>(bytes, 2)), std::max<std::size_t>(bytes, 2)};
        break;
      }
      case Item::Kind::variable: {
        const Variable& v = item.variable;
        // A call's parameters lie in the thread's own memory.
        f.scopes.back().symbols[v.name] = {v.space == "shared" ? Space::shared : Space::local, reserve(v)};
        break;
      }
      case Item::Kind::instruction: instruction(item.statement); break;
    }
  }

  void instruction(const Statement& s);
  bool control(const Statement& s, Instruction& in);
  void call(const Statement& s);
  void barrier(const Statement& s, Instruction& in);
};

class StatementDecoding final : public Decoding {
 public:
  StatementDecoding(Decoder& decoder, const Statement& s, Instruction& i)
      : Decoding(s, i), decoder_(decoder) {}

  int reg(const std::string& text, std::size_t bytes) override {
    if (text == "_") return -1;
    if (const Register* r = decoder_.find_register(text)) {
      if (r->bytes != bytes) fail("operand " + text + " has another size than the instruction");
      return r->at;
    }
    if (text[0] == '%') {
      if (bytes != 4) fail("operand " + text + " has another size than the instruction");
      return decoder_.special(text, statement);
    }
    if (const Symbol* symbol = decoder_.find_symbol(text)) return symbol_address(*symbol, bytes);
    return decoder_.constant(bytes, number(text, bytes));
  }

  std::size_t reg_bytes(const std::string& text, std::size_t otherwise) const override {
    const Register* r = decoder_.find_register(text);
    if (r != nullptr) return r->bytes;
    return text[0] == '%' ? 4 : otherwise;
  }

  int predicate(const std::string& text) override {
    if (text == "_") return -1;
    const Register* r = decoder_.find_register(text);
    if (r == nullptr || r->bytes != 0) fail("operand " + text + " is no predicate");
    return r->at;
  }

  void address(const std::string& text) override {
    if (text.size() < 3 || text.front() != '[' || text.back() != ']')
      fail("operand " + text + " is no address");
    std::string base = text.substr(1, text.size() - 2);
    if (const auto plus = base.find('+'); plus != std::string::npos) {
      in.offset = immediate(base.substr(plus + 1));
      base.resize(plus);
    }
    while (!base.empty() && base.back() == ' ') base.pop_back();
    if (const Symbol* symbol = decoder_.find_symbol(base);
        symbol != nullptr && decoder_.find_register(base) == nullptr) {
      in.address = symbol_address(*symbol, 8);
      in.wide_address = true;
      if (in.space == Space::param) in.space = symbol->space;  // a call's parameters lie in local memory
      if (in.space == Space::generic || in.space != symbol->space) fail("address of another space: " + base);
      return;
    }
    const std::size_t bytes = reg_bytes(base, 8);
    if (bytes != 4 && bytes != 8) fail("operand " + text + " is no address");
    in.wide_address = bytes == 8;
    in.address = reg(base, bytes);
  }

 private:
  Decoder& decoder_;

  int symbol_address(const Symbol& symbol, std::size_t bytes) {
    if (symbol.dynamic) return decoder_.dynamic_address(bytes);
    return decoder_.constant(bytes, symbol.address);
  }

  std::uint64_t number(const std::string& text, std::size_t bytes) const {
    std::string digits = text;
    if (!digits.empty() && digits.back() == 'U') digits.pop_back();
    if (digits == "WARP_SZ") return lane_count;
    char* end = nullptr;
    std::uint64_t value = 0;
    if (digits.size() > 2 && digits[0] == '0' && std::strchr("fFdD", digits[1]) != nullptr) {
      const bool is_double = digits[1] == 'd' || digits[1] == 'D';
      if (bytes != (is_double ? 8u : 4u)) fail("constant " + text + " has another size than the instruction");
      value = std::strtoull(digits.c_str() + 2, &end, 16);
    } else {
      value = digits[0] == '-' ? static_cast<std::uint64_t>(std::strtoll(digits.c_str(), &end, 0))
                               : std::strtoull(digits.c_str(), &end, 0);
    }
    if (digits.empty() || *end != '\0') fail("unknown operand " + text);
    return bytes == 8 ? value : value & ((std::uint64_t{1} << 8 * bytes) - 1);
  }
};

void Decoder::instruction(const Statement& s) {
  if (s.opcode[0] == "call") return call(s);
  Instruction in;
  StatementDecoding d(*this, s, in);
  if (!s.predicate.empty()) {
    in.predicate = d.predicate(s.predicate);
    in.negated = s.negated;
  }
  if (!control(s, in)) {
    bool known = false;
    for (const auto family : {decode_memory, decode_integer, decode_float, decode_rounded, decode_logic,
                              decode_convert, decode_half, decode_warp, decode_tensor})
      if ((known = family(d))) break;
    if (!known) fail("unknown instruction", s);
    if (in.execute == nullptr && in.control == Control::none) fail("unknown variant of an instruction", s);
  }
  append(std::move(in), s);
}

/// Branches, returns, barriers and fences. False for other instructions.
bool Decoder::control(const Statement& s, Instruction& in) {
  const std::string& op = s.opcode[0];
  const std::size_t at = program_->code.size();
  StatementDecoding d(*this, s, in);
  if (op == "bra") {
    d.modifiers.take("uni");
    d.modifiers.end();
    d.expect_operands(1, 1);
    in.control = Control::branch;
    frame().branches.emplace_back(at, s.operands[0]);
  } else if (op == "brx") {
    if (!d.modifiers.take("idx")) d.fail("unknown variant of an instruction");
    d.modifiers.take("uni");
    d.modifiers.end();
    d.expect_operands(2, 2);
    in.control = Control::branch_table;
    in.reg[0] = d.reg(s.operands[0], 4);
    frame().table_branches.emplace_back(at, s.operands[1]);
  } else if (op == "ret" || op == "exit") {
    d.modifiers.take("uni");
    d.modifiers.end();
    d.expect_operands(0, 0);
    const bool called = op == "ret" && frames_.size() > 1;
    in.control = called ? Control::branch : Control::exit;
    if (called) frame().returns.push_back(at);
  } else if (op == "bar" || op == "barrier") {
    barrier(s, in);
  } else if (op == "membar" || op == "fence") {
    // Memory is in order here, so a fence has nothing to do.
    static const std::vector<std::string> known = {
        "membar.cta",   "membar.gl",         "membar.sys",        "fence.sc.cta",     "fence.sc.gpu",
        "fence.sc.sys", "fence.acq_rel.cta", "fence.acq_rel.gpu", "fence.acq_rel.sys"};
    if (std::find(known.begin(), known.end(), s.name()) == known.end()) fail("unknown fence", s);
    in.execute = no_operation;
  } else {
    return false;
  }
  return true;
}

void Decoder::barrier(const Statement& s, Instruction& in) {
  StatementDecoding d(*this, s, in);
  if (s.name() == "bar.warp.sync") {
    d.expect_operands(1, 1);
    in.control = Control::synchronizing;
    in.member_mask = d.reg(s.operands[0], 4);
    return;
  }
  d.modifiers.take("cta");
  if (!d.modifiers.take("sync")) fail("unknown barrier", s);
  if (s.opcode[0] == "barrier") d.modifiers.take("aligned");
  d.modifiers.end();
  d.expect_operands(1, 1);  // the number of threads cannot be given
  if (d.immediate(s.operands[0]) != 0) fail("only barrier 0 is supported", s);
  in.control = Control::barrier;
}

/// The called function's text comes in the place of the call, its parameters bound to the caller's variables.
void Decoder::call(const Statement& s) {
  std::vector<std::string> operands = s.operands, results, arguments;
  const auto list = [](const std::string& text) { return split_operands(text.substr(1, text.size() - 2)); };
  if (!operands.empty() && operands[0][0] == '(') {
    results = list(operands[0]);
    operands.erase(operands.begin());
  }
  if (operands.size() > 1 && operands[1][0] == '(') {
    arguments = list(operands[1]);
    operands.erase(operands.begin() + 1);
  }
  if (operands.size() != 1 || !s.predicate.empty()) fail("unsupported call", s);
  const Function* callee = module_.find(operands[0]);
  if (callee == nullptr) fail("call of a function that the module does not define", s);
  if (results.size() != callee->results.size() || arguments.size() != callee->parameters.size())
    fail("call with other parameters than the function's", s);
  Frame inner{callee, {Scope{}}, {}, {}, {}, {}, {}};
  const auto bind = [&](const std::vector<Variable>& formal, const std::vector<std::string>& actual) {
    for (std::size_t i = 0; i < formal.size(); ++i) {
      const Symbol* symbol = find_symbol(actual[i]);
      if (symbol == nullptr) fail("unknown parameter " + actual[i], s);
      inner.scopes[0].symbols[formal[i].name] = *symbol;
    }
  };
  bind(callee->results, results);
  bind(callee->parameters, arguments);
  place(inner);
}

}  // namespace

std::unique_ptr<Program> decode(const PtxModule& module, const Function& kernel, const SymbolTable& symbols) {
  return Decoder(module, symbols).decode(kernel);
}

bool Modifiers::take(std::string_view modifier) {
  if (at_ >= statement_.opcode.size() || statement_.opcode[at_] != modifier) return false;
  ++at_;
  return true;
}

std::string Modifiers::next() {
  if (at_ >= statement_.opcode.size())
    throw PtxError("PTX: a modifier is missing: `" + statement_.text + "`");
  return statement_.opcode[at_++];
}

std::string Modifiers::take_one_of(std::string_view allowed) {
  if (at_ >= statement_.opcode.size()) return "";
  const std::string padded = " " + std::string(allowed) + " ";
  if (padded.find(" " + statement_.opcode[at_] + " ") == std::string::npos) return "";
  return statement_.opcode[at_++];
}

void Modifiers::end() const {
  if (at_ < statement_.opcode.size())
    throw PtxError("PTX: unknown modifier ." + statement_.opcode[at_] + ": `" + statement_.text + "`");
}

void Decoding::fail(const std::string& what) const {
  throw PtxError("PTX: " + what + ": `" + statement.text + "`");
}

void Decoding::expect_operands(std::size_t least, std::size_t most) const {
  if (statement.operands.size() < least || statement.operands.size() > most)
    fail("unexpected number of operands");
}

std::int64_t Decoding::immediate(const std::string& text) const {
  char* end = nullptr;
  const std::int64_t value = std::strtoll(text.c_str(), &end, 0);
  if (text.empty() || *end != '\0') fail("operand " + text + " is no number");
  return value;
}

std::vector<std::string> Decoding::parts(const std::string& text) {
  if (text.empty() || text[0] != '{') return {text};
  return split_operands(std::string_view(text).substr(1, text.size() - 2));
}

void Decoding::operands(std::size_t count, std::size_t bytes) {
  expect_operands(count, count);
  for (std::size_t i = 0; i < count; ++i) in.reg[i] = reg(statement.operands[i], bytes);
}

std::string Program::demangled() const {
  if (name.compare(0, 2, "_Z") != 0) return name;
  int status = 0;
  char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  std::string s = text != nullptr ? text : name;
  std::free(text);
  return s;
}

std::string Program::place(const Instruction& in) const {
  const std::string place = module->place(in.source->where);
  return place.empty() ? "an unknown line" : place;
}

}  // namespace gpuemu
