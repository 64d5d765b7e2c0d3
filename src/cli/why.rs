//! `rbpipe why`.

use super::args::WhyArgs;
use super::{Exit, not_there};

/// Runs the command.
pub(super) fn run(_args: &WhyArgs) -> Exit {
    not_there("why")
}
