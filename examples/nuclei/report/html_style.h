#pragma once

namespace nuclei {

/// How the report looks, and what it does when it is touched.
extern const char* const kReportStyle;
extern const char* const kReportScript;

}  // namespace nuclei
