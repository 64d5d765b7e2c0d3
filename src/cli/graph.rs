//! `rbpipe graph`: the DAG as text, picture or data.

use super::args::{Drawing, GraphArgs};
use super::{Exit, recipe};
use crate::plan::render;

/// Runs the command.
pub(super) fn run(args: &GraphArgs) -> Exit {
    draw(args).unwrap_or_else(|exit| exit)
}

fn draw(args: &GraphArgs) -> Result<Exit, Exit> {
    let compiled = recipe::compile(&args.recipe)?;
    let selection = compiled.select(&[])?;
    let graph = &compiled.planned.graph;
    let text = match args.format {
        Drawing::Text => render::text(graph, &selection),
        Drawing::Dot => render::dot(graph, &selection),
        Drawing::Mermaid => render::mermaid(graph, &selection),
        Drawing::Svg => render::svg(graph, &selection, &|_| "#fff"),
        Drawing::Json => format!("{}\n", render::json(graph, &selection)),
    };
    print!("{text}");
    Ok(Exit::Done)
}
