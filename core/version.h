#pragma once

namespace karyon {

/// The version of the library that runs, as "0.1.0".
const char* version();

}  // namespace karyon
