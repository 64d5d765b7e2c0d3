//! `rbpipe lock`: reads every input once and pins it, or merges two locks.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::args::{LockArgs, RecipeArgs, RunArgs};
use super::execute::{Around, execute};
use super::packages::Pinning;
use super::pinned::{self, Pinned};
use super::{Exit, recipe, say, store};
use crate::base::phrase;
use crate::engine::event::Listener;
use crate::engine::inputs::needed;
use crate::engine::lock;
use crate::engine::outputs::publish;
use crate::engine::run::scheduler::Summary;

/// Runs the command: reads every input once, checks its rows, and writes what it is.
pub(super) fn run(args: &LockArgs) -> Exit {
    let done = match (&args.merge, &args.recipe) {
        (Some(files), _) => merge(files),
        (None, Some(recipe)) => pin(args, &RecipeArgs::of(recipe, &args.choice)),
        (None, None) => Err(Exit::Usage),
    };
    done.unwrap_or_else(|exit| exit)
}

/// Merges two changed locks into the second file, as version control asks for.
fn merge(files: &[PathBuf]) -> Result<Exit, Exit> {
    let [base, ours, theirs] = files else { return Err(Exit::Usage) };
    let failed = |path: &Path, why: String| {
        say(&format!("error: `{}`: {why}", path.display()));
        Exit::Usage
    };
    let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(|e| failed(path, e.to_string()));
    let merged = lock::merge::merge(&read(base)?, &read(ours)?, &read(theirs)?).map_err(|why| failed(ours, why))?;
    let write = |file: &mut std::fs::File| file.write_all(merged.text.as_bytes());
    publish::write_whole(ours, &mut { write }).map_err(|e| failed(ours, e.to_string()))?;
    if merged.conflicts.is_empty() {
        return Ok(Exit::Done);
    }
    let names = phrase::quoted(&merged.conflicts);
    say(&format!("both sides changed {names}, and not alike: keep one side, or pin what is there with `rbpipe lock`"));
    Ok(Exit::Recipe)
}

fn pin(args: &LockArgs, recipe: &RecipeArgs) -> Result<Exit, Exit> {
    let mut compiled = recipe::compile_pinning(recipe, Pinning::New(&args.update))?;
    let selection = compiled.select(&[])?;
    let (store, files) = store::open()?;
    let mut pinned = Pinned::open(&compiled, &selection, &files)?;
    let named = match args.update.is_empty() {
        true => None,
        false => Some(pinned.resolve(&compiled, &args.update)?),
    };
    let wanted = |name: &str| named.as_ref().is_none_or(|names| names.contains(name));
    // Without its key a server says less, or nothing; what else lacks it is told by `run`.
    let secrets = needed::secrets(&compiled.planned.graph, &selection, &compiled.planned.secrets).0;
    pinned.hear(&mut compiled, &selection, &secrets, &wanted);
    let graph = &compiled.planned.graph;
    let mut readers = lock::readers(graph, &selection);
    readers.nodes.retain(|&id| pinned.now.read_by(&|n| n == id).into_iter().any(wanted));
    compiled.refuse(needed::missing(graph, &readers))?;
    let how = RunArgs { recipe: recipe.clone(), ..RunArgs::default() };
    let mut after = |summary: &Summary, listener: &dyn Listener| {
        if summary.failures.is_empty() && !summary.interrupted {
            pinned.keep(summary, &wanted, &|id, rows, _| pinned::look(graph, &store, id, rows), listener);
        }
    };
    let around = Around { before: &|_| Ok(()), after: &mut after };
    let exit = execute(&compiled, &readers, &store, &files, BTreeMap::new(), &how, around)?;
    store::keep_index(&files, &store);
    if exit == Exit::Done && !pinned.changed {
        say("the lock says so already");
    }
    Ok(exit)
}
