// What feeds and runs tensor cores: cp.async, ldmatrix, mma.sync. Products of mma are summed exactly enough
// to be rounded once; a device adds them in an order of its own.
#include <bit>
#include <cmath>

#include "lanewise.h"
#include "numeric.h"

namespace gpuemu {
namespace {

// ---- cp.async: reg[0] source address register, reg[1] whether it has 64 bits, reg[2] bytes to read (-1:
// all), mode the source's offset; address and offset are the destination's, bytes the size.

/// Reads what lies behind the source; bytes that are not read are zero.
void read_source(Warp& w, const Instruction& in, const u64 (&source)[lane_count], Mask mask,
                 PendingCopy& copy) {
  Mask whole = mask;
  const u32* valid = in.reg[2] < 0 ? nullptr : w.lanes<u32>(in.reg[2]);
  std::byte* host[lane_count];
  for (int l = 0; l < lane_count && valid != nullptr; ++l) {
    if ((mask >> l & 1) == 0 || valid[l] >= in.bytes) continue;
    whole &= ~(Mask{1} << l);
    const int unit = valid[l] % 4 == 0 ? 4 : valid[l] % 2 == 0 ? 2 : 1;
    u64 address[lane_count] = {};
    for (u32 i = 0; i < valid[l]; i += static_cast<u32>(unit)) {
      address[l] = source[l] + i;
      w.machine->locate(w, in, Space::global, address, Mask{1} << l, unit, AccessKind::read, host);
      std::memcpy(copy.data[l].data() + i, host[l], static_cast<std::size_t>(unit));
    }
  }
  if (whole == 0) return;
  w.machine->locate(w, in, Space::global, source, whole, in.bytes, AccessKind::read, host);
  for (int l = 0; l < lane_count; ++l)
    if ((whole >> l & 1) != 0) std::memcpy(copy.data[l].data(), host[l], in.bytes);
}

void copy_async(Warp& w, const Instruction& in, Mask mask) {
  u64 source[lane_count], target[lane_count];
  const auto offset = static_cast<u64>(in.mode);
  for (int l = 0; l < lane_count; ++l)
    source[l] = (in.reg[1] != 0 ? w.lanes<u64>(in.reg[0])[l] : w.lanes<u32>(in.reg[0])[l]) + offset;
  w.machine->gather_addresses(w, in, target);
  w.copies.emplace_back();
  PendingCopy& copy = w.copies.back();
  copy.mask = mask;
  copy.bytes = in.bytes;
  copy.in = &in;
  for (int l = 0; l < lane_count; ++l) {
    copy.group[l] = w.committed[l];
    copy.shared[l] = static_cast<u32>(target[l]);
    copy.data[l].fill(std::byte{0});
  }
  read_source(w, in, source, mask, copy);
  std::byte* host[lane_count];
  w.machine->locate(w, in, Space::shared, target, mask, in.bytes, AccessKind::write, host, pending_flag);
  for (int l = 0; l < lane_count; ++l)
    if ((mask >> l & 1) != 0)
      std::memset(host[l], 0xff, in.bytes);  // nothing to rely on until it is waited for
}

/// The data of `lanes` arrives: from now on it counts as written by its thread.
void arrive(Warp& w, PendingCopy& copy, Mask lanes) {
  Shadow& shadow = w.machine->shared_shadow();
  const Moment now = w.machine->shared_moment();
  const auto bytes = static_cast<std::size_t>(copy.bytes);
  for (int l = 0; l < lane_count; ++l) {
    if ((lanes >> l & 1) == 0) continue;
    std::memcpy(w.machine->shared() + copy.shared[l], copy.data[l].data(), bytes);
    const std::size_t begin = copy.shared[l] >> shadow.shift(),
                      end = (copy.shared[l] + bytes) >> shadow.shift();
    for (std::size_t g = begin; g < end; ++g) shadow.cell(g).write = {now.interval, w.who(l)};
  }
  copy.mask &= ~lanes;
}

void commit_group(Warp& w, const Instruction&, Mask mask) {
  for (int l = 0; l < lane_count; ++l) w.committed[l] += mask >> l & 1;
}

/// mode: how many of the latest groups may still be under way; -1: none, not even what is in no group yet.
void wait_group(Warp& w, const Instruction& in, Mask mask) {
  for (PendingCopy& copy : w.copies) {
    Mask done = 0;
    for (int l = 0; l < lane_count; ++l)
      if (in.mode < 0 || copy.group[l] + static_cast<u64>(in.mode) < w.committed[l]) done |= Mask{1} << l;
    arrive(w, copy, copy.mask & mask & done);
  }
  std::erase_if(w.copies, [](const PendingCopy& copy) { return copy.mask == 0; });
}

bool decode_copy(Decoding& d) {
  if (d.opcode() != "cp") return false;
  auto& m = d.modifiers;
  auto& in = d.in;
  if (!m.take("async")) d.fail("unknown variant of an instruction");
  if (m.take("commit_group")) {
    m.end();
    d.expect_operands(0, 0);
    in.execute = commit_group;
    return true;
  }
  if (m.take("wait_all")) {
    m.end();
    d.expect_operands(0, 0);
    in.mode = -1;
    in.execute = wait_group;
    return true;
  }
  if (m.take("wait_group")) {
    m.end();
    d.expect_operands(1, 1);
    in.mode = d.immediate(d.statement.operands[0]);
    in.execute = wait_group;
    return true;
  }
  const bool all_levels = m.take("ca");
  if ((!all_levels && !m.take("cg")) || m.take_one_of("shared shared::cta").empty() || !m.take("global"))
    d.fail("unknown variant of an instruction");
  m.take_one_of("L2::64B L2::128B L2::256B");
  m.end();
  d.expect_operands(3, 4);
  in.space = Space::global;
  d.address(d.statement.operands[1]);
  in.reg[0] = in.address;
  in.reg[1] = in.wide_address;
  in.mode = in.offset;
  in.space = Space::shared;
  in.offset = 0;
  d.address(d.statement.operands[0]);
  const auto bytes = d.immediate(d.statement.operands[2]);
  if (bytes != 16 && (!all_levels || (bytes != 4 && bytes != 8))) d.fail("unknown size of a copy");
  in.bytes = static_cast<u8>(bytes);
  in.reg[2] = d.statement.operands.size() == 4 ? d.operand_reg(3, 4) : -1;
  in.execute = copy_async;
  return true;
}

// ---- ldmatrix: 8 x 8 matrices of 16-bit elements. Lanes 8i to 8i+7 hold the addresses of the rows of matrix
// i.

template <bool transposed>
void load_matrix(Warp& w, const Instruction& in, Mask) {
  u64 address[lane_count];
  w.machine->gather_addresses(w, in, address);
  std::byte* row[lane_count];
  const Mask rows = in.count == 4 ? all_lanes : (Mask{1} << 8 * in.count) - 1;
  w.machine->locate(w, in, Space::shared, address, rows, 16, AccessKind::read, row);
  for (int matrix = 0; matrix < in.count; ++matrix) {
    const auto element = [&](int r, int c) {
      u16 value;
      std::memcpy(&value, row[8 * matrix + r] + 2 * c, sizeof value);
      return u32{value};
    };
    u32 out[lane_count];
    for (int l = 0; l < lane_count; ++l) {
      const int r = l / 4, c = l % 4 * 2;
      out[l] = transposed ? element(c, r) | element(c + 1, r) << 16 : element(r, c) | element(r, c + 1) << 16;
    }
    w.store(in.reg[static_cast<std::size_t>(matrix)], out, all_lanes);
  }
}

bool decode_load_matrix(Decoding& d) {
  if (d.opcode() != "ldmatrix") return false;
  auto& m = d.modifiers;
  auto& in = d.in;
  if (!m.take("sync") || !m.take("aligned") || !m.take("m8n8")) d.fail("unknown variant of an instruction");
  const std::string count = m.take_one_of("x1 x2 x4");
  const bool transposed = m.take("trans");
  if (count.empty() || m.take_one_of("shared shared::cta").empty() || !m.take("b16"))
    d.fail("unknown variant of an instruction");
  m.end();
  d.expect_operands(2, 2);
  in.count = static_cast<u8>(count[1] - '0');
  in.bytes = 16;
  const auto parts = Decoding::parts(d.statement.operands[0]);
  if (parts.size() != in.count) d.fail("another number of registers than matrices");
  for (std::size_t i = 0; i < parts.size(); ++i) in.reg[i] = d.reg(parts[i], 4);
  in.space = Space::shared;
  d.address(d.statement.operands[1]);
  in.control = Control::synchronizing;
  in.execute = transposed ? load_matrix<true> : load_matrix<false>;
  return true;
}

// ---- mma.sync: D = A B + C with A [16, K], B [K, 8], C and D [16, 8] in f32. Lane l holds pieces of rows l
// / 4 (and 8 below) and columns that l % 4 says. reg: D 0..3, A 4..7, B 8..9, C 10..13.

struct Tiles {
  float a[16][16];
  float b[16][8];
};

struct Bf16Pair {
  static float low(u32 x) { return bits_float(x << 16); }
  static float high(u32 x) { return bits_float(x & 0xffff0000u); }
};
struct F16Pair {
  static float low(u32 x) { return f16_float(static_cast<u16>(x)); }
  static float high(u32 x) { return f16_float(static_cast<u16>(x >> 16)); }
};

/// Registers of two 16-bit elements: K is 16, or 8 with half as many registers.
template <class Pair, int K>
void gather_pairs(const Warp& w, const Instruction& in, Tiles& t) {
  for (int half = 0; half < K / 8; ++half) {
    const auto i = static_cast<std::size_t>(half);
    const u32 *upper = w.lanes<u32>(in.reg[4 + 2 * i]), *lower = w.lanes<u32>(in.reg[5 + 2 * i]);
    const u32* b = w.lanes<u32>(in.reg[8 + i]);
    for (int l = 0; l < lane_count; ++l) {
      const int row = l / 4, k = l % 4 * 2 + 8 * half;
      t.a[row][k] = Pair::low(upper[l]);
      t.a[row][k + 1] = Pair::high(upper[l]);
      t.a[row + 8][k] = Pair::low(lower[l]);
      t.a[row + 8][k + 1] = Pair::high(lower[l]);
      t.b[k][row] = Pair::low(b[l]);
      t.b[k + 1][row] = Pair::high(b[l]);
    }
  }
}

/// Registers of one tf32, of which the low 13 bits do not count: K is 8, or 4 with half as many registers.
template <int K>
void gather_tf32(const Warp& w, const Instruction& in, Tiles& t) {
  const auto value = [](u32 x) { return bits_float(x & 0xffffe000u); };
  for (int half = 0; half < K / 4; ++half) {
    const auto i = static_cast<std::size_t>(half);
    const u32 *upper = w.lanes<u32>(in.reg[4 + 2 * i]), *lower = w.lanes<u32>(in.reg[5 + 2 * i]);
    const u32* b = w.lanes<u32>(in.reg[8 + i]);
    for (int l = 0; l < lane_count; ++l) {
      const int row = l / 4, k = l % 4 + 4 * half;
      t.a[row][k] = value(upper[l]);
      t.a[row + 8][k] = value(lower[l]);
      t.b[k][row] = value(b[l]);
    }
  }
}

template <void (*gather)(const Warp&, const Instruction&, Tiles&), int K>
void multiply(Warp& w, const Instruction& in, Mask) {
  Tiles t;
  gather(w, in, t);
  double sums[16][8];
  for (std::size_t i = 0; i < 4; ++i) {
    const float* c = w.lanes<float>(in.reg[10 + i]);
    for (std::size_t l = 0; l < lane_count; ++l) sums[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2] = c[l];
  }
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < K; ++k)
      for (int n = 0; n < 8; ++n)
        sums[row][n] += static_cast<double>(t.a[row][k]) * static_cast<double>(t.b[k][n]);
  for (std::size_t i = 0; i < 4; ++i) {
    float out[lane_count];
    for (std::size_t l = 0; l < lane_count; ++l)
      out[l] = canonical(static_cast<float>(sums[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2]));
    w.store(in.reg[i], out, all_lanes);
  }
}

bool decode_multiply(Decoding& d) {
  if (d.opcode() != "mma") return false;
  auto& in = d.in;
  const std::string name = d.statement.name();
  std::size_t a = 4, b = 2;
  if (name == "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32") {
    in.execute = multiply<gather_pairs<Bf16Pair, 16>, 16>;
  } else if (name == "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32") {
    in.execute = multiply<gather_pairs<F16Pair, 16>, 16>;
  } else if (name == "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32") {
    in.execute = multiply<gather_tf32<8>, 8>;
  } else {
    a = 2;
    b = 1;
    if (name == "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32")
      in.execute = multiply<gather_pairs<Bf16Pair, 8>, 8>;
    else if (name == "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32")
      in.execute = multiply<gather_pairs<F16Pair, 8>, 8>;
    else if (name == "mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32")
      in.execute = multiply<gather_tf32<4>, 4>;
    else
      d.fail("unknown variant of an instruction");
  }
  d.expect_operands(4, 4);
  const auto set = [&](std::size_t operand, std::size_t first, std::size_t count) {
    const auto parts = Decoding::parts(d.statement.operands[operand]);
    if (parts.size() != count) d.fail("another number of registers than the matrix has");
    for (std::size_t i = 0; i < count; ++i) in.reg[first + i] = d.reg(parts[i], 4);
  };
  set(0, 0, 4);
  set(1, 4, a);
  set(2, 8, b);
  set(3, 10, 4);
  in.control = Control::synchronizing;
  return true;
}

}  // namespace

bool decode_tensor(Decoding& d) { return decode_copy(d) || decode_load_matrix(d) || decode_multiply(d); }

}  // namespace gpuemu
