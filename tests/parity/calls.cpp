#include "tables.h"

#include <cstdlib>
#include <functional>
#include <optional>
#include <sstream>
#include <stdexcept>

#include <karyon/karyon.h>

namespace parity {

using namespace karyon;

namespace {

std::vector<double> numbers(const std::string& text) {
  std::vector<double> all;
  std::istringstream in(text);
  for (std::string one; std::getline(in, one, ',');) all.push_back(std::strtod(one.c_str(), nullptr));
  return all;
}

Operation reduction(Tensor (*f)(const Tensor&, const std::vector<int>&, bool)) {
  return [f](const Call& c) { return f(c[0], c.dims("dims"), c.flag("keepdim")); };
}
Operation in_place(Tensor& (Tensor::*f)(const Tensor&)) {
  return [f](const Call& c) {
    Tensor x = c[0].clone();
    return (x.*f)(c[1]);
  };
}
Operation in_place_number(Tensor& (Tensor::*f)(double)) {
  return [f](const Call& c) {
    Tensor x = c[0].clone();
    return (x.*f)(c.number("value"));
  };
}
std::vector<Tensor> both(const ValuesAndIndices& found) { return {found.values, found.indices}; }
VarOptions moments(const Call& c) {
  return {.correction = c.number("correction"), .keepdim = c.flag("keepdim")};
}
const Table elementwise{
    {"add", binary(add)},
    {"sub", binary(sub)},
    {"mul", binary(mul)},
    {"div", binary(div)},
    {"pow", binary(pow)},
    {"maximum", binary(maximum)},
    {"minimum", binary(minimum)},
    {"eq", binary(eq)},
    {"ne", binary(ne)},
    {"lt", binary(lt)},
    {"le", binary(le)},
    {"gt", binary(gt)},
    {"ge", binary(ge)},
    {"add_number", with_number(add)},
    {"sub_number", with_number(operator-)},
    {"mul_number", with_number(mul)},
    {"div_number", with_number(operator/)},
    {"pow_number", with_number(pow)},
    {"eq_number", with_number(eq)},
    {"ne_number", with_number(ne)},
    {"lt_number", with_number(lt)},
    {"le_number", with_number(le)},
    {"gt_number", with_number(gt)},
    {"ge_number", with_number(ge)},
    {"number_sub", [](const Call& c) { return c.number("value") - c[0]; }},
    {"number_div", [](const Call& c) { return c.number("value") / c[0]; }},
    {"neg", unary(neg)},
    {"exp", unary(exp)},
    {"log", unary(log)},
    {"sqrt", unary(sqrt)},
    {"abs", unary(abs)},
    {"relu", unary(relu)},
    {"sigmoid", unary(sigmoid)},
    {"tanh", unary(tanh)},
    {"silu", unary(silu)},
    {"leaky_relu", with_number(leaky_relu)},
    {"softplus",
     [](const Call& c) {
       return softplus(c[0], {.beta = c.number("beta"), .threshold = c.number("threshold")});
     }},
    {"clamp", [](const Call& c) { return clamp(c[0], c.number("low"), c.number("high")); }},
    {"where", [](const Call& c) { return where(c[0], c[1], c[2]); }},
    {"sum_to", [](const Call& c) { return sum_to(c[0], c.shape("size")); }},
    {"dropout", [](const Call& c) { return dropout(c[0], c.number("p"), c.flag("training")); }},
    {"to", [](const Call& c) { return c[0].to(static_cast<DType>(c.integer("dtype"))); }},
    {"clone", [](const Call& c) { return c[0].clone(); }},
};

const Table changes{
    {"iadd", in_place(&Tensor::operator+=)},
    {"isub", in_place(&Tensor::operator-=)},
    {"imul", in_place(&Tensor::operator*=)},
    {"idiv", in_place(&Tensor::operator/=)},
    {"iadd_number", in_place_number(&Tensor::operator+=)},
    {"isub_number", in_place_number(&Tensor::operator-=)},
    {"imul_number", in_place_number(&Tensor::operator*=)},
    {"idiv_number", in_place_number(&Tensor::operator/=)},
};

const Table layout{
    {"cat", [](const Call& c) { return cat(c.inputs(), dim(c)); }},
    {"stack", [](const Call& c) { return stack(c.inputs(), dim(c)); }},
    {"narrow", [](const Call& c) { return narrow(c[0], dim(c), c.integer("start"), c.integer("length")); }},
    {"split", [](const Call& c) { return split(c[0], c.integer("size"), dim(c)); }},
    {"split_sizes", [](const Call& c) { return split(c[0], c.integers("sizes"), dim(c)); }},
    {"permute", [](const Call& c) { return permute(c[0], c.dims("order")); }},
    {"transpose", [](const Call& c) { return transpose(c[0], dim(c, "dim0"), dim(c, "dim1")); }},
    {"select", [](const Call& c) { return select(c[0], dim(c), c.integer("index")); }},
    {"reshape", [](const Call& c) { return reshape(c[0], c.shape("size")); }},
};

std::optional<int> optional_dim(const Call& c) { return c.has("dim") ? std::optional(dim(c)) : std::nullopt; }

const Table shapes{
    {"squeeze", [](const Call& c) { return c.has("dims") ? squeeze(c[0], c.dims("dims")) : squeeze(c[0]); }},
    {"unsqueeze", [](const Call& c) { return unsqueeze(c[0], dim(c)); }},
    {"flatten", [](const Call& c) { return flatten(c[0], dim(c, "start"), dim(c, "end")); }},
    {"unflatten", [](const Call& c) { return unflatten(c[0], dim(c), c.shape("sizes")); }},
    {"swapaxes", [](const Call& c) { return swapaxes(c[0], dim(c, "dim0"), dim(c, "dim1")); }},
    {"movedim", [](const Call& c) { return movedim(c[0], c.dims("from"), c.dims("to")); }},
    {"expand", [](const Call& c) { return expand(c[0], c.shape("size")); }},
    {"repeat", [](const Call& c) { return repeat(c[0], c.shape("repeats")); }},
    {"tile", [](const Call& c) { return tile(c[0], c.shape("repeats")); }},
    {"repeat_interleave",
     [](const Call& c) { return repeat_interleave(c[0], c.integer("count"), optional_dim(c)); }},
    {"repeat_each",
     [](const Call& c) { return repeat_interleave(c[0], c.integers("counts"), optional_dim(c)); }},
    {"meshgrid",
     [](const Call& c) { return meshgrid(c.inputs(), c.flag("xy") ? GridIndexing::xy : GridIndexing::ij); }},
    {"flip", [](const Call& c) { return flip(c[0], c.dims("dims")); }},
    {"roll",
     [](const Call& c) {
       return c.has("dims") ? roll(c[0], c.integers("shifts"), c.dims("dims"))
                            : roll(c[0], c.integer("shifts"));
     }},
    {"tril", [](const Call& c) { return tril(c[0], c.integer("diagonal")); }},
    {"triu", [](const Call& c) { return triu(c[0], c.integer("diagonal")); }},
    {"diagonal",
     [](const Call& c) { return diagonal(c[0], c.integer("offset"), dim(c, "dim1"), dim(c, "dim2")); }},
    {"chunk", [](const Call& c) { return chunk(c[0], c.integer("chunks"), dim(c)); }},
    {"unbind", [](const Call& c) { return unbind(c[0], dim(c)); }},
    {"hstack", [](const Call& c) { return hstack(c.inputs()); }},
    {"vstack", [](const Call& c) { return vstack(c.inputs()); }},
};

TensorOptions type_of(const Call& c) { return {.dtype = static_cast<DType>(c.integer("dtype"))}; }

const Table factories{
    {"arange",
     [](const Call& c) {
       return arange_of(c.integer("start"), c.integer("end"), c.integer("step"), type_of(c));
     }},
    {"arange_real",
     [](const Call& c) {
       return arange_of(c.number("start"), c.number("end"), c.number("step"), type_of(c));
     }},
    {"linspace",
     [](const Call& c) {
       return linspace(c.number("start"), c.number("end"), c.integer("steps"), type_of(c));
     }},
    {"eye", [](const Call& c) { return eye(c.integer("rows"), c.integer("columns"), type_of(c)); }},
    {"full_like", with_number(full_like)},
};

constexpr std::int64_t open_end = std::int64_t{1} << 52;

// The indices that options and inputs from 1 on describe.
std::vector<TensorIndex> brackets(const Call& c) {
  std::vector<TensorIndex> all;
  const auto numbers = c.integers("numbers");
  std::size_t number = 0, input = 1;
  const auto end = [&]() -> std::optional<std::int64_t> {
    const std::int64_t at = numbers.at(number++);
    return at == open_end ? std::nullopt : std::optional(at);
  };
  for (const std::int64_t kind : c.integers("kinds")) {
    if (kind == 0) all.push_back(indexing::none);
    if (kind == 1) all.push_back(indexing::ellipsis);
    if (kind == 2) all.push_back(numbers.at(number++));
    if (kind == 3) {
      const auto start = end(), stop = end(), step = end();
      all.push_back(Slice(start, stop, step));
    }
    if (kind == 4) all.push_back(c[input++]);
  }
  return all;
}

const Table indices{
    {"index", [](const Call& c) { return index(c[0], brackets(c)); }},
    {"index_put", [](const Call& c) { return index_put(c[0], brackets(c), c.inputs().back()); }},
    {"index_put_number", [](const Call& c) { return index_put(c[0], brackets(c), c.number("value")); }},
    {"index_select", [](const Call& c) { return index_select(c[0], dim(c), c[1]); }},
    {"gather", [](const Call& c) { return gather(c[0], dim(c), c[1]); }},
    {"scatter", [](const Call& c) { return scatter(c[0], dim(c), c[1], c[2]); }},
    {"scatter_number", [](const Call& c) { return scatter(c[0], dim(c), c[1], c.number("value")); }},
    {"scatter_add", [](const Call& c) { return scatter_add(c[0], dim(c), c[1], c[2]); }},
    {"take_along_dim", [](const Call& c) { return take_along_dim(c[0], c[1], optional_dim(c)); }},
    {"masked_fill", [](const Call& c) { return masked_fill(c[0], c[1], c[2]); }},
    {"masked_fill_number", [](const Call& c) { return masked_fill(c[0], c[1], c.number("value")); }},
    {"masked_select", binary(masked_select)},
    {"nonzero", unary(nonzero)},
};

const Table reductions{
    {"sum", reduction(sum)},
    {"mean", reduction(mean)},
    {"amax", reduction(amax)},
    {"argmax", [](const Call& c) { return argmax(c[0], dim(c), c.flag("keepdim")); }},
    {"amin", reduction(amin)},
    {"argmin", [](const Call& c) { return argmin(c[0], dim(c), c.flag("keepdim")); }},
    {"max_along", [](const Call& c) { return both(max(c[0], dim(c), c.flag("keepdim"))); }},
    {"min_along", [](const Call& c) { return both(min(c[0], dim(c), c.flag("keepdim"))); }},
    {"any", reduction(any)},
    {"all", reduction(all)},
    {"count_nonzero", [](const Call& c) { return count_nonzero(c[0], c.dims("dims")); }},
    {"prod", reduction(prod)},
    {"logsumexp", reduction(logsumexp)},
    {"var", [](const Call& c) { return var(c[0], c.dims("dims"), moments(c)); }},
    {"std", [](const Call& c) { return karyon::std(c[0], c.dims("dims"), moments(c)); }},
    {"var_mean",
     [](const Call& c) {
       const auto [variance, average] = var_mean(c[0], c.dims("dims"), moments(c));
       return std::vector{variance, average};
     }},
    {"norm", [](const Call& c) { return norm(c[0], c.number("p"), c.dims("dims"), c.flag("keepdim")); }},
    {"cumsum", [](const Call& c) { return cumsum(c[0], dim(c)); }},
    {"cumprod", [](const Call& c) { return cumprod(c[0], dim(c)); }},
    {"cummax", [](const Call& c) { return both(cummax(c[0], dim(c))); }},
    {"cummin", [](const Call& c) { return both(cummin(c[0], dim(c))); }},
    {"softmax", [](const Call& c) { return softmax(c[0], dim(c)); }},
    {"log_softmax", [](const Call& c) { return log_softmax(c[0], dim(c)); }},
};

const Table orders{
    {"sort", [](const Call& c) { return both(sort(c[0], dim(c), c.flag("descending"))); }},
    {"argsort", [](const Call& c) { return argsort(c[0], dim(c), c.flag("descending")); }},
    {"topk", [](const Call& c) { return topk(c[0], c.integer("k"), dim(c), c.flag("largest")).values; }},
    {"kthvalue",
     [](const Call& c) { return kthvalue(c[0], c.integer("k"), dim(c), c.flag("keepdim")).values; }},
    {"median", [](const Call& c) { return median(c[0]); }},
    {"median_along", [](const Call& c) { return median(c[0], dim(c), c.flag("keepdim")).values; }},
    {"unique",
     [](const Call& c) {
       const Unique all = unique(c[0]);
       std::vector<Tensor> results{all.values};
       if (c.flag("inverse")) results.push_back(all.inverse);
       if (c.flag("counts")) results.push_back(all.counts);
       return results;
     }},
    {"bincount", [](const Call& c) { return bincount(c[0], c[1], c.integer("minlength")); }},
    {"histc",
     [](const Call& c) {
       return histc(c[0], {.bins = c.integer("bins"), .min = c.number("min"), .max = c.number("max")});
     }},
    {"searchsorted", [](const Call& c) { return searchsorted(c[0], c[1], c.flag("right")); }},
};

Operation with_product(Tensor (*f)(const Tensor&, const Tensor&, const Tensor&, const AddProductOptions&)) {
  return [f](const Call& c) {
    return f(c[0], c[1], c[2], {.beta = c.number("beta"), .alpha = c.number("alpha")});
  };
}

const Table products{
    {"matmul", binary(matmul)},
    {"einsum",
     [](const Call& c) {
       const auto letters = c.integers("equation");
       return einsum(std::string(letters.begin(), letters.end()), c.inputs());
     }},
    {"mm", binary(mm)},
    {"bmm", binary(bmm)},
    {"mv", binary(mv)},
    {"dot", binary(dot)},
    {"outer", binary(outer)},
    {"addmm", with_product(addmm)},
    {"baddbmm", with_product(baddbmm)},
    {"linear", [](const Call& c) { return linear(c[0], c[1], c[2]); }},
    {"conv2d",
     [](const Call& c) {
       return conv2d(c[0], c[1], c[2],
                     {.stride = c.pair("stride"),
                      .padding = c.pair("padding"),
                      .dilation = c.pair("dilation"),
                      .groups = c.integer("groups")});
     }},
    {"conv_transpose2d",
     [](const Call& c) {
       return conv_transpose2d(c[0], c[1], c[2],
                               {.stride = c.pair("stride"),
                                .padding = c.pair("padding"),
                                .output_padding = c.pair("output_padding"),
                                .dilation = c.pair("dilation"),
                                .groups = c.integer("groups")});
     }},
};

const Table norms_and_losses{
    {"batch_norm",
     [](const Call& c) {
       Tensor mean = c[3], variance = c[4];
       std::vector<Tensor> results{batch_norm(
           c[0], c[1], c[2], mean, variance,
           {.training = c.flag("training"), .momentum = c.number("momentum"), .eps = c.number("eps")})};
       if (mean.defined()) results.push_back(mean);
       if (variance.defined()) results.push_back(variance);
       return results;
     }},
    {"group_norm",
     [](const Call& c) {
       return group_norm(c[0], c.integer("num_groups"), c[1], c[2], {.eps = c.number("eps")});
     }},
    {"layer_norm",
     [](const Call& c) {
       return layer_norm(c[0], c.shape("normalized_shape"), c[1], c[2], {.eps = c.number("eps")});
     }},
    {"bce_with_logits",
     [](const Call& c) {
       return bce_with_logits(c[0], c[1], {.weight = c[2], .pos_weight = c[3], .reduction = reduction_of(c)});
     }},
    {"cross_entropy",
     [](const Call& c) {
       return cross_entropy(c[0], c[1],
                            {.weight = c[2],
                             .ignore_index = c.integer("ignore_index"),
                             .reduction = reduction_of(c),
                             .label_smoothing = c.number("label_smoothing")});
     }},
    {"mse_loss", [](const Call& c) { return mse_loss(c[0], c[1], reduction_of(c)); }},
    {"l1_loss", [](const Call& c) { return l1_loss(c[0], c[1], reduction_of(c)); }},
};

}  // namespace

Call::Call(const std::string& name, const std::string& text, const TensorFile& file)
    : name_(name), file_(file) {
  std::istringstream words(text);
  words >> operation_;
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    options_[word.substr(0, equals)] = numbers(word.substr(equals + 1));
  }
  for (std::int64_t i = 0; i < integer("inputs"); ++i)
    inputs_.push_back(tensor("input." + std::to_string(i)));
  for (const std::int64_t i : integers("grad")) inputs_.at(static_cast<std::size_t>(i)).requires_grad_();
}

Tensor Call::tensor(const std::string& part) const {
  const auto found = file_.tensors.find(name_ + "." + part);
  return found == file_.tensors.end() ? Tensor() : found->second;
}

std::vector<std::int64_t> Call::integers(const std::string& key) const {
  std::vector<std::int64_t> all;
  for (const double number : options_.at(key)) all.push_back(static_cast<std::int64_t>(number));
  return all;
}

Shape Call::shape(const std::string& key) const {
  Shape sizes;
  for (const std::int64_t size : integers(key)) sizes.push_back(size);
  return sizes;
}

std::vector<int> Call::dims(const std::string& key) const {
  std::vector<int> all;
  for (const double number : options_.at(key)) all.push_back(static_cast<int>(number));
  return all;
}

std::vector<Tensor> apply(const Call& call) {
  for (const Table* table : {&elementwise, &changes, &layout, &shapes, &factories, &indices, &reductions,
                             &orders, &products, &norms_and_losses, &pointwise, &losses, &attention, &vision})
    if (const auto found = table->find(call.operation()); found != table->end()) return found->second(call);
  throw std::invalid_argument("no operation " + call.operation());
}

}  // namespace parity
