// What torch's builds for GPUs bring along: a guard for CUDA devices, here with one device that nothing runs on.
#include <c10/core/impl/DeviceGuardImplInterface.h>

struct OneDevice : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA> {
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};
namespace {
C10_REGISTER_GUARD_IMPL(CUDA, OneDevice)
}
