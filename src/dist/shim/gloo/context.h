// Stands in for gloo's own header, which the wheel of torch lacks: as much as c10d's declarations name.
#pragma once
#include <chrono>

namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo
