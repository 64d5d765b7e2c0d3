//! `rbpipe run`.

use super::args::RunArgs;
use super::{Exit, not_there};

/// Runs the command.
pub(super) fn run(_args: &RunArgs) -> Exit {
    not_there("run")
}
