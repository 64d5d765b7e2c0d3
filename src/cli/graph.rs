//! `rbpipe graph`.

use super::args::GraphArgs;
use super::{Exit, not_there};

/// Runs the command.
pub(super) fn run(_args: &GraphArgs) -> Exit {
    not_there("graph")
}
