#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <karyon/core/distributed/process_group.h>

namespace karyon::distributed {

/// What ranks do together and check, by name. Each throws Error where a result is wrong. They run as threads
/// of one process, and as processes under mpirun.
using Scenario = std::function<void(const std::shared_ptr<ProcessGroup>&)>;
const std::map<std::string, Scenario>& scenarios();

}  // namespace karyon::distributed
