#include "report/html.h"

namespace nuclei {

std::string html_escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&': escaped += "&amp;"; break;
      case '<': escaped += "&lt;"; break;
      case '>': escaped += "&gt;"; break;
      case '"': escaped += "&quot;"; break;
      case '\'': escaped += "&#39;"; break;
      default: escaped += c;
    }
  }
  return escaped;
}

std::string html_cell(const std::string& html, const char* style) {
  return std::string("<td") + (*style ? " class=\"" + std::string(style) + "\"" : "") + ">" + html + "</td>";
}

std::string html_head(std::initializer_list<std::string> names) {
  std::string row = "<thead><tr>";
  for (const std::string& name : names) row += "<th scope=\"col\">" + name + "</th>";
  return row + "</tr></thead>";
}

std::string html_section(const char* id, const char* title, const std::string& lead,
                         const std::string& body) {
  return "<section id=\"" + std::string(id) + "\"><h2>" + title + "</h2>\n" +
         (lead.empty() ? "" : "<p class=\"quiet\">" + lead + "</p>\n") + body + "</section>\n";
}

std::string html_card(const std::string& body) { return "<div class=\"card\">" + body + "</div>\n"; }

}  // namespace nuclei
