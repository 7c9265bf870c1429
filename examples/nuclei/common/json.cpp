#include "common/json.h"

namespace nuclei {

using Json = nlohmann::json;

// A list of empty lists takes twenty times the memory of its text, so lists are counted.
Json parse_json(std::string_view text, const std::string& where) {
  constexpr std::size_t most_bytes = std::size_t{16} << 20, most_containers = 200'000;
  constexpr int deepest = 8;
  if (text.size() > most_bytes)
    throw Failure(where + ": damaged: " + std::to_string(text.size()) + " bytes of settings");
  std::size_t containers = 0;
  const auto check = [&](int depth, Json::parse_event_t event, Json&) {
    const bool opens =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && (++containers > most_containers || depth >= deepest))
      throw Failure(where + ": damaged: lists in lists without end");
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::parse_error& e) {
    throw Failure(where + ": damaged: no JSON at byte " + std::to_string(e.byte));
  } catch (const Json::out_of_range&) {
    throw Failure(where + ": damaged: a number that is too large");
  }
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace nuclei
