#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ptx_parser.h"

namespace gpuemu {

using Mask = std::uint32_t;  // one bit per lane
constexpr int lane_count = 32;
constexpr Mask all_lanes = ~Mask{0};

struct Warp;
struct Instruction;
/// Executes an instruction for the lanes of a mask, which is not empty.
using Handler = void (*)(Warp&, const Instruction&, Mask);

enum class Space : std::uint8_t { generic, global, shared, local, param };

/// What the warp's loop must do itself. `synchronizing` waits for the lanes that a mask names before it
/// executes.
enum class Control : std::uint8_t { none, branch, branch_table, exit, barrier, synchronizing };

/// A decoded instruction: no text is looked at once it runs.
struct Instruction {
  Handler execute = nullptr;
  Control control = Control::none;
  Space space = Space::generic;
  bool negated = false;        // of the predicate
  bool wide_address = true;    // the address register has 64 bits, not 32
  bool constant_data = false;  // ld.global.nc: what nothing may write while the kernel runs
  std::uint8_t count = 1;      // elements of a vector
  std::uint8_t bytes = 0;      // memory accesses: of one element
  int predicate = -1;
  int member_mask = -1;       // synchronizing: the register that names the lanes, or all of them
  std::array<int, 16> reg{};  // registers (bytes into the warp's file) or predicates (numbers), results first
  int address = -1;           // the register
  std::int64_t offset = 0;    // added to the address
  std::int64_t mode = 0;      // what the handler makes of it
  std::uint32_t target = 0;
  std::uint32_t index = 0;  // in the program
  std::vector<std::uint32_t> targets;
  const Statement* source = nullptr;
};

enum class Special : std::uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  lanemask_eq,
  lanemask_lt,
  lanemask_le,
  lanemask_gt,
  lanemask_ge,
  dynamic_smem_size
};

/// A kernel ready to run.
struct Program {
  struct Constant {
    int reg, bytes;
    std::uint64_t value;
  };
  struct SpecialRegister {
    int reg;
    Special which;
  };
  struct Parameter {
    std::size_t offset, bytes;
  };

  std::string name;  // mangled
  const PtxModule* module = nullptr;
  std::vector<Instruction> code;
  std::vector<std::vector<Item>> bodies;  // owns the statements
  std::vector<Constant> constants;
  std::vector<SpecialRegister> specials;
  std::vector<Parameter> parameters;
  std::size_t parameter_bytes = 0, register_bytes = 0, predicates = 0;
  std::size_t shared_bytes = 0, local_bytes = 0;  // static; per thread
  unsigned max_threads = 0;

  std::string demangled() const;
  /// "file:line" of an instruction, or the text of the instruction if the module has no lines.
  std::string place(const Instruction& in) const;
};

}  // namespace gpuemu
