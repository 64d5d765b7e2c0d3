// Stands in for gloo's own header, which the wheel of torch lacks: devices and buffers pass through as pointers only.
#pragma once

namespace gloo::transport {
class Device;
class UnboundBuffer;
}  // namespace gloo::transport
