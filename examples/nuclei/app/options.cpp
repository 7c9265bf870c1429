#include "app/options.h"

#include <karyon/core/parallel.h>

#include "inference/segmenter.h"

namespace nuclei {

void add_threads_and_device(CLI::App& app, std::string& device) {
  app.add_option_function<int>(
         "--threads", karyon::set_num_threads,
         "threads to compute with (default: KARYON_NUM_THREADS, or all processors); training "
         "with 2 or more has one more that cuts crops ahead")
      ->check(CLI::Range(1, 1024));
  app.add_option("--device", device, "auto, cpu or cuda")->capture_default_str();
}

void add_precision(CLI::App& app, std::string& precision, const std::string& effect) {
  app.add_option("--precision", precision,
                 "f32, or bf16: products are faster where the processor or GPU has them, " + effect)
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
}

void add_tta(CLI::App& app, bool& tta) {
  app.add_flag("--tta", tta,
               "average over eight turned and mirrored versions: a little better, eight times as slow");
}

void add_zoom(CLI::App& app, int& zoom) {
  app.add_option_function<std::string>(
         "--zoom", [&zoom](const std::string& text) { zoom = text == "auto" ? auto_zoom : text[0] - '0'; },
         "how many times larger the network sees an image: 1, 2, or auto, which is 2 for small nuclei "
         "(median "
         "below " +
             std::to_string(static_cast<int>(small_diameter)) + " pixels) on a dark background")
      ->check(CLI::IsMember({"auto", "1", "2"}))
      ->default_str("auto");
}

void add_channel(CLI::App& app, std::string& channel) {
  app.add_option("--channel", channel, "channel with the nuclei, by number (from 1) or name")
      ->group(choice_group);
}

}  // namespace nuclei
