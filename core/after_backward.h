#pragma once
#include <functional>

namespace karyon {

/// Called from a hook: runs `callback` once, when the backward() of this thread that is going on has delivered
/// all gradients. Where backward() throws, it is dropped. Throws Error outside of a backward().
void after_backward(std::function<void()> callback);

}  // namespace karyon
