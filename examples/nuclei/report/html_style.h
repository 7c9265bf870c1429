#pragma once

namespace nuclei {

/// The style sheet and the script of the report's page.
extern const char* const report_style;
extern const char* const report_script;

}  // namespace nuclei
