//! Lints: what a graph says before anything runs, and what its author most likely did not mean. One file a topic.

mod chain;
mod data;
mod evaluation;
mod gates;
mod leaks;
mod lengths;
mod licences;
mod memory;
mod observed;
mod pins;
mod refused;
mod rows;
mod schedule;
mod seen;
mod training;
mod unused;
mod unusual;

use std::collections::BTreeMap;

use super::Options;
use super::faults::Faults;
use super::graph::{Graph, Node, PathArg};
use super::memory::Models;
use crate::base::codes::{Code, E0211, E0301, E0309, E0802, E0804, W0506, W0510, W0530};
use crate::base::{Diagnostic, Problems, SourceMap, Span, World};
use crate::semantics::allow;
use crate::semantics::modules::Program;
use crate::spec::Catalogue;
use crate::spec::observed::Columns;
use crate::syntax::ast::{Expr, ItemKind, RecordField, With};

/// What somebody knows of the files that sources read: the lock does, once it is written.
pub trait Known {
    /// How many rows a file has.
    fn rows(&self, file: &PathArg) -> Option<u64>;

    /// What its rows hold, where somebody has looked.
    fn columns(&self, _: &PathArg) -> Option<&Columns> {
        None
    }

    /// The words that 99 of 100 rows do not exceed, for each column of text.
    fn words(&self, _: &PathArg) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

/// Knows of no file.
pub struct Nothing;

impl Known for Nothing {
    fn rows(&self, _: &PathArg) -> Option<u64> {
        None
    }
}

/// Errors that nothing but the lock shows.
pub const LOCKED: &[Code] = &[E0301, E0309, E0802, E0804];

/// What all lints look at.
struct Facts<'a> {
    catalogue: &'a Catalogue,
    graph: &'a Graph,
    sources: &'a SourceMap,
    known: &'a dyn Known,
    program: &'a Program,
}

impl Facts<'_> {
    /// Where an option of the `with` of a node's binding stands.
    fn with_place(&self, node: &Node, option: &str) -> Option<Span> {
        let around = |e: &Expr| e.span.covers(node.span);
        let items = self.program.modules.iter().flat_map(|m| &m.file.items);
        let mut withs = items.filter_map(|item| match &item.kind {
            ItemKind::Let(b) | ItemKind::Stage(b) if around(&b.value) => b.with.as_ref(),
            _ => None,
        });
        let With::Record { fields, .. } = withs.next()? else { return None };
        fields.iter().find_map(|field| match field {
            RecordField::Named(name, value) if name.text == option => Some(name.span.to(value.span)),
            _ => None,
        })
    }
}

/// Evaluates a program and returns the errors that only its values show, else the warnings about its graph. A param without a value is
/// no problem yet: whoever runs the recipe gives it.
///
/// `checked` is what checking has found. Where there are errors in it, only what does not depend on an item with one is looked at.
pub fn of(
    program: &Program,
    catalogue: &Catalogue,
    sources: &mut SourceMap,
    world: &dyn World,
    options: &Options,
    known: &dyn Known,
    checked: &Problems,
) -> Problems {
    if checked.has_errors() {
        return of_parts(program, catalogue, sources, world, options, known, checked);
    }
    match super::evaluate(program, catalogue, sources, world, options) {
        (Some(planned), _) => lint(program, catalogue, &planned.graph, sources, world, known),
        (None, problems) => {
            let mut out = Problems::default();
            problems.sorted().into_iter().filter(|d| d.code != E0211).for_each(|d| out.push(d));
            out
        }
    }
}

/// As [`of`], about the parts of a program that errors elsewhere do not touch, and those whose errors say what to write instead, as if it stood there.
fn of_parts(
    program: &Program,
    catalogue: &Catalogue,
    sources: &mut SourceMap,
    world: &dyn World,
    options: &Options,
    known: &dyn Known,
    checked: &Problems,
) -> Problems {
    let mut faults = Faults::of(program, checked);
    let mut out = Problems::default();
    // What the evaluation of a part stumbles over may follow from what was left out.
    if let (Some(planned), _) = super::eval::evaluate_parts(program, catalogue, sources, world, options, &mut faults) {
        for d in lint(program, catalogue, &planned.graph, sources, world, known).sorted() {
            let mut spans = d.others.iter().map(|label| label.span).chain([d.primary.span]);
            // These are about what is nowhere: it may be in what was left out.
            let absent = [W0506, W0510, W0530].contains(&d.code);
            if !absent && !spans.any(|span| faults.hold(span)) {
                out.push(d);
            }
        }
    }
    out
}

/// Returns the warnings about a graph, those that an `# allow` accepts left out.
pub fn lint(
    program: &Program,
    catalogue: &Catalogue,
    graph: &Graph,
    sources: &SourceMap,
    world: &dyn World,
    known: &dyn Known,
) -> Problems {
    let facts = Facts { catalogue, graph, sources, known, program };
    let mut models = Models::new(graph, world);
    let mut licences = licences::Licences::new();
    let mut found = Problems::default();
    for id in graph.dag.node_indices() {
        let node = graph.node(id);
        // What the standard library says is not the user's to mend.
        if !from_user(program, node.span) {
            continue;
        }
        training::lint(&facts, node, &mut found);
        memory::lint(&mut models, node, &mut found);
        unusual::lint(node, &mut found);
        unused::lint(node, &mut found);
        evaluation::lint(node, &mut found);
        data::lint(&facts, node, &mut found);
        gates::lint(&facts, node, &mut found);
        refused::lint(&facts, node, &mut found);
        chain::lint(&facts, node, &mut found);
        lengths::lint(&facts, node, &mut found);
        licences::lint(&facts, &mut licences, world, node, &mut found);
    }
    observed::lint(&facts, &mut found);
    pins::lint(program, &facts, &mut found);
    leaks::lint(&facts, &mut found);
    // A branch that this profile does not take may be what a comment is about.
    let several = program.modules[0].file.items.iter().any(|i| matches!(i.kind, ItemKind::Profile { .. }));
    let mut rest = found.sorted();
    let mut out = Problems::default();
    for module in program.modules.iter().filter(|m| m.folder.is_some()) {
        let (mine, others) = rest.into_iter().partition(|d: &Diagnostic| d.primary.span.source == module.file.source);
        rest = others;
        let mine: Vec<Diagnostic> = mine;
        let mut list = Problems::default();
        mine.into_iter().for_each(|d| list.push(d));
        let kept = allow::apply(&module.file, list, allow::Stage::Plan).sorted();
        let stale = |d: &Diagnostic| d.code == W0510 && (several || module.id != 0);
        kept.into_iter().filter(|d| !stale(d)).for_each(|d| out.push(d));
    }
    out
}

fn from_user(program: &Program, span: Span) -> bool {
    program.modules.iter().any(|m| m.folder.is_some() && m.file.source == span.source)
}

/// Where an argument stands, else the call.
fn at(node: &Node, parameter: &str) -> Span {
    node.place(parameter).unwrap_or(node.span)
}

/// A number of steps, given as such.
fn steps(value: &serde_json::Value) -> Option<u64> {
    value["steps"].as_u64().or_else(|| value.as_u64())
}

/// Prints a share as percent.
fn percent(share: f64) -> String {
    format!("{} %", (share * 1000.0).round() / 10.0)
}
