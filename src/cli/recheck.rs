//! `rbpipe cache check`: executes recorded nodes again and compares.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::args::{RecheckArgs, RunArgs};
use super::ending::stop_on_signals;
use super::{Exit, engine, placement, recipe, store};
use crate::base::phrase;
use crate::engine::Store;
use crate::engine::event::{Event, Listener};
use crate::engine::inputs::needed;
use crate::engine::recheck::{self, Verdict};
use crate::engine::run::setup::Setup;
use crate::engine::stop::Stop;
use crate::engine::storage::files::FileIndex;
use crate::plan::select::Selection;

/// Hears nothing: the verdicts are what counts here.
struct Silent;

impl Listener for Silent {
    fn hear(&self, _: &Event) {}
}

/// Runs the command.
pub(super) fn run(store: &Store, files: &FileIndex, args: &RecheckArgs) -> Result<Exit, Exit> {
    let compiled = recipe::compile(&args.recipe)?;
    let selection = compiled.ready()?;
    let graph = &compiled.planned.graph;
    let stop = Arc::new(Stop::default());
    stop_on_signals(&stop, None);
    let operators = recipe::operators();
    let find = || engine::find(&|_| {});
    let executors = placement::executors(&compiled, &RunArgs::default(), &find);
    let mut setup = Setup {
        store,
        files,
        operators: &operators,
        secrets: BTreeMap::new(),
        listener: &Silent,
        executors: &executors,
        fail_fast: false,
        no_exec: false,
        remote: None,
        lazy: false,
        stop: &stop,
        foresee: None,
    };
    let salt = u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(0);
    let (chosen, results) = recheck::sample(graph, &selection, &setup, args.sample, salt);
    store::keep_index(files, store);
    let wanted = Selection { nodes: chosen.iter().map(|(id, _)| *id).collect(), outputs: Vec::new() };
    let (secrets, problems) = needed::secrets(graph, &wanted, &compiled.planned.secrets);
    compiled.refuse(problems)?;
    setup.secrets = secrets;
    let (mut diverging, mut failed) = (0, 0);
    for (id, identity) in &chosen {
        let node = graph.node(*id);
        let verdict = recheck::again(graph, *id, identity, &results, &setup);
        if stop.soon.load(Ordering::Relaxed) {
            return Ok(Exit::Interrupted);
        }
        match verdict {
            Verdict::Same => println!("same      {} ({})", node.name, node.op),
            Verdict::Diverges(what) => {
                diverging += 1;
                println!("diverges  {} ({}): {}", node.name, node.op, what.join("; "));
            }
            Verdict::Failed(e) => {
                failed += 1;
                println!("failed    {} ({}): [{}] {}", node.name, node.op, e.code, e.message);
            }
        }
    }
    match (chosen.len(), diverging, failed) {
        (0, ..) => println!("nothing is recorded that promises the same bytes each time; `rbpipe run` makes it"),
        (all, 0, 0) => println!("{} executed again, the same bytes each", phrase::count(all, "node")),
        (all, ..) => println!("{} executed again: {diverging} diverge, {failed} failed", phrase::count(all, "node")),
    }
    Ok(match (diverging, failed) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Node,
        _ => Exit::Refused,
    })
}
