#pragma once
#include <cstdint>
#include <span>
#include <string>

// Private: what compressed entries of zip files need, so that the library needs no other for it.
namespace karyon {

/// Decompresses a deflate stream (RFC 1951) into `out`, which it must fill exactly. Throws Error, which
/// begins with `where`, if the stream is damaged.
void inflate(std::span<const char> in, std::span<char> out, const std::string& where);

/// No deflate stream becomes more than this many times its size: two bits can stand for 258 bytes.
inline constexpr std::uint64_t most_inflation = 1032;

/// The checksum of zip files (CRC-32).
std::uint32_t crc32(std::span<const char> bytes);

}  // namespace karyon
