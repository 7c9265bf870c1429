#pragma once
#include <karyon/layers/linear.h>
#include <karyon/models/backbone.h>
#include <karyon/models/parts.h>

namespace karyon {

/// What gives the widths of a RegNet's blocks: w_0 + w_a i for block i, rounded to w_0 w_m^k and then to
/// multiples of 8.
struct RegNetOptions {
  std::int64_t num_classes = 1000;  ///< 0: without the last layers, for features alone
  std::int64_t in_channels = 3;
  std::int64_t depth = 16;
  std::int64_t w_0 = 48;
  double w_a = 27.89, w_m = 2.09;
  std::int64_t group_width = 8;
  double se_ratio = 0.25;  ///< 0: without squeeze-and-excitation (RegNet-X)
};

/// RegNet-X and RegNet-Y (Radosavovic et al., 2020).
///
///   stem                              3x3 with stride 2
///   trunk_output.blockS.blockS-N      bottlenecks: proj, f.a, f.b, f.se, f.c
///   fc                                logits
struct RegNet : Backbone {
  using Options = RegNetOptions;

  explicit RegNet(const Options& options = {});
  std::array<std::int64_t, 5> feature_channels() const override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  ConvNormActivation stem;
  std::unique_ptr<Linear> fc;  // null without classes

 protected:
  Tensor extract(Tensor x, std::vector<Tensor>* pyramid) override;
  Tensor classify(Tensor x) override;

 private:
  NamedSequence trunk_;
  std::array<std::int64_t, 5> channels_{};
};

RegNetOptions regnet_y_400mf();
RegNetOptions regnet_y_800mf();
RegNetOptions regnet_y_1_6gf();
RegNetOptions regnet_x_400mf();

}  // namespace karyon
