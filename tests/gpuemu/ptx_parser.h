#pragma once
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace gpuemu {

/// What the emulator does not know or cannot accept in a PTX text; the message quotes it.
struct PtxError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Where an instruction comes from (`.loc`): a file of the module's table and a line, and the place it was
/// inlined at.
struct SourceLine {
  int file = 0, line = 0;
  int inlined_file = 0, inlined_line = 0;
};

/// One instruction as written: `@!%p1 add.s32 %r1, %r2, 3;`
struct Statement {
  std::string text;
  std::string predicate;  // without '@' and '!'; empty if none
  bool negated = false;
  std::vector<std::string> opcode;  // "add", "s32"
  std::vector<std::string>
      operands;  // "%r1", "%r2", "3"; vectors keep their braces, addresses their brackets
  SourceLine where;

  bool has(std::string_view modifier) const;
  /// The opcode with its modifiers: "add.s32".
  std::string name() const;
};

/// A variable: `.shared .align 4 .b8 tile[1296];`, a module's `.global` with its initial bytes, or a
/// parameter.
struct Variable {
  std::string space;  // "global", "const", "shared", "local", "param"
  std::string name;
  std::string type;  // of an element
  int alignment = 1;
  std::size_t element_bytes = 1, count = 1;
  bool external = false;  // dynamic shared memory
  std::vector<unsigned char> initial;

  std::size_t bytes() const { return element_bytes * count; }
};

/// What a function's body consists of, in order.
struct Item {
  enum class Kind { instruction, label, registers, variable, scope_begin, scope_end, branch_targets };
  Kind kind;
  Statement statement;             // instruction
  std::string name;                // label, branch_targets: its label; registers: the type
  std::vector<std::string> names;  // registers (all names, ranges expanded), branch_targets: labels
  Variable variable;
};

struct Function {
  std::string name;
  bool entry = false;
  bool defined = false;  // false for a declaration only
  std::vector<Variable> parameters, results;
  std::string text;  // of the body: parsed when it is first needed, since most kernels of a module never run
  unsigned max_threads = 0;  // from .maxntid or .reqntid; 0: not stated
};

/// A parsed PTX text. Nothing is known of instructions here: that is the decoder's part.
struct PtxModule {
  int target = 0;                  // 80 for sm_80
  std::vector<std::string> files;  // by number
  std::vector<Variable> variables;
  std::vector<Function> functions;

  const Function* find(std::string_view name) const;
  /// "bugs.cu:12", or with the place of inlining "launch.cuh:40 (inlined at norm.cu:12)"; empty if unknown.
  std::string place(const SourceLine& where) const;
};

/// Throws PtxError, quoting what it does not understand.
PtxModule parse_ptx(std::string_view source);

/// What a function does, in order. Throws PtxError.
std::vector<Item> parse_body(const Function& function);

/// Bytes of a fundamental type's name ("f32" is 4); 0 for what is no type, and for "pred".
std::size_t type_bytes(std::string_view type);

/// `s` cut at the commas that are in no bracket, parts trimmed.
std::vector<std::string> split_operands(std::string_view s);

}  // namespace gpuemu
