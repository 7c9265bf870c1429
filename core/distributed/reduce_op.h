#pragma once

namespace karyon::distributed {

/// How values of the ranks become one.
enum class ReduceOp { sum, avg, min, max };

}  // namespace karyon::distributed
