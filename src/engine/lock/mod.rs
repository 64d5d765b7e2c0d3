//! The lock: what a recipe reads, pinned by digest, in a file beside it. Inputs only, without places and times of this machine.

mod accept;
mod differences;
pub mod merge;
mod names;
mod observed;
mod pins;
mod text;

pub use accept::Look;
pub use differences::Difference;
pub use names::below;
pub use observed::{Observed, observe, readers};
pub use pins::{Lock, path, read, write};
