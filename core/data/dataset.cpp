#include <karyon/core/data/dataset.h>

namespace karyon {

TensorDataset::TensorDataset(std::vector<Tensor> tensors) : tensors_(std::move(tensors)) {
  check(!tensors_.empty(), "TensorDataset: expects at least one tensor");
  for (Tensor& x : tensors_) {
    check(x.dim() >= 1 && x.size(0) == tensors_[0].size(0), "TensorDataset: expects tensors of ",
          tensors_[0].dim() >= 1 ? tensors_[0].size(0) : 0, " samples, got ", x.shape());
    x = x.detach();
  }
}

Sample TensorDataset::get(std::int64_t index, Generator&) const {
  check(index >= 0 && index < size(), "TensorDataset: sample ", index, " of ", size());
  Sample out;
  for (const Tensor& x : tensors_) {
    Shape shape;
    for (int d = 1; d < x.dim(); ++d) shape.push_back(x.size(d));
    out.push_back(view(x, shape, index * shape.numel()));
  }
  return out;
}

Subset::Subset(const Dataset& dataset, std::vector<std::int64_t> indices)
    : dataset_(&dataset), indices_(std::move(indices)) {
  for (const std::int64_t i : indices_)
    check(i >= 0 && i < dataset.size(), "Subset: expects indices below ", dataset.size(), ", got ", i);
}

Sample Subset::get(std::int64_t index, Generator& generator) const {
  check(index >= 0 && index < size(), "Subset: sample ", index, " of ", size());
  return dataset_->get(indices_[static_cast<std::size_t>(index)], generator);
}

}  // namespace karyon
