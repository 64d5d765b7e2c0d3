//! `rbpipe show`.

use super::args::ShowArgs;
use super::{Exit, not_there};

/// Runs the command.
pub(super) fn run(_args: &ShowArgs) -> Exit {
    not_there("show")
}
