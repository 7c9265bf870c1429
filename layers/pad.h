#pragma once
#include <karyon/core/ops/pad.h>
#include <karyon/layers/module.h>

namespace karyon {

/// A border for sequences, before and after.
struct Pad1d {
  std::int64_t left = 0, right = 0;
};
/// A border for volumes.
struct Pad3d {
  std::int64_t front = 0, back = 0, top = 0, bottom = 0, left = 0, right = 0;
};

/// What the layers below share: a border around sequences [N, L, C], images [N, H, W, C] or volumes [N, D, H, W,
/// C]. One number is the border on every side.
struct PadLayer : Module {
  Tensor forward(Tensor x) override;

 protected:
  PadLayer(const Pad1d& p, PadMode mode, double value = 0) : PadLayer({{p.left, p.right}}, mode, value) {}
  PadLayer(const Pad2d& p, PadMode mode, double value = 0)
      : PadLayer({{p.top, p.bottom}, {p.left, p.right}}, mode, value) {}
  PadLayer(const Pad3d& p, PadMode mode, double value = 0)
      : PadLayer({{p.front, p.back}, {p.top, p.bottom}, {p.left, p.right}}, mode, value) {}

 private:
  // `borders` of the dimensions between the first and the last.
  PadLayer(std::vector<Border> borders, PadMode mode, double value);

  std::vector<Border> borders_;
  PadMode mode_;
  double value_;
};

/// The border of images is 0.
struct ZeroPad2d : PadLayer {
  explicit ZeroPad2d(const Pad2d& padding) : PadLayer(padding, PadMode::zeros), padding_(padding) {}
  explicit ZeroPad2d(std::int64_t all) : ZeroPad2d(Pad2d{all, all, all, all}) {}
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<ZeroPad2d>(padding_); }

 private:
  Pad2d padding_;
};

/// The border of sequences is `value`.
struct ConstantPad1d : PadLayer {
  ConstantPad1d(const Pad1d& padding, double value)
      : PadLayer(padding, PadMode::constant, value), padding_(padding), value_(value) {}
  ConstantPad1d(std::int64_t all, double value) : ConstantPad1d(Pad1d{all, all}, value) {}
  std::unique_ptr<Module> rebuilt() const override {
    return std::make_unique<ConstantPad1d>(padding_, value_);
  }

 private:
  Pad1d padding_;
  double value_;
};

/// The border of images is `value`.
struct ConstantPad2d : PadLayer {
  ConstantPad2d(const Pad2d& padding, double value)
      : PadLayer(padding, PadMode::constant, value), padding_(padding), value_(value) {}
  ConstantPad2d(std::int64_t all, double value) : ConstantPad2d(Pad2d{all, all, all, all}, value) {}
  std::unique_ptr<Module> rebuilt() const override {
    return std::make_unique<ConstantPad2d>(padding_, value_);
  }

 private:
  Pad2d padding_;
  double value_;
};

/// The border of volumes is `value`.
struct ConstantPad3d : PadLayer {
  ConstantPad3d(const Pad3d& padding, double value)
      : PadLayer(padding, PadMode::constant, value), padding_(padding), value_(value) {}
  ConstantPad3d(std::int64_t all, double value) : ConstantPad3d(Pad3d{all, all, all, all, all, all}, value) {}
  std::unique_ptr<Module> rebuilt() const override {
    return std::make_unique<ConstantPad3d>(padding_, value_);
  }

 private:
  Pad3d padding_;
  double value_;
};

/// The border mirrors sequences.
struct ReflectionPad1d : PadLayer {
  explicit ReflectionPad1d(const Pad1d& padding) : PadLayer(padding, PadMode::reflect), padding_(padding) {}
  explicit ReflectionPad1d(std::int64_t all) : ReflectionPad1d(Pad1d{all, all}) {}
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<ReflectionPad1d>(padding_); }

 private:
  Pad1d padding_;
};

/// The border mirrors images.
struct ReflectionPad2d : PadLayer {
  explicit ReflectionPad2d(const Pad2d& padding) : PadLayer(padding, PadMode::reflect), padding_(padding) {}
  explicit ReflectionPad2d(std::int64_t all) : ReflectionPad2d(Pad2d{all, all, all, all}) {}
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<ReflectionPad2d>(padding_); }

 private:
  Pad2d padding_;
};

/// The border mirrors volumes.
struct ReflectionPad3d : PadLayer {
  explicit ReflectionPad3d(const Pad3d& padding) : PadLayer(padding, PadMode::reflect), padding_(padding) {}
  explicit ReflectionPad3d(std::int64_t all) : ReflectionPad3d(Pad3d{all, all, all, all, all, all}) {}
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<ReflectionPad3d>(padding_); }

 private:
  Pad3d padding_;
};

/// The border repeats the edge of sequences.
struct ReplicationPad1d : PadLayer {
  explicit ReplicationPad1d(const Pad1d& padding)
      : PadLayer(padding, PadMode::replicate), padding_(padding) {}
  explicit ReplicationPad1d(std::int64_t all) : ReplicationPad1d(Pad1d{all, all}) {}
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<ReplicationPad1d>(padding_); }

 private:
  Pad1d padding_;
};

/// The border repeats the edge of images.
struct ReplicationPad2d : PadLayer {
  explicit ReplicationPad2d(const Pad2d& padding)
      : PadLayer(padding, PadMode::replicate), padding_(padding) {}
  explicit ReplicationPad2d(std::int64_t all) : ReplicationPad2d(Pad2d{all, all, all, all}) {}
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<ReplicationPad2d>(padding_); }

 private:
  Pad2d padding_;
};

/// The border repeats the edge of volumes.
struct ReplicationPad3d : PadLayer {
  explicit ReplicationPad3d(const Pad3d& padding)
      : PadLayer(padding, PadMode::replicate), padding_(padding) {}
  explicit ReplicationPad3d(std::int64_t all) : ReplicationPad3d(Pad3d{all, all, all, all, all, all}) {}
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<ReplicationPad3d>(padding_); }

 private:
  Pad3d padding_;
};

/// The border is the opposite side of sequences.
struct CircularPad1d : PadLayer {
  explicit CircularPad1d(const Pad1d& padding) : PadLayer(padding, PadMode::circular), padding_(padding) {}
  explicit CircularPad1d(std::int64_t all) : CircularPad1d(Pad1d{all, all}) {}
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<CircularPad1d>(padding_); }

 private:
  Pad1d padding_;
};

/// The border is the opposite side of images.
struct CircularPad2d : PadLayer {
  explicit CircularPad2d(const Pad2d& padding) : PadLayer(padding, PadMode::circular), padding_(padding) {}
  explicit CircularPad2d(std::int64_t all) : CircularPad2d(Pad2d{all, all, all, all}) {}
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<CircularPad2d>(padding_); }

 private:
  Pad2d padding_;
};

/// The border is the opposite side of volumes.
struct CircularPad3d : PadLayer {
  explicit CircularPad3d(const Pad3d& padding) : PadLayer(padding, PadMode::circular), padding_(padding) {}
  explicit CircularPad3d(std::int64_t all) : CircularPad3d(Pad3d{all, all, all, all, all, all}) {}
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<CircularPad3d>(padding_); }

 private:
  Pad3d padding_;
};

}  // namespace karyon
