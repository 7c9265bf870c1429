#include <limits>

#include <karyon/core/cpu/conv/winograd.h>

namespace karyon::cpu {
namespace {

constexpr std::int64_t few_tiles = 96;                       // are one stage
constexpr std::int64_t most_tiles = 4 * winograd_tile_step;  // in a stage
constexpr std::int64_t widest_vector = 32;

}  // namespace

WinogradTiling::WinogradTiling(std::int64_t output_tile, std::int64_t tile_multiple, std::int64_t n,
                               std::int64_t h_out, std::int64_t w_out)
    : m(output_tile),
      multiple(tile_multiple),
      planes((m + 2) * (m + 2)),
      rows(ceil_div(h_out, m)),
      cols(ceil_div(w_out, m)),
      count(n * rows * cols) {}

WinogradStages WinogradTiling::stages(std::int64_t fit, std::int64_t least) const {
  if (count <= few_tiles) return {1, round_up(count, multiple)};
  const std::int64_t in_steps = fit / winograd_tile_step * winograd_tile_step;
  const std::int64_t wanted = ceil_div(count, std::clamp(in_steps, least, most_tiles));
  const std::int64_t tiles = round_up(ceil_div(count, wanted), multiple);
  return {ceil_div(count, tiles), tiles};
}

WinogradStages WinogradTiling::even(const WinogradStages& stages, std::int64_t chunks) const {
  const std::int64_t tiles = round_up(ceil_div(count, round_up(stages.count, chunks)), multiple);
  return {ceil_div(count, tiles), tiles};
}

WinogradEpilogue::WinogradEpilogue(const Tensor& scale, const Tensor& shift, bool relu, std::int64_t channels)
    : scales(static_cast<std::size_t>(round_up(channels, widest_vector)), 1.0f),
      shifts(scales.size(), 0.0f),
      floor(relu ? 0.0f : -std::numeric_limits<float>::infinity()) {
  if (scale.defined()) std::copy_n(scale.data<float>(), channels, scales.begin());
  if (shift.defined()) std::copy_n(shift.data<float>(), channels, shifts.begin());
}

WinogradEpilogue::WinogradEpilogue(const Tensor& scale, const Tensor& shift, const FinishPlan& last,
                                   const Tensor& y)
    : WinogradEpilogue(scale, shift, last.in_registers == ActivationKind::relu, y.size(-1)) {
  finish = FinishPass(last.after, y);
}

}  // namespace karyon::cpu
