//! `rbpipe run`: compile, hold the inputs against the lock, then execute what outputs and expectations need.

use std::cell::LazyCell;
use std::sync::{Mutex, PoisonError};

use super::args::RunArgs;
use super::execute::{Around, execute};
use super::packages::Pinning;
use super::pinned::{self, Pinned};
use super::{Exit, recipe, store};
use crate::engine::event::Listener;
use crate::engine::inputs::needed;
use crate::engine::run::decide::{Forecast, Line, Tally};
use crate::engine::run::past;
use crate::engine::run::scheduler::Summary;
use crate::plan::NodeId;
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
    let mut problems = needed::missing(graph, &selection);
    let (secrets, more) = needed::secrets(graph, &selection, &compiled.planned.secrets);
    problems.extend(more);
    compiled.refuse(problems)?;
    let (store, files) = ahead.map_or_else(store::open, Ok)?;
    let mut locked = Pinned::open(&compiled, &selection, &files)?;
    if !args.no_exec {
        let accepted = locked.resolve(&compiled, &args.update)?;
        locked.hear(&mut compiled, &selection, &secrets, &|name| accepted.contains(name));
    }
    let graph = &compiled.planned.graph;
    let foreseen = LazyCell::new(|| {
        let mut lines = compiled.forecaster(&selection, &store, &files).all().0;
        past::fill(graph, &store, &mut lines);
        lines
    });
    if !args.no_exec && locked.drifts() {
        // All that differs is told at once.
        locked.compare(graph, &selection, &secrets, &|id| waits(&foreseen, id));
    }
    locked.hold(&compiled, args, &|| Tally::of(graph, &foreseen))?;
    let locked = Mutex::new(locked);
    let held = || locked.lock().unwrap_or_else(PoisonError::into_inner);
    // Where all that was asked is answered, nobody needs a server.
    let before = |lines: &[Line]| {
        let mut locked = held();
        if !locked.compare(graph, &selection, &secrets, &|id| waits(lines, id)) {
            return Ok(());
        }
        locked.hold(&compiled, args, &|| Tally::of(graph, lines))
    };
    let mut after = |summary: &Summary, listener: &dyn Listener| {
        if !args.frozen {
            let look = |id, rows: &_, pinned| match pinned {
                true => Columns::new(),
                false => pinned::glance(graph, &store, id, rows),
            };
            held().keep(summary, &|_| true, &look, listener);
        }
    };
    let around = Around { before: &before, after: &mut after };
    let exit = execute(&compiled, &selection, &store, &files, secrets.clone(), args, around)?;
    store::keep_index(&files, &store);
    // The process ends here: to give back ten thousand nodes one by one would take a tenth of its time.
    std::mem::forget(compiled);
    Ok(exit)
}

/// Says whether a node has no result yet, so that it may ask a server.
fn waits(lines: &[Line], id: NodeId) -> bool {
    lines.iter().any(|line| line.node == id && line.forecast != Forecast::Hit)
}
