#include <karyon/core/cpu/pool_rows.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/pool_rows.cpp"
#include <karyon/core/cpu/simd/foreach.h>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace karyon::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
constexpr D d;
constexpr hn::RebindToUnsigned<D> d_bits;
constexpr hn::Rebind<std::uint16_t, D> d_half;
constexpr hn::Rebind<std::uint8_t, D> d_byte;
using Bits = hn::Vec<decltype(d_bits)>;

HWY_INLINE Bits get(const BFloat16* from) {
  return hn::ShiftLeft<16>(
      hn::PromoteTo(d_bits, hn::LoadU(d_half, reinterpret_cast<const std::uint16_t*>(from))));
}
HWY_INLINE void put(Bits value, BFloat16* to) {
  hn::StoreU(hn::TruncateTo(d_half, hn::ShiftRight<16>(value)), d_half, reinterpret_cast<std::uint16_t*>(to));
}
// The mask of x > best or x NaN.
HWY_INLINE auto wins(Bits x, Bits best) {
  const auto value = hn::BitCast(d, x);
  return hn::RebindMask(d_bits, hn::Or(hn::Gt(value, hn::BitCast(d, best)), hn::IsNaN(value)));
}

void row(const BFloat16* top, const BFloat16* bottom, std::int64_t outputs, std::int64_t c, BFloat16* y,
         std::uint8_t* index) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t o = 0; o < outputs; ++o, top += 2 * c, bottom += 2 * c, y += c, index += c) {
    const BFloat16* taps[4] = {top, top + c, bottom, bottom + c};
    std::int64_t k = 0;
    for (; k + lanes <= c; k += lanes) {
      Bits best = get(taps[0] + k), won = hn::Zero(d_bits);
      for (std::uint32_t i = 1; i < 4; ++i) {
        const Bits x = get(taps[i] + k);
        const auto better = wins(x, best);
        best = hn::IfThenElse(better, x, best);
        won = hn::IfThenElse(better, hn::Set(d_bits, i), won);
      }
      put(best, y + k);
      hn::StoreU(hn::TruncateTo(d_byte, won), d_byte, index + k);
    }
    for (; k < c; ++k) {
      int won = 0;
      for (int i = 1; i < 4; ++i) {
        const auto x = static_cast<float>(taps[i][k]);
        if (x > static_cast<float>(taps[won][k]) || x != x) won = i;
      }
      y[k] = taps[won][k];
      index[k] = static_cast<std::uint8_t>(won);
    }
  }
}

// The sum rounded, as BFloat16's constructor does it.
HWY_INLINE void add_to(Bits value, BFloat16* to) {
  const auto sum = hn::Add(hn::BitCast(d, get(to)), hn::BitCast(d, value));
  const auto bits = hn::BitCast(d_bits, sum), odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d_bits, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(d_bits, 0x7fff)));
  const auto nan = hn::RebindMask(d_bits, hn::IsNaN(sum));
  put(hn::IfThenElse(nan, hn::Or(bits, hn::Set(d_bits, 0x400000)), rounded), to);
}

void add_row_backward(const BFloat16* dy, const std::uint8_t* index, std::int64_t outputs, std::int64_t c,
                      int left, BFloat16* dx) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t o = 0; o < outputs; ++o, dy += c, index += c, dx += 2 * c)
    for (int i = 0; i < 2; ++i) {
      BFloat16* to = dx + i * c;
      const auto tap = static_cast<std::uint32_t>(left + i);
      std::int64_t k = 0;
      for (; k + lanes <= c; k += lanes) {
        const auto won = hn::Eq(hn::PromoteTo(d_bits, hn::LoadU(d_byte, index + k)), hn::Set(d_bits, tap));
        add_to(hn::IfThenElseZero(won, get(dy + k)), to + k);
      }
      for (; k < c; ++k)
        if (index[k] == tap) to[k] = BFloat16(static_cast<float>(to[k]) + static_cast<float>(dy[k]));
    }
}

void row_backward(const BFloat16* dy, const std::uint8_t* index, std::int64_t outputs, std::int64_t c,
                  int left, BFloat16* dx) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d_half));
  for (std::int64_t o = 0; o < outputs; ++o, dy += c, index += c, dx += 2 * c)
    for (int i = 0; i < 2; ++i) {
      BFloat16* to = dx + i * c;
      const auto tap = static_cast<std::uint16_t>(left + i);
      std::int64_t k = 0;
      for (; k + lanes <= c; k += lanes) {
        const auto won = hn::Eq(hn::PromoteTo(d_half, hn::LoadU(d_byte, index + k)), hn::Set(d_half, tap));
        const auto grad = hn::LoadU(d_half, reinterpret_cast<const std::uint16_t*>(dy + k));
        hn::StoreU(hn::IfThenElseZero(won, grad), d_half, reinterpret_cast<std::uint16_t*>(to + k));
      }
      for (; k < c; ++k) to[k] = index[k] == tap ? dy[k] : BFloat16();
    }
}

}  // namespace karyon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karyon::cpu {
namespace {

HWY_EXPORT(row);
HWY_EXPORT(row_backward);
HWY_EXPORT(add_row_backward);

}  // namespace

void max_pool_row(const BFloat16* top, const BFloat16* bottom, std::int64_t outputs, std::int64_t c,
                  BFloat16* y, std::uint8_t* index) {
  HWY_DYNAMIC_DISPATCH(row)(top, bottom, outputs, c, y, index);
}
void max_pool_row_backward(const BFloat16* dy, const std::uint8_t* index, std::int64_t outputs,
                           std::int64_t c, int left, BFloat16* dx) {
  HWY_DYNAMIC_DISPATCH(row_backward)(dy, index, outputs, c, left, dx);
}
void add_max_pool_row_backward(const BFloat16* dy, const std::uint8_t* index, std::int64_t outputs,
                               std::int64_t c, int left, BFloat16* dx) {
  HWY_DYNAMIC_DISPATCH(add_row_backward)(dy, index, outputs, c, left, dx);
}

}  // namespace karyon::cpu
#endif
