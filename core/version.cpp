#include <karyon/core/version.h>

namespace karyon {

const char* version() { return KARYON_VERSION; }

}  // namespace karyon
