//! One node while it executes: the process it runs in, and what its operator sees.

pub mod child;
pub mod context;
mod evidence;
pub(super) mod gpu_use;
pub mod in_process;
mod peak;
pub mod process;
pub mod ranks;
pub mod row_memo;
pub mod service;
pub mod task;
