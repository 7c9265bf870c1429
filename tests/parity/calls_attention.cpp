#include "tables.h"

namespace parity {

namespace {

std::optional<double> optional_number(const Call& c, const char* key) {
  return c.has(key) ? std::optional(c.number(key)) : std::nullopt;
}
std::optional<std::int64_t> optional_integer(const Call& c, const char* key) {
  return c.has(key) ? std::optional(c.integer(key)) : std::nullopt;
}

}  // namespace

const Table attention{
    {"scaled_dot_product_attention",
     [](const Call& c) {
       return scaled_dot_product_attention(c[0], c[1], c[2],
                                           {.attn_mask = c[3],
                                            .is_causal = c.flag("is_causal"),
                                            .scale = optional_number(c, "scale"),
                                            .enable_gqa = c.flag("enable_gqa")});
     }},
    {"embedding",
     [](const Call& c) {
       return embedding(c[0], c[1], {.padding_idx = optional_integer(c, "padding_idx")});
     }},
    {"one_hot", [](const Call& c) { return one_hot(c[0], c.integer("num_classes")); }},
    {"rms_norm",
     [](const Call& c) {
       return rms_norm(c[0], c.shape("normalized_shape"), c[1], {.eps = c.number("eps")});
     }},
};

}  // namespace parity
