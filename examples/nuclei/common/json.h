#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "common/error.h"

namespace nuclei {

/// JSON that a file holds; what it is read to has a few times its size, whatever it is.
///   where  the file, for messages
/// Throws Failure if the text is no JSON, or is larger or deeper than anything that this program writes.
nlohmann::json parse_json(std::string_view text, const std::string& where);

/// What read(json) makes of it. Throws Failure where an entry is missing or of another type.
template <class Read>
auto read_json(std::string_view text, const std::string& where, const Read& read) {
  const nlohmann::json json = parse_json(text, where);
  try {
    return read(json);
  } catch (const nlohmann::json::exception&) {
    throw Failure(where + ": damaged: an entry is missing, or of another type");
  }
}

/// JSON in one line. Bytes that are not UTF-8 are replaced; to_utf8() keeps them.
std::string dump(const nlohmann::json& json);

}  // namespace nuclei
