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
    E0210 E0214 E0215 E0301 E0302 E0501 E0611 E0712 E0901 E0902 W0101 W0102
    W0201 W0202 W0203 W0302 W0303 W0304 W0305 W0306 W0307 W0401 W0402 W0403 W0501 W0502 W0503 W0505
    W0506 W0507 W0509 W0510 W0511 W0512 W0513 W0514 W0515 W0516 W0517 W0518 W0519
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
