#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/matmul.h>
#include <karyon/core/kernels/rnn.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/rnn.h>
#include <tuple>
#include <utility>

namespace karyon {
namespace {

constexpr const char* op = "recurrent";

void check_weights(RecurrentCell cell, const Tensor& x, const RecurrentWeights& w) {
  check(x.dtype() == f32 || x.dtype() == f64, op, ": expects f32, f64 or bf16, got ", x.dtype());
  check(x.dim() == 3 && x.size(0) >= 1, op, ": expects x [T, N, I] with at least 1 step, got ", x.shape());
  check(w.weight_hh.dim() == 2 && w.weight_hh.size(0) == kernels::recurrent_gates(cell) * w.weight_hh.size(1),
        op, ": expects weight_hh [", kernels::recurrent_gates(cell), " H, H], got ", w.weight_hh.shape());
  const Shape bias{w.weight_hh.size(0)}, input{w.weight_hh.size(0), x.size(2)};
  check(w.weight_ih.shape() == input, op, ": expects weight_ih ", input, ", got ", w.weight_ih.shape());
  check(w.bias_ih.defined() == w.bias_hh.defined(), op, ": expects both biases, or neither");
  for (const Tensor* p : {&w.bias_ih, &w.bias_hh})
    check(!p->defined() || p->shape() == bias, op, ": expects biases of ", bias, p->defined() ? ", got " : "",
          p->defined() ? p->shape() : Shape());
  for (const Tensor* p : {&w.weight_ih, &w.weight_hh, &w.bias_ih, &w.bias_hh})
    check(!p->defined() || p->dtype() == x.dtype(), op, ": expects weights of x's dtype ", x.dtype());
}

// Units before the first step: zeros if none are given.
Tensor units_of(const char* name, const Tensor& given, const Tensor& x, std::int64_t size) {
  const Shape shape{x.size(1), size};
  if (!given.defined()) return zeros(shape, {.dtype = x.dtype(), .device = x.device()});
  check(given.shape() == shape && given.dtype() == x.dtype(), op, ": expects ", name, " of ", x.dtype(), " ",
        shape, ", got ", given.dtype(), " ", given.shape());
  return given;
}

Tensor empty_as(const Tensor& x, const Shape& shape) {
  return empty(shape, {.dtype = x.dtype(), .device = x.device()});
}
// Element t of the first dimension.
Tensor at(const Tensor& x, std::int64_t t) {
  if (!x.defined()) return {};
  Shape shape;
  for (int d = 1; d < x.dim(); ++d) shape.push_back(x.shape()[d]);
  return view(x, shape, t * shape.numel());
}
void copy_to(Tensor to, const Tensor& from) { to.copy_(from.detach()); }

// The steps of a sequence with its cell, and what backward needs of them.
struct Sequence {
  RecurrentCell cell;
  bool reverse;
  std::int64_t steps, samples, units;

  bool lstm() const { return cell == RecurrentCell::lstm; }
  std::int64_t place(std::int64_t step) const { return reverse ? steps - 1 - step : step; }
  // h before and after each step: hs[0] are the first units. c likewise.
  Tensor states_from(const Tensor& first) const {
    Tensor all = empty_as(first, {steps + 1, samples, units});
    copy_to(at(all, 0), first);
    return all;
  }

  // Fills hs, cs and kept [steps, N, K H] in the order of the steps.
  void run(const Tensor& gx, const Tensor& weight, const Tensor& bias, Tensor& hs, Tensor& cs,
           Tensor& kept) const {
    Tensor gh = empty_as(gx, {samples, gx.size(2)});
    for (std::int64_t t = 0; t < steps; ++t) {
      const Tensor h = at(hs, t), c = at(cs, t);
      Tensor new_h = at(hs, t + 1), new_c = at(cs, t + 1), keep = at(kept, t);
      kernels::matmul(false, true, false, h, weight, gh);
      kernels::recurrent_step(cell, at(gx, place(t)), gh, bias, h, c, keep, new_h, new_c);
    }
  }

