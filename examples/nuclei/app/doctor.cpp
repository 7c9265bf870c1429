#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "app/command.h"
#include "common/text.h"
#include "dataset/diagnosis.h"
#include "imageio/atomic_file.h"

namespace nuclei {
namespace {

using Json = nlohmann::json;

/// "ERROR", in colour on a terminal.
std::string headline(Severity severity) {
  static const bool colors = isatty(fileno(stdout)) != 0 && !std::getenv("NO_COLOR");
  const char* color = severity == Severity::error     ? "\x1b[1;31m"
                      : severity == Severity::warning ? "\x1b[1;33m"
                                                      : "\x1b[1m";
  std::string text = name(severity);
  for (char& c : text) c = static_cast<char>(c - 'a' + 'A');
  return colors ? color + text + "\x1b[0m" : text;
}

void print(const Diagnosis& diagnosis, bool all) {
  constexpr std::size_t listed_at_most = 5;
  for (auto first = diagnosis.findings.begin(), last = first; first != diagnosis.findings.end();
       first = last) {
    const Fault& fault = *first->fault;
    while (last != diagnosis.findings.end() && last->fault == &fault) ++last;
    const auto n = static_cast<std::size_t>(last - first);
    std::printf("%s  %s (%zu)\n  why   %s\n  do    %s\n", headline(fault.severity).c_str(), fault.title, n,
                fault.why, fault.remedy);
    const std::size_t listed = all ? n : std::min(n, listed_at_most);
    for (std::size_t i = 0; i < listed; ++i)
      std::printf("    %s: %s\n", printable(first[static_cast<std::ptrdiff_t>(i)].file).c_str(),
                  printable(first[static_cast<std::ptrdiff_t>(i)].what).c_str());
    if (n > listed) std::printf("    ... and %zu more; --all lists them\n", n - listed);
    std::printf("\n");
  }
  const std::size_t errors = diagnosis.count(Severity::error), warnings = diagnosis.count(Severity::warning),
                    notes = diagnosis.count(Severity::note);
  std::printf("%s, %s: %s, %s, %s\n", counted(diagnosis.images, "image").c_str(),
              counted(diagnosis.masks, "mask").c_str(), counted(errors, "error").c_str(),
              counted(warnings, "warning").c_str(), counted(notes, "note").c_str());
  std::printf("%s\n", errors > 0     ? "Repair the errors before training."
                      : warnings > 0 ? "Ready for training; look at the warnings first."
                                     : "Ready for training.");
}

Json to_json(const Diagnosis& diagnosis, const std::filesystem::path& data) {
  Json json = {{"data", data.string()},
               {"images", diagnosis.images},
               {"masks", diagnosis.masks},
               {"errors", diagnosis.count(Severity::error)},
               {"warnings", diagnosis.count(Severity::warning)},
               {"notes", diagnosis.count(Severity::note)},
               {"findings", Json::array()}};
  for (const Finding& finding : diagnosis.findings)
    json["findings"].push_back({{"severity", name(finding.fault->severity)},
                                {"fault", finding.fault->key},
                                {"file", finding.file},
                                {"what", finding.what},
                                {"why", finding.fault->why},
                                {"remedy", finding.fault->remedy}});
  return json;
}

struct Doctor : Command {
  std::filesystem::path data;
  std::filesystem::path json;  // empty: not written
  bool overwrite = false;
  bool all = false;             // list every file, not the first few of each kind
  std::string device = "auto";  // accepted, but nothing here computes on it

  Doctor() : Command("doctor", "say what is wrong with a data set, before training on it") {}

  void add_options(CLI::App& app) override {
    app.add_option("--data", data, "folder in the Data Science Bowl layout")->required();
    app.add_option("--json", json, "write every finding here too");
    app.add_flag("--overwrite", overwrite, "replace a file of --json that doctor did not write");
    app.add_flag("--all", all, "list every file, not the first few of each kind");
    app.footer(
        "Example:\n  nuclei doctor --data my_images\nEnds with 1 if there is an error among the findings.");
    add_threads_and_device(app, device);
  }

  int run() override {
    if (!json.empty()) {
      require_folder_of(json);
      if (!overwrite) require_ours(json, "\"findings\": [");
    }
    const Diagnosis diagnosis = diagnose(data);
    print(diagnosis, all);
    if (!json.empty())
      write_file_atomically(
          json, to_json(diagnosis, data).dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
    return diagnosis.count(Severity::error) == 0 ? 0 : failed;
  }
};

}  // namespace

std::unique_ptr<Command> doctor_command() { return std::make_unique<Doctor>(); }

}  // namespace nuclei
