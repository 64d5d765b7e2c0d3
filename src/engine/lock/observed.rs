//! What a recipe reads, as it is now.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::Path;

use super::names::{below, name_of};
use super::pins::{Pin, Table};
use crate::base::{Digest, Span};
use crate::engine::inputs::models;
use crate::engine::inputs::servers::{Facts, Server};
use crate::engine::inputs::terms::{self, Terms};
use crate::engine::storage::files::{FileIndex, is_there};
use crate::plan::select::Selection;
use crate::plan::{Graph, Node, NodeId, PathArg};
use crate::spec::{Class, Effect, user_op};

/// What a selection reads, as it is now.
#[derive(Debug, Default)]
pub struct Observed {
    pub(super) pins: BTreeMap<(Table, String), Found>,
    pub(super) operators: BTreeMap<String, (u32, Span)>,
}

#[derive(Debug)]
pub(super) struct Found {
    /// Nothing for an input that is not there.
    pub(super) pin: Option<Pin>,
    pub(super) span: Span,
    /// The nodes that read it.
    pub(super) nodes: Vec<NodeId>,
}

impl Observed {
    /// Adds a server with what is pinned of it, or what it says now; without either it counts as an input that is not there.
    pub fn add_server(&mut self, name: &str, server: &Server, says: Option<Facts>) {
        let pin = says.map(|says| Pin { says, ..Pin::default() });
        let found = Found { pin, span: server.span, nodes: server.nodes.iter().copied().collect() };
        self.pins.insert((Table::Servers, name.to_owned()), found);
    }

    /// Leaves a server out that says nothing of itself.
    pub fn drop_server(&mut self, name: &str) {
        self.pins.remove(&(Table::Servers, name.to_owned()));
    }

    /// Returns every name that an entry can be called by.
    pub fn names(&self) -> Vec<&str> {
        self.pins.keys().map(|(_, name)| name.as_str()).chain(self.operators.keys().map(String::as_str)).collect()
    }

    /// Returns the entries that some nodes read.
    pub fn read_by(&self, wanted: &dyn Fn(NodeId) -> bool) -> Vec<&str> {
        let read = self.pins.iter().filter(|(_, found)| found.nodes.iter().any(|&id| wanted(id)));
        read.map(|((_, name), _)| name.as_str()).collect()
    }
}

/// Says whether a node brings something in from outside.
fn is_input(node: &Node) -> bool {
    node.effect == Effect::Source && node.inputs.is_empty() && (!node.paths.is_empty() || node.class != Class::Sampled)
}

/// Returns the part of a selection that reads inputs.
pub fn readers(graph: &Graph, selection: &Selection) -> Selection {
    let nodes = selection.nodes.iter().copied().filter(|&id| is_input(graph.node(id))).collect();
    Selection { nodes, outputs: Vec::new() }
}

/// Looks at everything that a selection reads. Files that did not change since they were last looked at are not read again.
///
/// # Errors
/// A file cannot be read.
pub fn observe(graph: &Graph, selection: &Selection, files: &FileIndex, recipe: &Path) -> io::Result<Observed> {
    let home = recipe.parent().unwrap_or(Path::new(""));
    let mut out = Observed::default();
    let below = |path: &Path| {
        // What lies in a package has the package's name: where packages lie is a matter of this machine.
        match graph.package_of(path) {
            Some((name, rest)) => Ok(format!("{name}/{}", rest.display())),
            None => below(path, home),
        }
    };
    for (name, package) in &graph.packages {
        let span = package.span;
        let pin = Some(Pin::of_package(&package.pin));
        out.pins.insert((Table::Packages, name.clone()), Found { pin, span, nodes: Vec::new() });
    }
    for (path, text) in &graph.texts {
        let pin = Pin { digest: Some(text.digest), files: Some(1), bytes: Some(text.bytes), ..Pin::default() };
        let found = Found { pin: Some(pin), span: text.span, nodes: Vec::new() };
        out.pins.insert((Table::Texts, below(path)?), found);
    }
    for &id in &selection.nodes {
        let node = graph.node(id);
        if node.gate.is_none() {
            out.operators.entry(node.op.clone()).or_insert((node.version, node.span));
        }
        if let Some(arg) = environment(node) {
            let pin = is_there(arg).then(|| look(arg, files)).transpose()?;
            let found = out.pins.entry((Table::Environments, below(&arg.path)?));
            found.or_insert(Found { pin, span: arg.span, nodes: Vec::new() }).nodes.push(id);
        }
        if !is_input(node) {
            continue;
        }
        let Terms { licence, consent } = terms::of(node);
        let mut add =
            |table: Table, name: String, span: Span, pin: &dyn Fn() -> io::Result<Option<Pin>>| -> io::Result<()> {
                let found = match out.pins.entry((table, name)) {
                    Entry::Occupied(there) => there.into_mut(),
                    Entry::Vacant(place) => place.insert(Found { pin: pin()?, span, nodes: Vec::new() }),
                };
                found.nodes.push(id);
                found.span = found.span.min(span);
                Ok(())
            };
        for arg in &node.paths {
            let table = match arg {
                PathArg { media: true, .. } => Table::Media,
                PathArg { model: true, .. } => Table::Models,
                _ => Table::Sources,
            };
            let name = name_of(arg, &below)?;
            let own = |pin: Pin| match table {
                Table::Media => pin,
                _ => Pin { licence: licence.clone(), consent: consent.clone(), ..pin },
            };
            add(table, name, arg.span, &|| is_there(arg).then(|| look(arg, files).map(own)).transpose())?;
        }
        if node.paths.is_empty() {
            let first = node.args.as_object().and_then(|args| args.values().find_map(|v| v.as_str()));
            let name = first.unwrap_or(&node.op).to_owned();
            let pin = Pin { arguments: Some(Digest::of_json(&node.args)), licence, consent, ..Pin::default() };
            add(Table::Models, name, node.span, &|| Ok(Some(pin.clone())))?;
        }
    }
    Ok(out)
}

/// Returns the lock of the environment that a user's own operator runs in, where it names one.
fn environment(node: &Node) -> Option<&PathArg> {
    let name = node.args.get("env").and_then(|v| v.as_str()).filter(|_| node.op == user_op::RUN)?;
    node.paths.iter().find(|arg| arg.arg.strip_prefix(user_op::FILES) == Some(name))
}

fn look(arg: &PathArg, files: &FileIndex) -> io::Result<Pin> {
    let told = |e: io::Error| io::Error::new(e.kind(), format!("cannot read `{}`: {e}", arg.path.display()));
    let mut pin = Pin::default();
    if arg.repository.as_ref().is_some_and(|r| r.revision.is_some()) {
        pin.revision = arg.path.file_name().map(|n| n.to_string_lossy().into_owned());
    }
    if arg.model && arg.path.is_dir() {
        for (name, path) in models::files(&arg.path).map_err(told)? {
            pin.parts.insert(name, files.file(&path).map_err(told)?);
        }
        return Ok(pin);
    }
    let seen = files.seen(arg).map_err(told)?;
    Ok(Pin { digest: Some(seen.digest), files: Some(seen.files), bytes: Some(seen.bytes), ..pin })
}
