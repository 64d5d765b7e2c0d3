//! `rbpipe doc [NAME]`: the documentation of operators, read off their declarations.

use std::fs;
use std::path::Path;

use super::Exit;
use super::args::DocArgs;
use crate::base::{codes, phrase};
use crate::ops;
use crate::spec::{Catalogue, page};

/// Runs the command.
pub(super) fn run(args: &DocArgs) -> Exit {
    let catalogue = ops::catalogue();
    if let Some(folder) = &args.out {
        return write(&catalogue, folder);
    }
    let Some(name) = &args.name else {
        print!("{}", page::contents(&catalogue));
        println!("\n`rbpipe doc NAME` shows a module or an operator, such as `filter` or `filter.rule`");
        return Exit::Done;
    };
    let name = name.strip_prefix("std.").unwrap_or(name);
    let found = catalogue.get(name).map(page::operator).or_else(|| page::module(&catalogue, name));
    if let Some(found) = found {
        print!("{found}");
        return Exit::Done;
    }
    if let Some((code, _)) = codes::lookup(name) {
        print!("{}", codes::page(code));
        return Exit::Done;
    }
    let names = catalogue.operators.iter().map(|op| op.name.as_str()).chain(page::modules(&catalogue));
    let short = catalogue.operators.iter().find(|op| op.name.rsplit('.').next() == Some(name));
    let near = short.map(|op| op.name.as_str()).or_else(|| phrase::nearest(name, names));
    let hint = near.map_or("`rbpipe doc` lists all".to_owned(), |near| format!("did you mean `{near}`?"));
    eprintln!("there is no module or operator `{name}`; {hint}");
    Exit::Usage
}

/// Writes one page for each module.
fn write(catalogue: &Catalogue, folder: &Path) -> Exit {
    for module in page::modules(catalogue) {
        let path = folder.join(format!("{module}.md"));
        let text = page::module(catalogue, module).unwrap_or_default();
        if let Err(error) = fs::create_dir_all(folder).and_then(|()| fs::write(&path, text)) {
            eprintln!("cannot write `{}`: {error}", path.display());
            return Exit::Node;
        }
        println!("{}", path.display());
    }
    Exit::Done
}
