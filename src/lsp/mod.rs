//! The language server: one analysis of each open recipe, and small files that answer questions about it with plain data.
//! Only `server` knows the protocol. Operators come in as a `Catalogue`; nothing here runs a recipe.

pub mod complete;
pub mod fixes;
pub mod goto;
pub mod graph;
pub mod hints;
pub mod hover;
pub mod names;
pub mod rename;
mod repair;
mod server;
pub mod snapshot;
pub mod stubs;
pub mod symbols;
pub mod text;
pub mod tokens;
mod uri;
pub mod walk;
mod words;
mod workspace;

pub use server::{Config, serve, shielded};
pub use snapshot::Snapshot;
