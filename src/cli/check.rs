//! `rbpipe check`: all problems of all named recipes, nothing run.

use super::Exit;
use super::args::{CheckArgs, Format};
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
        let (program, loaded) = semantics::load(&OsWorld, &catalogue, &mut sources, path);
        // Items that did not parse are missing from the tree: what others say of their names would only follow from that.
        let parsed = !loaded.clone().sorted().iter().any(|d| d.code.0.starts_with("E01"));
        let sound = !loaded.has_errors();
        problems.extend(loaded);
        if parsed {
            let checked = semantics::check(&program, &catalogue, &settings).1;
            let sound = sound && !checked.has_errors();
            problems.extend(checked);
            if sound {
                let options =
                    plan::Options { profile: choice.profile.clone(), params: choice.params.clone(), with: Vec::new() };
                // What only evaluation would find, such as a param without a value, is for those who run it.
                if let (Some(planned), _) = plan::evaluate(&program, &catalogue, &mut sources, &OsWorld, &options) {
                    problems.extend(recipe::lints(&program, &planned, &sources, path));
                }
            }
        }
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
