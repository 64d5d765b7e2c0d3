//! `rbpipe plan`.

use super::args::PlanArgs;
use super::{Exit, not_there};

/// Runs the command.
pub(super) fn run(_args: &PlanArgs) -> Exit {
    not_there("plan")
}
