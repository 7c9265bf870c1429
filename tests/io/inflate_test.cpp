#include <catch2/catch.hpp>
#include <string>

#include <karyon/core/check.h>
#include <karyon/core/format/inflate.h>

using namespace karyon;

namespace {

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

std::string inflated(const std::string& stream, std::size_t bytes) {
  std::string out(bytes, '?');
  inflate(stream, out, "here: ");
  return out;
}

// What zlib makes of these texts: with fixed codes, with codes of its own, and stored.
const std::string fixed = from_hex("2bc94855284ecc4d5528cf2f4a295648cc4b51284111d241e30f7a2500");
const std::string own_codes = from_hex(
    "5d90510a45210844d7a629971b1884fbdfcbb351bcf1ce5f5467862166559dc13e0cb0127137b337783edec4dc45e4bcc20f7cde"
    "335166"
    "2262863ae5a58f80d04a88a14ef9a70fadd9b9132979e92320b4aac74954f2d247007aa3b194bcf411d0a571cc3b49167aa3b196"
    "bcf411"
    "80de3d490d92387aff2d52798ede3d490d92307af724fb5a7c2cf4ee499e9b17bd7b92712dbe277af7247a2d3ef70f");
const std::string stored = from_hex("010600f9ff73746f726564");

std::string fixed_text() {
  std::string text;
  for (int i = 0; i < 6; ++i) text += "the same words and the same words, ";
  return text;
}
std::string own_text() {
  std::string text;
  for (int i = 0; i < 120; ++i)
    text += std::string(static_cast<std::size_t>(1 + i % 7), static_cast<char>(65 + i * i % 23));
  return text;
}

}  // namespace

TEST_CASE("inflate: blocks of every kind") {
  CHECK(inflated(fixed, fixed_text().size()) == fixed_text());
  CHECK(inflated(own_codes, own_text().size()) == own_text());
  CHECK(inflated(stored, 6) == "stored");
  std::string two = stored + fixed;
  two[0] = 0;  // not the last block
  CHECK(inflated(two, 6 + fixed_text().size()) == "stored" + fixed_text());
  CHECK(inflated(from_hex("010000ffff"), 0).empty());
}

TEST_CASE("inflate: streams of another length, cut or damaged are errors, never a crash") {
  for (const auto& [stream, text] : {std::pair{fixed, fixed_text()}, std::pair{own_codes, own_text()},
                                     std::pair{stored, std::string("stored")}}) {
    CHECK_THROWS_WITH(inflated(stream, text.size() + 1), "here: the compressed data end early: damaged");
    CHECK_THROWS_WITH(inflated(stream, text.size() - 1), "here: the compressed data are damaged");
    for (std::size_t n = 0; n < stream.size(); ++n)
      CHECK_THROWS_AS(inflated(stream.substr(0, n), text.size()), Error);
    int refused = 0;
    for (std::size_t i = 0; i < stream.size(); ++i)
      for (int bit = 0; bit < 8; ++bit) {
        std::string damaged = stream;
        damaged[i] = static_cast<char>(damaged[i] ^ 1 << bit);
        try {
          inflated(damaged, text.size());
        } catch (const Error&) {
          ++refused;
        }
      }
    CHECK(refused > 0);
  }
  CHECK_THROWS_AS(inflated(from_hex("07"), 1), Error);          // a kind of block that does not exist
  CHECK_THROWS_AS(inflated(from_hex("010600f8ff"), 6), Error);  // the length and its complement differ
  CHECK_THROWS_AS(inflated(from_hex("0302"), 3), Error);        // a match before the first byte
}

TEST_CASE("crc32: the checksum of zip files") {
  CHECK(crc32(std::string("123456789")) == 0xcbf43926u);
  CHECK(crc32(std::string()) == 0);
  CHECK(crc32(std::string("a")) == 0xe8b7be43u);
}
