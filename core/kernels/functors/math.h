#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

// Functions that the formulas use, written so that loops over them vectorize.
namespace karyon::functors {

/// e^x. For float, 2^n e^r with |r| <= ln(2) / 2 and e^r from its series: free of branches, so that loops
/// over it vectorize; within 2 units in the last place.
template <class T>
constexpr T exponential(T x) {
  if constexpr (std::is_same_v<T, float>) {
    // Beyond these bounds the result is 0 or infinity. NaN passes.
    x = x < -104.0f ? -104.0f : x;
    x = x > 89.0f ? 89.0f : x;
    constexpr float round = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
    const float shifted = x * 1.44269504f + round;
    const float n = shifted - round;
    const float r =
        (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts: the first product is exact
    const float series =
        1 +
        r * (1 + r * (1 / 2.0f +
                      r * (1 / 6.0f + r * (1 / 24.0f + r * (1 / 120.0f + r * (1 / 720.0f + r / 5040.0f))))));
    // Two factors, since 2^n alone may not be a normal number.
    const std::int32_t e = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(round);
    const std::int32_t half = e >> 1;
    const auto power = [](std::int32_t k) {
      return std::bit_cast<float>(static_cast<std::uint32_t>(k + 127) << 23);
    };
    return series * power(half) * power(e - half);
  } else {
    return std::exp(x);
  }
}

/// e^x - 1, which loses nothing near 0. For float, a series there and e^x elsewhere; both are computed, to
/// vectorize.
template <class T>
constexpr T exponential_minus_one(T x) {
  if constexpr (std::is_same_v<T, float>) {
    const float series =
        x + x * x *
                (1 / 2.0f +
                 x * (1 / 6.0f +
                      x * (1 / 24.0f +
                           x * (1 / 120.0f +
                                x * (1 / 720.0f + x * (1 / 5040.0f + x * (1 / 40320.0f + x / 362880.0f)))))));
    return x > -0.7f && x < 0.7f ? series : exponential(x) - 1;
  } else {
    return std::expm1(x);
  }
}

/// log(1 + e) for e in [0, 1]. For float, 2 artanh(e / (2 + e)) by its series, which loses nothing for tiny e
/// and has no branches.
template <class T>
constexpr T log1p_unit(T e) {
  if constexpr (std::is_same_v<T, float>) {
    const float s = e / (2 + e), t = s * s;
    const float tail =
        t *
        (1 / 3.0f +
         t * (1 / 5.0f + t * (1 / 7.0f + t * (1 / 9.0f + t * (1 / 11.0f + t * (1 / 13.0f + t / 15.0f))))));
    return 2 * s * (1 + tail);
  } else {
    return std::log1p(e);
  }
}

/// erfc(x). In float t e^(p(t) - x^2), t = 1 / (1 + |x| / 2), p a minimax fit, which vectorizes: relative
/// error 5e-7 below 1, 1.1e-6 up to 3 and 8e-6 where the result ends at 1e-38.
template <class T>
constexpr T complementary_error(T x) {
  if constexpr (std::is_same_v<T, float>) {
    constexpr float fit[] = {0.144387696f,   -0.678092559f, 1.15092335f,  -0.689517868f, -0.0848629976f,
                             0.00308153951f, 0.0342325266f, 0.386658668f, 0.99863837f,   -1.26544868f};
    const float a = x < 0 ? -x : x, t = 1 / (1 + 0.5f * a);
    float p = fit[0];
    for (int i = 1; i < 10; ++i) p = p * t + fit[i];
    const float right = t * exponential(p - a * a);
    return x < 0 ? 2 - right : right;
  } else {
    return std::erfc(x);
  }
}

}  // namespace karyon::functors
