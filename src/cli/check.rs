//! `rbpipe check`: all problems of all named recipes, nothing run.

use super::Exit;
use super::args::{CheckArgs, Format};
use super::render;
use crate::base::{Diagnostic, Problems, Severity, SourceMap, codes, world};
use crate::base::{Span, World as _};
use crate::syntax;

/// Runs the command.
pub(super) fn run(args: &CheckArgs) -> Exit {
    let mut sources = SourceMap::default();
    let mut problems = Problems::default();
    for path in &args.recipes {
        let name = path.display().to_string();
        match world::OsWorld.read(path) {
            Ok(text) => {
                let id = sources.add(name, path.parent(), text.as_str());
                problems.extend(syntax::parse(id, &text).1);
            }
            Err(error) => {
                let id = sources.add(name.as_str(), None, "");
                let problem =
                    Diagnostic::new(codes::E0501, Span::new(id, 0, 0), format!("cannot read `{name}`: {error}"), "");
                problems.push(problem.help("name a recipe that is there"));
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
