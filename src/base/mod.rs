//! Facts that every room shares: places in sources, diagnostics, digests, and the outside world behind one trait.

pub mod codes;
pub mod diag;
pub mod digest;
pub mod failure;
pub mod package;
pub mod phrase;
pub mod source;
pub mod world;

pub use codes::Code;
pub use diag::{Diagnostic, Edit, Label, Problems, Severity};
pub use digest::Digest;
pub use failure::OpError;
pub use source::{Source, SourceId, SourceMap, Span};
pub use world::World;
