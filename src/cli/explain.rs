//! `rbpipe explain CODE`: what a diagnostic means, with a failing and a fixed example.

use super::Exit;
use super::args::ExplainArgs;
use crate::base::{codes, phrase};

macro_rules! pages {
    ($($code:ident)*) => {
        &[$((
            stringify!($code),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/diagnostics/", stringify!($code), ".md")),
        )),*]
    };
}

/// The pages of `docs/diagnostics/`, by code.
const PAGES: &[(&str, &str)] = pages! {
    E0101 E0102 E0103 E0104 E0105 E0106 E0107 E0108 E0109 E0110 E0120 E0121 E0201 E0202 E0204 E0206
    E0210 E0214 E0215 E0301 E0302 E0501 E0712 E0901 E0902 W0101 W0102
};

/// Runs the command.
pub(super) fn run(args: &ExplainArgs) -> Exit {
    let Some((code, title)) = codes::lookup(&args.code) else {
        let wanted = args.code.to_ascii_uppercase();
        let near = phrase::nearest(&wanted, codes::ALL.iter().map(|(code, _)| code.0));
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        eprintln!("there is no code `{}`{hint}", args.code);
        return Exit::Usage;
    };
    match PAGES.iter().find(|(name, _)| *name == code.0) {
        Some((_, page)) => print!("{page}"),
        None => println!("# {code}: {title}"),
    }
    Exit::Done
}