  // dh and dc are those after the last step, and become those before the first. dgx is in the order of the
  // input, dgh in that of the steps.
  void run_backward(const Tensor& dy, const Tensor& weight, const Tensor& hs, const Tensor& cs,
                    const Tensor& kept, Tensor& dh, Tensor& dc, Tensor& dgx, Tensor& dgh) const {
    for (std::int64_t t = steps - 1; t >= 0; --t) {
      dh.add_(at(dy, place(t)));
      Tensor of_input = at(dgx, place(t)), of_units = at(dgh, t);
      kernels::recurrent_step_backward(cell, at(kept, t), at(hs, t), at(cs, t), at(hs, t + 1), at(cs, t + 1),
                                       dh, dc, of_input, of_units);
      kernels::matmul(false, false, true, of_units, weight, dh);
    }
  }
};

// [T, N, n] as rows [T N, n], its first T elements.
Tensor rows_of(const Tensor& x, std::int64_t steps) { return view(x, {steps * x.size(1), x.size(2)}); }

// h and c after one step, by operations.
std::pair<Tensor, Tensor> composed_step(RecurrentCell cell, const Tensor& gx, const Tensor& gh,
                                        const Tensor& h, const Tensor& c) {
  const std::int64_t units = h.size(1);
  const auto gate = [&](const Tensor& x, std::int64_t i) { return narrow(x, 1, i * units, units); };
  if (cell == RecurrentCell::gru) {
    const Tensor r = sigmoid(add(gate(gx, 0), gate(gh, 0))), z = sigmoid(add(gate(gx, 1), gate(gh, 1)));
    const Tensor n = tanh(add(gate(gx, 2), mul(r, gate(gh, 2))));
    return {add(n, mul(z, sub(h, n))), c};
  }
  const Tensor all = add(gx, gh);
  if (cell != RecurrentCell::lstm) return {cell == RecurrentCell::rnn_relu ? relu(all) : tanh(all), c};
  const Tensor kept = mul(sigmoid(gate(all, 1)), c), added = mul(sigmoid(gate(all, 0)), tanh(gate(all, 2)));
  const Tensor next = add(kept, added);
  return {mul(sigmoid(gate(all, 3)), tanh(next)), next};
}

// unrolled() by operations, for gradients of gradients. `in` are its tensors.
Tensor composed(const Sequence& s, const std::vector<Tensor>& in) {
  const Tensor weight = transpose(in[3], 0, 1);
  Tensor h = in[1], c = in[2];
  std::vector<Tensor> outputs(static_cast<std::size_t>(s.steps));
  for (std::int64_t t = 0; t < s.steps; ++t) {
    Tensor gh = matmul(h, weight);
    if (in[4].defined()) gh = add(gh, in[4]);
    std::tie(h, c) = composed_step(s.cell, select(in[0], 0, s.place(t)), gh, h, c);
    outputs[static_cast<std::size_t>(s.place(t))] = h;
  }
  if (s.lstm()) outputs.push_back(c);
  return stack(outputs, 0);
}

// What the input gives the gates: a product in bf16 under autocast, then f32.
Tensor input_of_gates(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return widen(linear(x, weight, bias));
}

// The output [T, N, H], and behind it c after the last step of LSTM.
Tensor unrolled(const Sequence& s, const Tensor& x, const Tensor& h0, const Tensor& c0,
                const RecurrentWeights& w) {
  const Tensor gx = input_of_gates(x, w.weight_ih, w.bias_ih), weight = w.weight_hh, bias = w.bias_hh;
  Tensor hs = s.states_from(h0), cs, kept;
  if (s.lstm()) cs = s.states_from(c0);
  if (const auto count = kernels::recurrent_kept(s.cell); count > 0)
    kept = empty_as(gx, {s.steps, s.samples, count * s.units});
  s.run(gx, weight, bias, hs, cs, kept);
  Tensor y = empty_as(gx, {s.steps + (s.lstm() ? 1 : 0), s.samples, s.units});
  for (std::int64_t t = 0; t < s.steps; ++t) copy_to(at(y, s.place(t)), at(hs, t + 1));
  if (s.lstm()) copy_to(at(y, s.steps), at(cs, s.steps));
  return record(
      op, y, {gx, h0, c0, weight, bias}, twice_differentiable,
      [s, hs, cs, kept, gates = gx.size(2), x = SavedTensor(x), weight_ih = SavedTensor(w.weight_ih),
       bias_ih = SavedTensor(w.bias_ih), h0 = SavedTensor(h0), c0 = SavedTensor(c0),
       weight = SavedTensor(weight), bias = SavedTensor(bias), want_weight = weight.requires_grad(),
       want_bias = bias.defined() && bias.requires_grad()](const Tensor& dy) {
        Tensor dh = zeros_like(at(hs, 0)), dc = s.lstm() ? at(dy, s.steps).clone() : Tensor();
        Tensor dgx = empty_as(dy, {s.steps, s.samples, gates}), dgh = empty_like(dgx), dweight, dbias;
        s.run_backward(dy, weight.get(), hs, cs, kept, dh, dc, dgx, dgh);
        if (want_weight) {
          dweight = empty_as(dy, {gates, s.units});
          kernels::matmul(true, false, false, rows_of(dgh, s.steps), rows_of(hs, s.steps), dweight);
        }
        if (want_bias) dbias = sum(rows_of(dgh, s.steps), {0});
        if (!grad_enabled()) return std::vector{dgx, dh, dc, dweight, dbias};
        // What the input gives the gates is not kept: it is computed again.
        return record_gradients(op, {dgx, dh, dc, dweight, dbias}, dy,
                                {input_of_gates(x.get(), weight_ih.get(), bias_ih.get()), h0.get(), c0.get(),
                                 weight.get(), bias.get()},
                                [s](const std::vector<Tensor>& in) { return composed(s, in); });
      });
}

}  // namespace

RecurrentOutput recurrent(RecurrentCell cell, const Tensor& input, const Tensor& first_h,
                          const Tensor& first_c, const RecurrentWeights& weights, bool reverse) {
  const Tensor x = widen(input);
  const RecurrentWeights w{widen(weights.weight_ih), widen(weights.weight_hh), widen(weights.bias_ih),
                           widen(weights.bias_hh)};
  check_weights(cell, x, w);
  const Sequence s{cell, reverse, x.size(0), x.size(1), w.weight_hh.size(1)};
  check(s.lstm() || !first_c.defined(), op, ": expects c for LSTM alone");
  const Tensor h0 = units_of("h", widen(first_h), x, s.units);
  const Tensor c0 = s.lstm() ? units_of("c", widen(first_c), x, s.units) : Tensor();
  const Tensor all = unrolled(s, x, h0, c0, w);
  const Tensor y = s.lstm() ? narrow(all, 0, 0, s.steps) : all;
  const auto as_input = [&](const Tensor& one) { return one.to(input.dtype()); };
  return {as_input(y), as_input(select(y, 0, s.place(s.steps - 1))),
          s.lstm() ? as_input(select(all, 0, s.steps)) : Tensor()};
}

}  // namespace karyon
