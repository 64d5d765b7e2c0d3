//! Whether a GPU can be used.

use std::sync::Once;

/// Why there is none.
pub const ABSENT: &str = "this engine is built without CUDA, or the machine has no GPU";

/// Says whether libtorch has CUDA and sees a GPU, after loading its CUDA half where there is one.
///
/// Nothing in the engine names a symbol of `libtorch_cuda.so`, so the linker leaves the library out; it is found where `libtorch_cpu.so` was.
/// Loading it takes a second, and so only nodes that ask for a GPU do.
#[allow(unsafe_code)]
pub fn available() -> bool {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| {
        // SAFETY: a name that ends in 0; what the library does when it is loaded is to register its kernels.
        unsafe { libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    });
    tch::Cuda::is_available()
}
