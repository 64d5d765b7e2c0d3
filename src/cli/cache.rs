//! `rbpipe cache`.

use super::args::CacheArgs;
use super::{Exit, not_there};

/// Runs the command.
pub(super) fn run(_args: &CacheArgs) -> Exit {
    not_there("cache")
}
