//! The standard library as files to look at: its `.rb2` files as they are, and a page of signatures for each module of built-in
//! operators. An editor opens them when somebody asks for a definition.

use std::path::PathBuf;

use crate::semantics::modules;
use crate::spec::catalogue::Operator;
use crate::spec::{Catalogue, page, prelude};

/// A text of the library, by its virtual path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// `std/data.rb2`
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
}

/// Returns all texts of the library.
pub fn all(catalogue: &Catalogue) -> Vec<Stub> {
    let files = modules::std_files().map(|(path, text)| Stub { path: path.into(), text: text.to_owned() });
    let pages = page::modules(catalogue).into_iter().filter_map(|name| module(catalogue, name));
    files.chain(pages).chain([functions()]).collect()
}

/// Returns the signatures of a module of operators.
pub fn module(catalogue: &Catalogue, name: &str) -> Option<Stub> {
    let operators: Vec<&Operator> = catalogue.operators.iter().filter(|op| module_of(op) == name).collect();
    if operators.is_empty() {
        return None;
    }
    let mut text = format!(
        "#! std.{name}: built-in operators, as `rbpipe doc {name}` shows them. This file is for reading only.\n"
    );
    for op in operators {
        text.push('\n');
        text.push_str(op.spec.signature.trim());
        text.push('\n');
    }
    Some(Stub { path: format!("std/{name}.rb2").into(), text })
}

/// Returns the signatures of the functions that need no import.
pub fn functions() -> Stub {
    let head = "#! Functions that need no import. This file is for reading only.\n\n";
    Stub { path: "std/prelude.rb2".into(), text: format!("{head}{}\n", prelude::FUNCTIONS.join("\n\n")) }
}

/// Returns where the text of a signature, or the name of one of its parameters, lies in a stub; bytes.
pub fn place(stub: &Stub, full: &str, argument: Option<&str>) -> Option<(usize, usize)> {
    let start = stub.text.find(&format!("op {full}("))? + "op ".len();
    let name = (start, start + full.len());
    let Some(argument) = argument else { return Some(name) };
    let body = &stub.text[name.1..];
    let body = &body[..body.find("\n\n").unwrap_or(body.len())];
    let word = format!("{argument}:");
    let found = body.match_indices(&word).map(|(at, _)| at).find(|&at| {
        let line = body[..at].rsplit('\n').next().unwrap_or_default();
        !line.trim_start().starts_with('#') && !body[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
    });
    Some(found.map_or(name, |at| (name.1 + at, name.1 + at + argument.len())))
}

fn module_of(op: &Operator) -> &str {
    op.name.rsplit_once('.').map_or("", |(module, _)| module)
}
