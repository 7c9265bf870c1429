#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>

#include <karyon/core/format/event_record.h>
#include <karyon/core/format/png.h>
#include <karyon/core/io/summary_writer.h>

namespace karyon {
namespace {

// Numbers of fields in TensorFlow's event.proto, summary.proto and tensor.proto.
namespace event {
enum Field { wall_time = 1, step = 2, file_version = 3, summary = 5 };
}
namespace summary {
enum Field { value = 1 };
}
namespace value {
enum Field { tag = 1, simple_value = 2, image = 4, histogram = 5, tensor = 8, metadata = 9 };
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string file_name() {
  static std::atomic<int> number{0};
  char host[256] = "host";
  if (gethostname(host, sizeof host) != 0) std::copy_n("host", 5, host);
  host[sizeof host - 1] = '\0';
  return "events.out.tfevents." + std::to_string(static_cast<std::int64_t>(wall_time())) + "." + host + "." +
         std::to_string(getpid()) + "." + std::to_string(number++);
}

ProtoMessage named(const std::string& tag) {
  ProtoMessage out;
  out.add_bytes(value::tag, tag);
  return out;
}

std::string event_of(const ProtoMessage& named_value, std::int64_t step) {
  ProtoMessage all, out;
  all.add_message(summary::value, named_value);
  out.add_double(event::wall_time, wall_time());
  out.add_integer(event::step, step);
  out.add_message(event::summary, all);
  return out.bytes();
}

// TensorFlow's HistogramProto.
ProtoMessage histogram_of(const std::vector<double>& values) {
  constexpr std::size_t intervals = 64;
  double low = INFINITY, high = -INFINITY, sum = 0, squares = 0;
  for (const double v : values) {
    low = std::min(low, v);
    high = std::max(high, v);
    sum += v;
    squares += v * v;
  }
  if (values.empty()) low = high = 0;
  std::vector<double> limits, counts(low < high ? intervals : 1);
  const auto n = static_cast<double>(counts.size());
  for (std::size_t i = 1; i <= counts.size(); ++i)
    limits.push_back(i == counts.size() ? high : low + (high - low) * (static_cast<double>(i) / n));
  for (const double v : values) {
    const double part = low < high ? (v - low) / (high - low) : 0;
    ++counts[std::min(counts.size() - 1, static_cast<std::size_t>(part * n))];
  }
  ProtoMessage out;
  out.add_double(1, low);
  out.add_double(2, high);
  out.add_double(3, static_cast<double>(values.size()));
  out.add_double(4, sum);
  out.add_double(5, squares);
  out.add_doubles(6, limits);
  out.add_doubles(7, counts);
  return out;
}

std::vector<std::uint8_t> bytes_of(const Tensor& image) {
  if (image.dtype() == u8) return image.to_vector<std::uint8_t>();
  std::vector<std::uint8_t> out;
  for (const double v : image.to_vector<double>())
    out.push_back(
        static_cast<std::uint8_t>(v > 0 ? std::lround(std::min(v, 1.0) * 255) : 0));  // NaN is black
  return out;
}

}  // namespace

SummaryWriter::SummaryWriter(const std::filesystem::path& folder) : path_(folder / file_name()) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  file_.open(path_, std::ios::binary);
  ProtoMessage first;
  first.add_double(event::wall_time, wall_time());
  first.add_bytes(event::file_version, "brain.Event:2");
  write(first.bytes());
}

void SummaryWriter::write(const std::string& bytes) {
  const std::string record = framed_record(bytes);
  file_.write(record.data(), static_cast<std::streamsize>(record.size()));
  file_.flush();
  check(file_.good(), "SummaryWriter: cannot write ", path_.string());
}

void SummaryWriter::add_scalar(const std::string& tag, double number, std::int64_t step) {
  ProtoMessage out = named(tag);
  out.add_float(value::simple_value, static_cast<float>(number));
  write(event_of(out, step));
}

void SummaryWriter::add_histogram(const std::string& tag, const Tensor& values, std::int64_t step) {
  std::vector<double> finite = values.to_vector<double>();
  std::erase_if(finite, [](double v) { return !std::isfinite(v); });
  ProtoMessage out = named(tag);
  out.add_message(value::histogram, histogram_of(finite));
  write(event_of(out, step));
}

void SummaryWriter::add_image(const std::string& tag, const Tensor& image, std::int64_t step) {
  const std::int64_t c = image.dim() == 3 ? image.size(2) : 0;
  check((c == 1 || c == 3 || c == 4) && image.numel() > 0 && image.numel() < std::int64_t{1} << 30,
        "add_image: expects [H, W, C] with 1, 3 or 4 channels, got ", image.shape());
  check(image.dtype() == u8 || image.dtype() == boolean || is_floating(image.dtype()),
        "add_image: expects u8, bool or floating values, got ", image.dtype());
  ProtoMessage picture, out = named(tag);
  picture.add_integer(1, image.size(0));
  picture.add_integer(2, image.size(1));
  picture.add_integer(3, c);
  picture.add_bytes(4, encode_png(bytes_of(image), static_cast<std::uint32_t>(image.size(0)),
                                  static_cast<std::uint32_t>(image.size(1)), static_cast<int>(c)));
  out.add_message(value::image, picture);
  write(event_of(out, step));
}

void SummaryWriter::add_text(const std::string& tag, const std::string& text, std::int64_t step) {
  ProtoMessage plugin, metadata, dimension, shape, tensor, out = named(tag + "/text_summary");
  plugin.add_bytes(1, "text");
  metadata.add_message(1, plugin);
  dimension.add_integer(1, 1);
  shape.add_message(2, dimension);
  tensor.add_integer(1, 7);  // DT_STRING
  tensor.add_message(2, shape);
  tensor.add_bytes(8, text);
  out.add_message(value::metadata, metadata);
  out.add_message(value::tensor, tensor);
  write(event_of(out, step));
}

}  // namespace karyon
