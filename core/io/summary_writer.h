#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include <karyon/core/tensor.h>

namespace karyon {

/// Writes an event file for TensorBoard, as torch.utils.tensorboard.SummaryWriter. Each event is in the file when
/// the call returns. Throws Error that names the file if it cannot be written.
///
///     SummaryWriter writer("runs/first");
///     writer.add_scalar("loss/train", loss.item(), step);  // then: tensorboard --logdir runs
class SummaryWriter {
 public:
  /// Makes the folder, and in it a new file.
  explicit SummaryWriter(const std::filesystem::path& folder = "runs");
  const std::filesystem::path& path() const { return path_; }

  /// A number, kept as f32.
  void add_scalar(const std::string& tag, double value, std::int64_t step = 0);
  /// The distribution of a tensor's elements in 64 intervals of equal width. NaN and infinity are left out.
  void add_histogram(const std::string& tag, const Tensor& values, std::int64_t step = 0);
  /// A picture.
  ///   image  [H, W, C] with C = 1 (grey), 3 (RGB) or 4 (and alpha): u8, bool, or floating from 0 to 1
  void add_image(const std::string& tag, const Tensor& image, std::int64_t step = 0);
  /// Text in Markdown.
  void add_text(const std::string& tag, const std::string& text, std::int64_t step = 0);

 private:
  void write(const std::string& event);

  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace karyon
