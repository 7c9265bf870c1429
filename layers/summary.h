#pragma once
#include <karyon/layers/module.h>

namespace karyon {

struct Summary {
  /// One call of a module that has no children, in the order of the calls.
  struct Row {
    std::string name = {}, type = {};
    Shape output = {};
    std::int64_t parameters = 0, multiply_adds = 0, activation_bytes = 0;
  };
  std::string type = {};
  Shape input = {};
  std::vector<Row> rows = {};
  std::int64_t parameters = 0;  ///< of the whole module, each once
  std::int64_t multiply_adds = 0;
  std::int64_t activation_bytes = 0;  ///< of all outputs together, as if none were freed
};

/// Runs the module once on zeros of the given shape, in evaluation and without recording, and reports what
/// each layer did. Modes are restored afterwards.
Summary summary(Module& module, const Shape& input);

/// The summary as a table.
std::ostream& operator<<(std::ostream& os, const Summary& summary);

}  // namespace karyon
