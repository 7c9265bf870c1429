#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace nuclei {

/// Text as it may stand in HTML, also within quotes.
std::string html_escape(std::string_view text);

/// Elements of the report's page. Their arguments are HTML.
std::string html_cell(const std::string& html, const char* style = "");
/// The head of a table with a cell for each name.
std::string html_head(std::initializer_list<std::string> names);
std::string html_section(const char* id, const char* title, const std::string& lead, const std::string& body);
std::string html_card(const std::string& body);

/// The style sheet and the script of the report's page.
extern const char* const report_style;
extern const char* const report_script;
/// What the Content-Security-Policy knows the script by: SHA-256, base64.
extern const char* const report_script_sha256;

}  // namespace nuclei
