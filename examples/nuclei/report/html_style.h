#pragma once

namespace nuclei {

/// How the report looks, and what it does when it is touched.
extern const char* const report_style;
extern const char* const report_script;

}  // namespace nuclei
