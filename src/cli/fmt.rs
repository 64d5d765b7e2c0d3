//! `rbpipe fmt`: brings recipes into the one layout.

use std::fs;

use super::Exit;
use super::args::FmtArgs;
use super::render;
use crate::base::SourceMap;
use crate::syntax;

/// Runs the command.
pub(super) fn run(args: &FmtArgs) -> Exit {
    let mut exit = Exit::Done;
    for path in &args.files {
        let name = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("cannot read `{name}`: {error}");
                exit = Exit::Recipe;
                continue;
            }
        };
        match syntax::format(&text) {
            Ok(formatted) if formatted == text => {}
            Ok(_) if args.check => {
                println!("{name} would change");
                exit = Exit::Recipe;
            }
            Ok(formatted) => {
                if let Err(error) = fs::write(path, formatted) {
                    eprintln!("cannot write `{name}`: {error}");
                    exit = Exit::Recipe;
                }
            }
            Err(problems) => {
                let mut sources = SourceMap::default();
                sources.add(name.to_string(), path.parent(), text);
                render::print_human(&sources, &problems.sorted());
                exit = Exit::Recipe;
            }
        }
    }
    exit
}
