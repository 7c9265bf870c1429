// Names that files may have and that terminals, spreadsheets and JSON cannot take as they are.
#include <catch2/catch.hpp>

#include <karyon/karyon.h>

#include "program.h"
#include "workplace.h"

namespace fs = std::filesystem;
using Catch::Contains;
using karyon::test::read_file;
using karyon::test::write_file;
using nuclei::test::Result;
using nuclei::test::shell;
using nuclei::test::Workplace;

namespace {

std::string in_quotes(const fs::path& path) { return "'" + path.string() + "'"; }

}  // namespace

TEST_CASE("nuclei: escape sequences in names do not reach the terminal") {
  const Workplace w;
  const std::string evil = "\x1b[31mred\nline";
  const auto harmless = [&](const Result& r) {
    CHECK_THAT(r.text, !Contains("\x1b") && Contains("\\x1b[31mred\\x0aline"));
  };
  const fs::path picture = w.root / (evil + ".png"), broken = w.root / (evil + "2.png");
  fs::copy_file(w.a_picture(), picture);
  write_file(broken, "no picture");
  harmless(shell(w.predict(in_quotes(picture))));
  harmless(shell(w.predict("--overwrite " + in_quotes(broken))));
  harmless(shell("$nuclei doctor --data " + in_quotes(w.root / evil)));
  CHECK_THAT(shell("$nuclei predict x " + in_quotes("--" + evil)).text, Contains("--\\x1b[31mred"));

  write_file(w.data / "synthetic-00000/masks" / (evil + ".png"), "no picture");
  harmless(shell("$nuclei doctor --data " + w.data.string()));

  const fs::path model = w.root / "foreign.safetensors";
  karyon::save_safetensors(model, {.tensors = {{evil, karyon::ones({1})}}, .metadata = {{evil, evil}}});
  harmless(shell("$nuclei info " + model.string()));
}
