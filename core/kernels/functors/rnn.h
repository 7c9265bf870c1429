#pragma once
#include <karyon/core/kernels/functors/activation.h>

// The cells of recurrent layers, for one unit.
namespace karyon::functors {

/// h' = o tanh(c'), c' = f c + i g.
struct LstmCell {
  template <class T>
  static constexpr void step(const T (&gate)[4], T c, T (&kept)[4], T& new_h, T& new_c) {
    const T i = Sigmoid{}(gate[0]), f = Sigmoid{}(gate[1]), g = Tanh{}(gate[2]), o = Sigmoid{}(gate[3]);
    new_c = f * c + i * g;
    new_h = o * Tanh{}(new_c);
    kept[0] = i, kept[1] = f, kept[2] = g, kept[3] = o;
  }
  template <class T>
  static constexpr void gradient(const T (&kept)[4], T c, T new_c, T& dh, T& dc, T (&dgate)[4]) {
    const T i = kept[0], f = kept[1], g = kept[2], o = kept[3], t = Tanh{}(new_c);
    const T d = dc + dh * o * (1 - t * t);
    dgate[0] = d * g * i * (1 - i);
    dgate[1] = d * c * f * (1 - f);
    dgate[2] = d * i * (1 - g * g);
    dgate[3] = dh * t * o * (1 - o);
    dc = d * f;
    dh = 0;
  }
};

/// h' = (1 - z) n + z h, n = tanh(gx + r gh).
struct GruCell {
  template <class T>
  static constexpr void step(const T (&gx)[3], const T (&gh)[3], T h, T (&kept)[4], T& new_h) {
    const T r = Sigmoid{}(gx[0] + gh[0]), z = Sigmoid{}(gx[1] + gh[1]), n = Tanh{}(gx[2] + r * gh[2]);
    new_h = n + z * (h - n);
    kept[0] = r, kept[1] = z, kept[2] = n, kept[3] = gh[2];
  }
  template <class T>
  static constexpr void gradient(const T (&kept)[4], T h, T& dh, T (&dgx)[3], T (&dgh)[3]) {
    const T r = kept[0], z = kept[1], n = kept[2];
    const T dn = dh * (1 - z) * (1 - n * n);
    dgx[0] = dgh[0] = dn * kept[3] * r * (1 - r);
    dgx[1] = dgh[1] = dh * (h - n) * z * (1 - z);
    dgx[2] = dn;
    dgh[2] = dn * r;
    dh *= z;
  }
};

/// h' = tanh(gate), or max(gate, 0).
struct RnnCell {
  bool relu;
  template <class T>
  constexpr T step(T gate) const {
    return relu ? (gate < 0 ? T(0) : gate) : Tanh{}(gate);
  }
  template <class T>
  constexpr T gradient(T new_h, T dh) const {
    return relu ? (new_h > 0 ? dh : T(0)) : dh * (1 - new_h * new_h);
  }
};

}  // namespace karyon::functors
