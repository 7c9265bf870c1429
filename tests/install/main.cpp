// What a stranger writes first: a network of their own learns one image. Ends with 0 only if the loss fell.
#include <iostream>

#include <karyon/karyon.h>
#if __has_include(<karyon.h>) || __has_include(<core/tensor.h>) || __has_include(<layers/module.h>)
#error "Karyon's headers are found by <karyon/...> alone: names like core/ are the stranger's own"
#endif

struct MyNet : karyon::Module {
  MyNet() {
    stem.add<karyon::Conv2d>(1, 8, 3, {.padding = 1, .bias = false});
    stem.add<karyon::GroupNorm>(4, 8, {.relu = true});
    stem.add(std::make_unique<karyon::Dropout>(0.1));
    for (int i = 0; i < 2; ++i) blocks.add(8, 8, 3, {.padding = 1});
    register_module("stem", stem);
    register_module("blocks", blocks);
    register_module("head", head);
  }

  karyon::Tensor forward(karyon::Tensor x) override {
    x = stem(std::move(x));
    for (karyon::Conv2d& block : blocks) x = x + block(x).relu();
    return head(std::move(x));
  }

  karyon::Sequential stem;
  karyon::ModuleList<karyon::Conv2d> blocks;
  karyon::Linear head{8, 1, {.bias = false}};
};

// An operation of their own: the gradient of the step is passed on as if there were none.
karyon::Tensor step(const karyon::Tensor& x) {
  karyon::Tensor y;
  {
    const karyon::NoGradGuard no_grad;
    y = karyon::gt(x, 0).to(x.dtype());
  }
  return karyon::record("step", y, {x}, karyon::twice_differentiable,
                        [x = karyon::SavedTensor(x)](const karyon::Tensor& dy) {
                          return std::vector{dy * (1 - karyon::square(karyon::tanh(x.get())))};
                        });
}

// Whether its gradient and the gradient of that are what they should be.
bool own_operation_works() {
  const karyon::Tensor x = karyon::tensor({0.0}, {.dtype = karyon::f64}).requires_grad_();
  const karyon::Tensor first = karyon::grad({step(x * x + x)}, {x}, {}, {.create_graph = true})[0];
  const karyon::Tensor second = karyon::grad({first}, {x})[0];
  return first.item<double>() == 1 && second.item<double>() == 2;
}

int main(int count, char**) {
  if (count > 1) {  // any argument: only the devices
    std::cout << karyon::why_unavailable(karyon::DeviceType::cuda) << '\n';
    return 0;
  }
  std::cout << "karyon " << karyon::version() << '\n';
  karyon::manual_seed(3);
  MyNet net;
  const karyon::Tensor image = karyon::randn({1, 16, 16, 1});
  const karyon::Tensor target = karyon::ones({1, 16, 16, 1});
  karyon::Adam adam(net.parameters(), {.lr = 0.01});

  double first = 0, last = 0;
  for (int step = 0; step < 5; ++step) {
    adam.zero_grad();
    const karyon::Tensor loss = karyon::bce_with_logits(net(image), target);
    loss.backward();
    adam.step();
    last = loss.item();
    if (step == 0) first = last;
  }
  std::cout << "loss " << first << " -> " << last << '\n';
  return last < first && own_operation_works() ? 0 : 1;
}
