//! `rbpipe check`: all problems of all named recipes, nothing run.

use super::Exit;
use super::args::{CheckArgs, Format};
use super::packages::{self, Pinning};
use super::{recipe, render};
use crate::base::world::OsWorld;
use crate::base::{Problems, Severity, SourceMap};
use crate::{ops, plan, semantics};

/// Runs the command.
pub(super) fn run(args: &CheckArgs) -> Exit {
    let mut sources = SourceMap::default();
    let mut problems = Problems::default();
    let catalogue = ops::catalogue();
    let choice = &args.choice;
    let settings = semantics::Settings { profile: choice.profile.clone(), params: choice.params.clone() };
    for path in &args.recipes {
        let (program, loaded) = packages::load(&OsWorld, &catalogue, &mut sources, path, Pinning::Held);
        let checked = semantics::check(&program, &catalogue, &settings).1;
        let mut found = loaded;
        found.extend(checked);
        let options =
            plan::Options { profile: choice.profile.clone(), params: choice.params.clone(), with: Vec::new() };
        let known = recipe::Locked::of(path);
        let more = plan::lints::of(&program, &catalogue, &mut sources, &OsWorld, &options, &known, &found);
        found.extend(more);
        problems.extend(found);
        std::mem::forget(program); // the process ends soon
    }
    let problems = problems.sorted();
    match args.format {
        Format::Json => println!("{}", render::json(&sources, &problems)),
        Format::Human => {
            render::print_human(&sources, &problems);
            if problems.is_empty() {
                println!("no problems");
            }
        }
    }
    if problems.iter().any(|d| d.severity == Severity::Error) { Exit::Recipe } else { Exit::Done }
}
