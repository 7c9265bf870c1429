#pragma once
#include <deque>
#include <string>

#include <karyon/core/ops/rnn.h>
#include <karyon/core/random.h>
#include <karyon/layers/module.h>

namespace karyon {

struct RecurrentLayerOptions {
  std::int64_t num_layers = 1;
  bool bias = true;
  bool batch_first = false;        ///< input and output are [N, T, ...]
  double dropout = 0;              ///< of the outputs of all layers but the last, while training
  bool bidirectional = false;      ///< with a second set of weights that reads from the end
  Generator* generator = nullptr;  ///< draws initial values and dropout; null: default_generator()
};

/// The units of all layers: h, and for LSTM c, [layers * directions, N, H]; the layers in order, in each the
/// directions. Undefined: 0.
struct RecurrentState {
  Tensor h = {}, c = {};
};
struct RecurrentResult {
  Tensor output;         ///< [T, N, directions * H], or [N, T, ...] if batch_first
  RecurrentState state;  ///< after the last step
};

/// What RNN, LSTM and GRU share: recurrent() in layers, with PyTorch's names (weight_ih_l0,
/// bias_hh_l1_reverse) and initial values. A generator must outlive a layer with dropout.
struct Recurrent : Module {
  using Options = RecurrentLayerOptions;

  /// The output alone, from units that are 0.
  Tensor forward(Tensor x) override;
  ///   x  [T, N, I], or [N, T, I] if batch_first; or [T, I]: then all is without N
  RecurrentResult forward(const Tensor& x, const RecurrentState& state);

  const RecurrentCell cell;
  const std::int64_t input_size, hidden_size;
  const Options options;

 protected:
  Recurrent(const char* name, RecurrentCell kind, std::int64_t inputs, std::int64_t units, const Options& o);

 private:
  RecurrentResult run(Tensor x, const RecurrentState& state);

  std::deque<RecurrentWeights> weights_;  // layer by layer, in each by direction; they stay where they are
};

struct LSTM : Recurrent {
  LSTM(std::int64_t inputs, std::int64_t units, const Options& o = {})
      : Recurrent("LSTM", RecurrentCell::lstm, inputs, units, o) {}
  std::unique_ptr<Module> rebuilt() const override;
};

struct GRU : Recurrent {
  GRU(std::int64_t inputs, std::int64_t units, const Options& o = {})
      : Recurrent("GRU", RecurrentCell::gru, inputs, units, o) {}
  std::unique_ptr<Module> rebuilt() const override;
};

enum class Nonlinearity { tanh, relu };

/// With tanh, or with ReLU.
struct RNN : Recurrent {
  RNN(std::int64_t inputs, std::int64_t units, const Options& o = {})
      : RNN(inputs, units, Nonlinearity::tanh, o) {}
  RNN(std::int64_t inputs, std::int64_t units, Nonlinearity f, const Options& o = {})
      : Recurrent("RNN", f == Nonlinearity::relu ? RecurrentCell::rnn_relu : RecurrentCell::rnn_tanh, inputs,
                  units, o) {}
  std::unique_ptr<Module> rebuilt() const override;
};

struct RecurrentCellOptions {
  bool bias = true;
  Generator* generator = nullptr;  ///< draws the initial values; null: default_generator()
};

/// What LSTMCell and GRUCell share: one step, with PyTorch's names (weight_ih, bias_hh).
struct RecurrentStep : Module {
  using Options = RecurrentCellOptions;

  /// h after a step from units that are 0: [N, I] -> [N, H].
  Tensor forward(Tensor x) override;
  ///   x      [N, I]
  ///   state  h, and for LSTM c, [N, H]; undefined: 0
  RecurrentState forward(const Tensor& x, const RecurrentState& state);

  const RecurrentCell cell;
  RecurrentWeights weights;

 protected:
  RecurrentStep(const char* name, RecurrentCell kind, std::int64_t inputs, std::int64_t units,
                const Options& options);
};

struct LSTMCell : RecurrentStep {
  LSTMCell(std::int64_t inputs, std::int64_t units, const Options& options = {})
      : RecurrentStep("LSTMCell", RecurrentCell::lstm, inputs, units, options) {}
  std::unique_ptr<Module> rebuilt() const override;
};

struct GRUCell : RecurrentStep {
  GRUCell(std::int64_t inputs, std::int64_t units, const Options& options = {})
      : RecurrentStep("GRUCell", RecurrentCell::gru, inputs, units, options) {}
  std::unique_ptr<Module> rebuilt() const override;
};

}  // namespace karyon
