//! `rbpipe explain CODE`: what a diagnostic means, with a failing and a fixed example.

use super::Exit;
use super::args::ExplainArgs;
use crate::base::{codes, phrase};

/// Runs the command.
pub(super) fn run(args: &ExplainArgs) -> Exit {
    let Some((code, _)) = codes::lookup(&args.code) else {
        let wanted = args.code.to_ascii_uppercase();
        let near = phrase::nearest(&wanted, codes::ALL.iter().map(|(code, _)| code.0));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        eprintln!("there is no code `{}`{hint}", args.code);
        return Exit::Usage;
    };
    print!("{}", codes::page(code));
    Exit::Done
}
