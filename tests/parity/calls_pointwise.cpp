#include "tables.h"

namespace parity {

const Table pointwise{
    {"floor", unary(floor)},
    {"ceil", unary(ceil)},
    {"round", unary(round)},
    {"trunc", unary(trunc)},
    {"sign", unary(sign)},
    {"square", unary(square)},
    {"reciprocal", unary(reciprocal)},
    {"rsqrt", unary(rsqrt)},
    {"sin", unary(sin)},
    {"cos", unary(cos)},
    {"tan", unary(tan)},
    {"asin", unary(asin)},
    {"acos", unary(acos)},
    {"atan", unary(atan)},
    {"sinh", unary(sinh)},
    {"cosh", unary(cosh)},
    {"log1p", unary(log1p)},
    {"log2", unary(log2)},
    {"log10", unary(log10)},
    {"exp2", unary(exp2)},
    {"expm1", unary(expm1)},
    {"erf", unary(erf)},
    {"isnan", unary(isnan)},
    {"isinf", unary(isinf)},
    {"isfinite", unary(isfinite)},
    {"logical_not", unary(logical_not)},
    {"logical_and", binary(logical_and)},
    {"logical_or", binary(logical_or)},
    {"logical_xor", binary(logical_xor)},
    {"remainder", binary(remainder)},
    {"remainder_number", with_number(remainder)},
    {"fmod", binary(fmod)},
    {"fmod_number", with_number(fmod)},
    {"atan2", binary(atan2)},
    {"lerp", [](const Call& c) { return lerp(c[0], c[1], c[2]); }},
    {"lerp_number", [](const Call& c) { return lerp(c[0], c[1], c.number("value")); }},
    {"gelu",
     [](const Call& c) {
       return gelu(c[0], {c.flag("tanh") ? GeluApproximate::tanh : GeluApproximate::none});
     }},
    {"relu6", unary(relu6)},
    {"hardsigmoid", unary(hardsigmoid)},
    {"hardswish", unary(hardswish)},
    {"selu", unary(selu)},
    {"mish", unary(mish)},
    {"logsigmoid", unary(logsigmoid)},
    {"softsign", unary(softsign)},
    {"elu", with_number(elu)},
    {"celu", with_number(celu)},
    {"hardtanh", [](const Call& c) { return hardtanh(c[0], c.number("low"), c.number("high")); }},
    {"prelu", binary(prelu)},
    {"glu", [](const Call& c) { return glu(c[0], dim(c)); }},
};

const Table losses{
    {"nll_loss",
     [](const Call& c) {
       return nll_loss(
           c[0], c[1],
           {.weight = c[2], .ignore_index = c.integer("ignore_index"), .reduction = reduction_of(c)});
     }},
    {"huber_loss",
     [](const Call& c) {
       return huber_loss(c[0], c[1], {.delta = c.number("delta"), .reduction = reduction_of(c)});
     }},
    {"smooth_l1_loss",
     [](const Call& c) {
       return smooth_l1_loss(c[0], c[1], {.beta = c.number("beta"), .reduction = reduction_of(c)});
     }},
    {"kl_div",
     [](const Call& c) {
       return kl_div(c[0], c[1],
                     {.log_target = c.flag("log_target"),
                      .batchmean = c.flag("batchmean"),
                      .reduction = reduction_of(c)});
     }},
    {"binary_cross_entropy",
     [](const Call& c) {
       return binary_cross_entropy(c[0], c[1], {.weight = c[2], .reduction = reduction_of(c)});
     }},
    {"cosine_similarity",
     [](const Call& c) { return cosine_similarity(c[0], c[1], {.dim = dim(c), .eps = c.number("eps")}); }},
    {"cosine_embedding_loss",
     [](const Call& c) {
       return cosine_embedding_loss(c[0], c[1], c[2],
                                    {.margin = c.number("margin"), .reduction = reduction_of(c)});
     }},
};

}  // namespace parity
