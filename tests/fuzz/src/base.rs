//! As `src/base/mod.rs`, without what only running needs.

#[path = "../../../src/base/codes.rs"]
pub mod codes;
#[path = "../../../src/base/diag.rs"]
pub mod diag;
#[path = "../../../src/base/digest.rs"]
pub mod digest;
#[path = "../../../src/base/package.rs"]
pub mod package;
#[path = "../../../src/base/phrase.rs"]
pub mod phrase;
#[path = "../../../src/base/source.rs"]
pub mod source;
#[path = "../../../src/base/world.rs"]
pub mod world;

pub use codes::Code;
pub use diag::{Diagnostic, Edit, Label, Problems, Severity};
pub use digest::Digest;
pub use source::{SourceId, SourceMap, Span};
pub use world::World;
