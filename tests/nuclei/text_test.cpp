#include "common/text.h"

#include <catch2/catch.hpp>
#include <limits>

using namespace nuclei;

TEST_CASE("nuclei: numbers are formatted without regard to the locale", "[nuclei][report]") {
  CHECK(fixed(1234.5678, 2) == "1234.57");
  CHECK(fixed(-0.5, 0) == "-0");
  CHECK(fixed(std::numeric_limits<double>::max(), 1).size() == 311);
  CHECK(percent(0.90314) == "90.3 %");
}

TEST_CASE("nuclei: CSV fields are quoted where needed", "[nuclei][report]") {
  CHECK(csv_field("plain name.png") == "plain name.png");
  CHECK(csv_field("a,b") == "\"a,b\"");
  CHECK(csv_field("say \"hi\"") == "\"say \"\"hi\"\"\"");
  CHECK(csv_field("two\nlines") == "\"two\nlines\"");
}

TEST_CASE("nuclei: names in CSV files are no formulas", "[nuclei][report]") {
  CHECK(csv_field("=HYPERLINK(1)") == "'=HYPERLINK(1)");
  CHECK(csv_field("+1") == "'+1");
  CHECK(csv_field("-1.png") == "'-1.png");
  CHECK(csv_field("@SUM") == "'@SUM");
  CHECK(csv_field("\t=1") == "'\t=1");
  CHECK(csv_field("\r=1") == "\"'\r=1\"");
  CHECK(csv_field("\n=1") == "\"'\n=1\"");
  CHECK(csv_field("=1,2") == "\"'=1,2\"");
  CHECK(csv_field("'quoted'") == "''quoted'");  // dropping one apostrophe gives the name
  CHECK(csv_field("a=b") == "a=b");
  CHECK(csv_field("").empty());
}

TEST_CASE("nuclei: foreign text cannot control a terminal", "[nuclei][report]") {
  CHECK(printable("plain name.png") == "plain name.png");
  CHECK(printable("Zellkörper µm 核 😀") == "Zellkörper µm 核 😀");
  CHECK(printable("\x1b[2J\x1b]0;title\a") == "\\x1b[2J\\x1b]0;title\\x07");
  CHECK(printable("two\nlines\tand\r\x7f") == "two\\x0alines\\x09and\\x0d\\x7f");
  CHECK(printable("\xc2\x9b"
                  "31m") == "\\xc2\\x9b31m");  // the C1 form of ESC [
  CHECK(printable("\xe2\x80\xae"
                  "gpj.exe") == "\\xe2\\x80\\xaegpj.exe");  // right to left
  CHECK(printable("\xff\xfe") == "\\xff\\xfe");
  CHECK(printable("\xc3") == "\\xc3");                                      // cut
  CHECK(printable("\xc0\xaf\xed\xa0\x80") == "\\xc0\\xaf\\xed\\xa0\\x80");  // overlong, surrogate
  CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");           // above U+10FFFF
}

TEST_CASE("nuclei: names that are not UTF-8 survive JSON", "[nuclei][report]") {
  for (const std::string name : {"plain", "ü/核.png", "a\xff\xfe.png", "\xe9t\xe9", "cut\xc3", "\x80", ""}) {
    const std::string text = to_utf8(name);
    CHECK(to_utf8(text) == text);  // it is UTF-8
    CHECK(from_utf8(text) == name);
  }
  CHECK(to_utf8("ü.png") == "ü.png");
  CHECK(to_utf8("a\xff") == std::string("a\0ÿ", 4));
}
