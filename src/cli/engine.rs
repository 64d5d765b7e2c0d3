//! `rbpipe engine`.

use super::args::EngineArgs;
use super::{Exit, not_there};

/// Runs the command.
pub(super) fn run(_args: &EngineArgs) -> Exit {
    not_there("engine")
}
