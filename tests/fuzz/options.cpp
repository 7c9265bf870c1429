// Command lines: the options of each command with values of all kinds, and any words; settings and sizes as
// text.
#include <nlohmann/json.hpp>

#include <karyon/core/check.h>
#include <karyon/core/parallel.h>

#include "app/command.h"
#include "app/predict.h"
#include "common/error.h"
#include "fuzz.h"
#include "inference/segmenter.h"
#include "training/settings.h"

namespace {

using namespace fuzz;

/// What the program's main() makes a message and an exit code of.
template <class F>
void may_refuse(const F& f) {
  succeeds<CLI::ParseError>([&] {
    succeeds<nuclei::UsageError>([&] { succeeds<nuclei::Failure>([&] { succeeds<karyon::Error>(f); }); });
  });
}

std::string any_value(ByteReader& in) {
  constexpr std::array values{"",
                              "0",
                              "1",
                              "-1",
                              "2",
                              "3.5",
                              "1e308",
                              "-1e308",
                              "nan",
                              "inf",
                              "1e-9",
                              "999999999999999999999",
                              "-9223372036854775807",
                              "auto",
                              "cpu",
                              "cuda",
                              "f32",
                              "bf16",
                              "2GB",
                              "1.5 MiB",
                              "-5KB",
                              "/",
                              "/tmp/x",
                              "--",
                              "-",
                              "png",
                              "none",
                              "true",
                              "=",
                              "default",
                              "[1,2]",
                              "'",
                              "\"",
                              "0x10"};
  return in.byte() % 4 == 0 ? in.text(static_cast<std::size_t>(in.whole(0, 10))) : in.one_of(values);
}

void parse_command_line(ByteReader& in) {
  CLI::App app{"nuclei"};
  app.require_subcommand(1);
  constexpr std::array makers{nuclei::train_command,  nuclei::evaluate_command, nuclei::arrange_command,
                              nuclei::doctor_command, nuclei::predict_command,  nuclei::info_command,
                              nuclei::shrink_command, nuclei::demo_command};
  const auto command = in.one_of(makers)();
  CLI::App& sub = *app.add_subcommand(command->name(), command->description());
  command->add_options(sub);
  const auto options = sub.get_options();
  std::vector<std::string> words{command->name()};
  for (int count = in.whole(0, 10); count > 0; --count) {
    if (in.byte() % 4 > 0 && !options.empty()) {
      const CLI::Option& option =
          *options[static_cast<std::size_t>(in.between(0, static_cast<std::int64_t>(options.size()) - 1))];
      words.push_back(option.get_name() + (in.flag() ? "=" + any_value(in) : ""));
    }
    if (in.byte() % 4 > 0) words.push_back(any_value(in));
  }
  std::reverse(words.begin(), words.end());
  may_refuse([&] { succeeds<std::out_of_range>([&] { app.parse(words); }); });  // command.cpp has a message
  karyon::set_num_threads(1);
}

void read_settings(const std::string& text) {
  nuclei::TrainOptions options;
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) return;
  may_refuse([&] {
    succeeds<nlohmann::json::exception>([&] {
      nuclei::read_settings(json, options);
      nuclei::check_options(options);
      nuclei::network(options);
    });
  });
}

void run(Bytes input) {
  ByteReader in(input);
  switch (in.byte() % 4) {
    case 0: may_refuse([&] { nuclei::parse_size(in.text(40)); }); break;
    case 1: may_refuse([&] { nuclei::thresholds_from(in.text(400)); }); break;
    case 2: read_settings(in.text(1000)); break;
    default: parse_command_line(in);
  }
}

Inputs seeds() {
  Inputs seeds = noise_seeds(48, 40);
  for (Inputs::value_type& seed : seeds) seed.front() = 3;
  for (const char* text : {"2GB", "500 MB", "1.5 KiB", "17"})
    seeds.push_back(to_bytes(std::string(1, '\0') + text));
  seeds.push_back(to_bytes("\1" + nuclei::to_text(nuclei::SegmentOptions{})));
  nlohmann::json settings = nuclei::to_json({.data = {{"/data"}}}, 40);
  for (const nlohmann::json& data : {nlohmann::json("/data"), nlohmann::json{"/data", "/more:0.5"}}) {
    settings["data"] = data;
    seeds.push_back(to_bytes("\2" + settings.dump()));
  }
  return seeds;
}

const Register target{{"options", run, seeds}};

}  // namespace
