#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include <karyon/core/optim/schedule.h>
#include <karyon/core/random.h>
#include <karyon/layers/module.h>

namespace karyon {

/// What a training needs to go on: what save_checkpoint() writes and load_checkpoint() fills in again. Both
/// take the same parts. A null pointer means that there is no such part.
///
///     std::int64_t epoch = 0;
///     double best = 0;
///     const Checkpoint state{.model = &net,
///                            .optimizer = &adam,
///                            .schedule = &schedule,
///                            .generators = {&default_generator()},
///                            .numbers = {{"epoch", &epoch}, {"best", &best}}};
///     save_checkpoint("last.ckpt", state);
///     load_checkpoint("last.ckpt", state);
struct Checkpoint {
  Module* model = nullptr;
  Module* average = nullptr;  ///< a moving average of the model, see lerp_state_()
  Optimizer* optimizer = nullptr;
  Schedule* schedule = nullptr;
  ReduceLROnPlateau* plateau = nullptr;
  std::vector<Generator*> generators = {};
  /// Numbers of your own by name. Whole numbers keep all their digits, and floating-point ones all their
  /// bits.
  std::map<std::string, std::variant<std::int64_t*, double*>> numbers = {};
  /// Text of your own by name: settings, say.
  std::map<std::string, std::string*> texts = {};
};

/// Writes all parts as one safetensors file, whole or not at all (see save_safetensors). Training modes, and
/// which parameters require a gradient, are not part of it. Throws Error naming the path.
void save_checkpoint(const std::filesystem::path& path, const Checkpoint& parts);

/// Fills the parts with what the file holds. Training then goes on with the same bits. Make the same network,
/// optimizer and schedule first. Throws Error that names the path and what does not fit, and changes nothing
/// then: the file must hold all that is asked for, with the same names, shapes and types, and nothing else.
///   strict  false: the file may hold more parts, which are passed over. The model alone, say.
void load_checkpoint(const std::filesystem::path& path, const Checkpoint& parts, bool strict = true);

}  // namespace karyon
