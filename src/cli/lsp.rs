//! `rbpipe lsp`: serves an editor over stdin and stdout.

use super::{Exit, recipe};
use crate::lsp::{Config, serve};
use crate::ops;

/// Runs the command. As the protocol asks, it ends with 1 when the editor leaves without saying `shutdown`.
pub(super) fn run() -> Exit {
    let library = recipe::cache_folder().join("library");
    let config = Config { catalogue: ops::catalogue(), library, version: env!("CARGO_PKG_VERSION") };
    match serve(config) {
        Ok(true) => Exit::Done,
        Ok(false) => Exit::Recipe,
        Err(why) => {
            super::say(&format!("error: the editor's end of `rbpipe lsp` does not speak the protocol: {why}"));
            Exit::Recipe
        }
    }
}
