//! `rbpipe engine`, and finding the engine when a run needs it.

use std::path::PathBuf;

use super::args::EngineArgs;
use super::{Exit, not_there};
use crate::base::OpError;

/// Runs the command.
pub(super) fn run(_args: &EngineArgs) -> Exit {
    not_there("engine")
}

/// Finds `rbpipe-engine`: `RBPIPE_ENGINE`, or the sibling of this program.
pub(super) fn find(_notice: &dyn Fn(String)) -> Result<PathBuf, OpError> {
    if let Some(path) = std::env::var_os("RBPIPE_ENGINE").filter(|v| !v.is_empty()).map(PathBuf::from) {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(OpError::new("E0612", format!("`RBPIPE_ENGINE` names `{}`, which is not there", path.display())))
        };
    }
    let sibling = std::env::current_exe()?.with_file_name("rbpipe-engine");
    if sibling.is_file() {
        return Ok(sibling);
    }
    Err(OpError::new("E0612", "this step needs the tensor engine, which is not built")
        .help("run `rbpipe engine install`, or set `RBPIPE_ENGINE`"))
}
