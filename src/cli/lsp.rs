//! `rbpipe lsp`: serves an editor over stdin and stdout.

use std::path::Path;
use std::rc::Rc;

use super::{Exit, recipe, store};
use crate::lsp::{Config, serve};
use crate::ops;
use crate::plan::lints::Known;

/// Runs the command. As the protocol asks, it ends with 1 when the editor leaves without saying `shutdown`.
pub(super) fn run() -> Exit {
    let folder = store::folder().join("library");
    // An editor may stand in another folder; without a current one the path is as good as it gets.
    let library = std::path::absolute(&folder).unwrap_or(folder);
    let locked = |path: &Path| Rc::new(recipe::Locked::of(path)) as Rc<dyn Known>;
    let config = Config { catalogue: ops::catalogue(), library, locked, version: env!("CARGO_PKG_VERSION") };
    match serve(config) {
        Ok(true) => Exit::Done,
        Ok(false) => Exit::Recipe,
        Err(why) => {
            super::say(&format!("error: the editor's end of `rbpipe lsp` does not speak the protocol: {why}"));
            Exit::Recipe
        }
    }
}
