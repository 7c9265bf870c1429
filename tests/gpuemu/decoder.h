#pragma once
#include <map>
#include <string>
#include <string_view>

#include "program.h"

namespace gpuemu {

/// Where a module's variables lie: device addresses for .global and .const.
using SymbolTable = std::map<std::string, std::uint64_t, std::less<>>;

/// Decodes a kernel; functions it calls are put in its place. Throws PtxError for what it does not know.
std::unique_ptr<Program> decode(const PtxModule& module, const Function& kernel, const SymbolTable& symbols);

/// The parts of an opcode after its first, taken in order; what is left at the end is an error.
class Modifiers {
 public:
  explicit Modifiers(const Statement& statement) : statement_(statement) {}

  bool take(std::string_view modifier);
  /// Takes the next part, whatever it is; an error if there is none.
  std::string next();
  /// Takes the next part if it is one of the `allowed` (separated by spaces), else gives "".
  std::string take_one_of(std::string_view allowed);
  void end() const;

 private:
  const Statement& statement_;
  std::size_t at_ = 1;
};

/// An instruction being decoded, with what the families of instructions need to translate its operands.
class Decoding {
 public:
  virtual ~Decoding() = default;

  const Statement& statement;
  Instruction& in;
  Modifiers modifiers;

  const std::string& opcode() const { return statement.opcode[0]; }
  [[noreturn]] void fail(const std::string& what) const;
  void expect_operands(std::size_t least, std::size_t most) const;

  /// The register (or the register that holds the constant) of `bytes` bytes that a text names. -1 for "_".
  virtual int reg(const std::string& text, std::size_t bytes) = 0;
  /// A register's declared size, or `otherwise` for a constant.
  virtual std::size_t reg_bytes(const std::string& text, std::size_t otherwise) const = 0;
  virtual int predicate(const std::string& text) = 0;
  /// Sets in.address, in.wide_address and in.offset from "[%rd1+8]".
  virtual void address(const std::string& text) = 0;
  /// A number written out, for operands that must be one.
  std::int64_t immediate(const std::string& text) const;
  /// The parts of "{%r1, %r2}", or the text itself.
  static std::vector<std::string> parts(const std::string& text);

  int operand_reg(std::size_t operand, std::size_t bytes) {
    return reg(statement.operands.at(operand), bytes);
  }
  /// Sets reg[0..] to the first `count` operands, all of one size.
  void operands(std::size_t count, std::size_t bytes);

 protected:
  Decoding(const Statement& s, Instruction& i) : statement(s), in(i), modifiers(s) {}
};

/// The families. Each returns false for an opcode that is not its own.
bool decode_integer(Decoding& d);
bool decode_float(Decoding& d);
bool decode_rounded(Decoding& d);
bool decode_half(Decoding& d);
bool decode_convert(Decoding& d);
bool decode_logic(Decoding& d);
bool decode_memory(Decoding& d);
bool decode_warp(Decoding& d);
bool decode_tensor(Decoding& d);

}  // namespace gpuemu
