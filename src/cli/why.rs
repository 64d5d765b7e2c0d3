//! `rbpipe why`: field by field, why a node ran or would run.

use serde_json::Value as Json;

use super::args::WhyArgs;
use super::{Exit, recipe, store};
use crate::base::phrase;
use crate::engine::run::decide::Forecast;
use crate::engine::run::past;
use crate::engine::storage::record;
use crate::plan::explain;

/// Runs the command.
pub(super) fn run(args: &WhyArgs) -> Exit {
    why(args).unwrap_or_else(|exit| exit)
}

fn why(args: &WhyArgs) -> Result<Exit, Exit> {
    let compiled = recipe::compile(&args.recipe)?;
    let selection = compiled.select(std::slice::from_ref(&args.node))?;
    let graph = &compiled.planned.graph;
    let Some(wanted) = graph.find(&args.node) else {
        eprintln!("error: `{}` stands for several nodes; name one of them", args.node);
        return Err(Exit::Usage);
    };
    let (store, files) = store::open()?;
    let forecaster = compiled.forecaster(&selection, &store, &files);
    let (mut lines, _) = forecaster.all();
    past::failures(graph, &store, &compiled.path, &mut lines);
    let _ = files.save(&store);
    let Some(line) = lines.iter().find(|l| l.node == wanted.node) else { return Ok(Exit::Done) };
    let node = graph.node(wanted.node);
    let state = line.forecast.word();
    println!("{} ({}): {state}: {}", node.name, node.op, line.why);
    let previous = forecaster.last.get(&node.name).and_then(|key| record::read(&store, *key));
    let Some(identity) = &line.identity else {
        for upstream in lines.iter().filter(|l| l.forecast == Forecast::Run) {
            println!("  upstream `{}` runs: {}", graph.node(upstream.node).name, upstream.why);
        }
        return Ok(Exit::Done);
    };
    println!("  key {}", identity.key);
    if let Some(began) = record::read(&store, identity.key).and_then(|made| made.began) {
        println!("  began after step {} of a shorter training, from the state {}", began.step, began.state.short());
    }
    match previous {
        Some(previous) if previous.key != identity.key => {
            println!("  compared with {} made {}", previous.key.short(), previous.made);
            for change in explain::diff(&previous.preimage, &identity.preimage(node)) {
                println!("  - {}", explain::sentence(&change));
            }
        }
        _ => {
            // That an argument is an input says no more than the digest of the input itself.
            let told = |value: &Json| value.get("$input").is_none();
            for (field, value) in identity.preimage(node).into_iter().filter(|(_, value)| told(value)) {
                println!("  {field} = {}", phrase::shortened(&explain::said(&value), 100));
            }
        }
    }
    Ok(Exit::Done)
}
