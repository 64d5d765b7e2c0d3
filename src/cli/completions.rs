//! `rbpipe completions SHELL`: what a shell needs to complete commands and their options.

use clap::CommandFactory as _;

use super::Exit;
use super::args::{Cli, CompletionsArgs};

/// Runs the command.
pub(super) fn run(args: &CompletionsArgs) -> Exit {
    clap_complete::generate(args.shell, &mut Cli::command(), "rbpipe", &mut std::io::stdout());
    Exit::Done
}
