//! The C face of c10d, as `shim/c10d.h` declares it.

use std::ffi::{c_char, c_int, c_void};

/// A process group of libtorch.
#[repr(C)]
pub(super) struct RawGroup {
    _opaque: [u8; 0],
}

/// An operation under way.
#[repr(C)]
pub(super) struct RawWork {
    _opaque: [u8; 0],
}

#[allow(unsafe_code)]
unsafe extern "C" {
    pub(super) fn rb_join(
        host: *const c_char,
        port: c_int,
        listening: c_int,
        rank: c_int,
        world: c_int,
        timeout_ms: i64,
        address: *const c_char,
        nccl: *mut c_void,
        out: *mut *mut RawGroup,
    ) -> *mut c_char;
    pub(super) fn rb_all_reduce(
        group: *mut RawGroup,
        tensor: *mut c_void,
        what: c_int,
        out: *mut *mut RawWork,
    ) -> *mut c_char;
    pub(super) fn rb_reduce_scatter(
        group: *mut RawGroup,
        part: *mut c_void,
        whole: *mut c_void,
        out: *mut *mut RawWork,
    ) -> *mut c_char;
    pub(super) fn rb_all_gather(
        group: *mut RawGroup,
        whole: *mut c_void,
        part: *mut c_void,
        out: *mut *mut RawWork,
    ) -> *mut c_char;
    pub(super) fn rb_broadcast(
        group: *mut RawGroup,
        tensor: *mut c_void,
        root: c_int,
        out: *mut *mut RawWork,
    ) -> *mut c_char;
    pub(super) fn rb_wait(work: *mut RawWork) -> *mut c_char;
    pub(super) fn rb_leave(group: *mut RawGroup);
    pub(super) fn rb_free(message: *mut c_char);
}
