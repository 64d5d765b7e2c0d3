//! `rbpipe run`: compile, hold the inputs against the lock, then execute what outputs and expectations need.

use std::collections::BTreeSet;

use super::args::RunArgs;
use super::execute::execute;
use super::packages::Pinning;
use super::pinned::{self, Pinned};
use super::recipe::Compiled;
use super::{Exit, recipe, render, store};
use crate::engine::decide::{self, Forecast, Tally};
use crate::engine::files::FileIndex;
use crate::engine::{Store, inputs, past};
use crate::plan::NodeId;
use crate::plan::select::Selection;
use crate::spec::observed::Columns;

/// Runs the command.
pub(super) fn run(args: &RunArgs) -> Exit {
    run_recipe(args).unwrap_or_else(|exit| exit)
}

fn run_recipe(args: &RunArgs) -> Result<Exit, Exit> {
    let ahead = store::open_ahead(&args.recipe.recipe);
    let pinning = if args.frozen { Pinning::Held } else { Pinning::New(&args.update) };
    let mut compiled = recipe::compile_pinning(&args.recipe, pinning)?;
    let selection = compiled.select(&args.to)?;
    let graph = &compiled.planned.graph;
    let mut problems = inputs::missing(graph, &selection);
    let (secrets, more) = inputs::secrets(graph, &selection, &compiled.planned.secrets);
    problems.extend(more);
    if !problems.is_empty() {
        render::print_human(&compiled.sources, &problems.sorted());
        return Err(Exit::Recipe);
    }
    let (store, files) = ahead.map_or_else(store::open, Ok)?;
    let mut locked = Pinned::open(&compiled, &selection, &files)?;
    if !args.no_exec {
        let accepted = locked.resolve(&compiled, &args.update)?;
        // Where all that was asked is answered, nobody needs the server.
        let waiting = waiting(&compiled, &selection, &store, &files);
        let waits = |id| waiting.contains(&id);
        locked.hear(&mut compiled, &selection, &secrets, &|name| accepted.contains(name), &waits);
    }
    let graph = &compiled.planned.graph;
    let cost = || {
        let mut lines = decide::forecast(graph, &selection, &store, &files, &compiled.last_keys(&store)).0;
        past::fill(graph, &store, &mut lines);
        Tally::of(graph, &lines)
    };
    locked.hold(&compiled, args, &cost)?;
    let exit = execute(&compiled, &selection, &store, &files, secrets, args, &mut |summary, listener| {
        if !args.frozen {
            let look = |id, rows: &_, pinned| match pinned {
                true => Columns::new(),
                false => pinned::glance(graph, &store, id, rows),
            };
            locked.keep(summary, &|_| true, &look, listener);
        }
    })?;
    store::keep_index(&files, &store);
    // The process ends here: to give back ten thousand nodes one by one would take a tenth of its time.
    std::mem::forget(compiled);
    Ok(exit)
}

/// The nodes without a result, where servers are pinned that some of them may ask.
fn waiting(compiled: &Compiled, selection: &Selection, store: &Store, files: &FileIndex) -> BTreeSet<NodeId> {
    let graph = &compiled.planned.graph;
    if graph.servers.is_empty() {
        return BTreeSet::new();
    }
    let (lines, _) = decide::forecast(graph, selection, store, files, &compiled.last_keys(store));
    lines.iter().filter(|line| line.forecast != Forecast::Hit).map(|line| line.node).collect()
}
