//! Where a name is declared, and where it is used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::names::{Kind, Target, Use};
use super::snapshot::Snapshot;
use super::stubs::{self, Stub};
use crate::base::Span;
use crate::semantics::ImportTarget;
use crate::spec::Catalogue;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file: a path as the world takes it, or `std/….rb2`.
    pub path: PathBuf,
    /// Its text.
    pub text: Arc<str>,
    /// Bytes.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Returns where the name at a byte is declared; of an import, the file or module that it stands for.
pub fn definition(snapshot: &Snapshot, catalogue: &Catalogue, module: usize, offset: usize) -> Option<Found> {
    let name = snapshot.name_at(module, offset)?;
    match &name.target {
        Target::Declared(id, span, Kind::Import) => {
            let import = snapshot.program.modules[*id].imports.iter().find(|i| i.name.span == *span)?;
            match &import.target {
                ImportTarget::Operators(name) => top(stubs::module(catalogue, name)?),
                ImportTarget::Module(to) => file(snapshot, *to),
                ImportTarget::Missing => None,
            }
        }
        Target::Declared(id, span, _) => Some(at(snapshot, *id, *span)),
        Target::File(id) => file(snapshot, *id),
        Target::Operators(name) => top(stubs::module(catalogue, name)?),
        Target::Operator(name) => operator(catalogue, name, None),
        Target::Argument(name, argument) => operator(catalogue, name, Some(argument)),
        Target::Prelude(name) => operator(catalogue, name, None),
        Target::With(_) | Target::Column | Target::Method(_) | Target::Type(_) => None,
    }
}

/// What a name stands for, in a form that holds over several analyses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Declared in a file, at a byte of it.
    Declared(PathBuf, u32),
    /// Of the language or the library.
    Given(Target),
}

/// Returns what a name stands for; none for columns, whose declaration no single place is.
pub fn meaning(snapshot: &Snapshot, target: &Target) -> Option<Meaning> {
    match target {
        Target::Declared(id, span, _) => {
            Some(Meaning::Declared(snapshot.program.modules[*id].path.clone(), span.start))
        }
        Target::Column => None,
        other => Some(Meaning::Given(other.clone())),
    }
}

/// Returns all names of a recipe that have a meaning, with their modules.
pub fn uses<'a>(snapshot: &'a Snapshot, wanted: &'a Meaning) -> impl Iterator<Item = (usize, &'a Use)> {
    let modules = snapshot.uses.iter().enumerate();
    modules
        .flat_map(|(id, uses)| uses.iter().map(move |u| (id, u)))
        .filter(move |(_, u)| meaning(snapshot, &u.target).is_some_and(|m| m == *wanted))
}

/// Returns where a meaning is used in the recipes at hand, each place once, sorted; declarations too if asked for.
pub fn references<'a>(
    snapshots: impl Iterator<Item = &'a Snapshot>,
    wanted: &Meaning,
    declarations: bool,
) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for snapshot in snapshots {
        let uses = uses(snapshot, wanted).filter(|(_, u)| declarations || !u.declares);
        found.extend(uses.map(|(id, u)| at(snapshot, id, u.span)));
    }
    found.sort_by(|a, b| (&a.path, a.start).cmp(&(&b.path, b.start)));
    found.dedup_by(|a, b| a.path == b.path && a.start == b.start);
    found
}

/// Returns a place of a module.
pub fn at(snapshot: &Snapshot, module: usize, span: Span) -> Found {
    let path = snapshot.program.modules[module].path.clone();
    Found { path, text: Arc::clone(snapshot.text(module)), start: span.start as usize, end: span.end as usize }
}

/// Says whether a path is one of the library's.
pub fn in_std(path: &Path) -> bool {
    path.is_relative() && path.starts_with("std")
}

fn file(snapshot: &Snapshot, module: usize) -> Option<Found> {
    let source = snapshot.program.modules[module].file.source;
    Some(at(snapshot, module, Span::new(source, 0, 0)))
}

fn top(stub: Stub) -> Option<Found> {
    Some(Found { path: stub.path, text: stub.text.into(), start: 0, end: 0 })
}

fn operator(catalogue: &Catalogue, name: &str, argument: Option<&str>) -> Option<Found> {
    let stub = match name.rsplit_once('.') {
        Some((module, _)) => stubs::module(catalogue, module)?,
        None => stubs::functions(),
    };
    let (start, end) = stubs::place(&stub, name, argument)?;
    Some(Found { path: stub.path, text: stub.text.into(), start, end })
}
