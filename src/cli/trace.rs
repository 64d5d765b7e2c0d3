//! `rbpipe trace`: follows one row through every operator.

use super::args::TraceArgs;
use super::{Exit, recipe, store};
use crate::base::phrase;
use crate::engine::trace;

/// Runs the command.
pub(super) fn run(args: &TraceArgs) -> Exit {
    follow(args).unwrap_or_else(|exit| exit)
}

fn follow(args: &TraceArgs) -> Result<Exit, Exit> {
    let compiled = recipe::compile(&args.recipe)?;
    let selection = compiled.select(&[])?;
    let graph = &compiled.planned.graph;
    let (store, files) = store::open()?;
    let (lines, results) = compiled.forecaster(&selection, &store, &files).all();
    let _ = files.save(&store);
    let found = trace::trace(graph, &lines, &results, &store, &args.row).map_err(|e| {
        eprintln!("error: {}", e.message);
        Exit::Node
    })?;
    let recipe = args.recipe.recipe.display();
    if found.steps.is_empty() {
        let row = &args.row;
        let help = match &found.example {
            Some(example) => format!("names are those of the column `id`, such as `{example}`"),
            None if found.unknown > 0 => format!("nothing has run yet; `rbpipe run {recipe}` does"),
            None => "only rows with a column `id` can be followed".to_owned(),
        };
        eprintln!("error: no row is called `{row}`: {help}");
        return Err(if found.example.is_none() && found.unknown > 0 { Exit::Refused } else { Exit::Usage });
    }
    let width = found.steps.iter().map(|s| s.node.len() + s.op.len() + 3).max().unwrap_or(0);
    for step in &found.steps {
        let place = if step.node == step.op { step.node.clone() } else { format!("{} ({})", step.node, step.op) };
        println!("{place:<width$}  {}", step.says);
    }
    if found.unknown > 0 {
        let nodes = phrase::count(found.unknown, "node");
        eprintln!("{nodes} without a recorded result: `rbpipe plan {recipe}` says why");
    }
    Ok(Exit::Done)
}
