//! `rbpipe plan`: what would run, why, and what it would cost.

use serde_json::json;

use super::args::PlanArgs;
use super::{Exit, lock, recipe};
use crate::base::{Span, phrase};
use crate::engine::decide::{self, Forecast, Line};
use crate::engine::inputs;

/// Runs the command.
pub(super) fn run(args: &PlanArgs) -> Exit {
    plan(args).unwrap_or_else(|exit| exit)
}

fn plan(args: &PlanArgs) -> Result<Exit, Exit> {
    let compiled = recipe::compile(&args.recipe)?;
    let selection = compiled.select(&[])?;
    let (store, files) = recipe::store()?;
    let graph = &compiled.planned.graph;
    let mut absent = inputs::absent(graph, &selection);
    absent.extend(inputs::absent_secrets(graph, &selection, &compiled.planned.secrets));
    let drift = lock::Pinned::open(&compiled, &selection, &files)?.drift();
    let place = |span: Span| {
        let source = compiled.sources.get(span.source);
        let (line, col) = source.line_col(span.start as usize);
        (source.name.clone(), line, col)
    };
    let (lines, _) = decide::forecast(graph, &selection, &store, &files, &compiled.last_keys(&store));
    let _ = files.save(&store);
    let count = |f: Forecast| lines.iter().filter(|l| l.forecast == f).count();
    let seconds = |f: Forecast| lines.iter().filter(|l| l.forecast == f).filter_map(|l| l.seconds).sum::<f64>() + 0.0; // an empty sum is -0
    if args.json {
        let nodes: Vec<_> = lines
            .iter()
            .map(|l| {
                let node = graph.node(l.node);
                json!({
                    "name": node.name,
                    "op": node.op,
                    "state": state(l),
                    "why": l.why,
                    "key": l.identity.as_ref().map(|i| i.key.hex()),
                    "seconds": l.seconds,
                    "gpu_gib": null,
                    "bytes": l.bytes,
                })
            })
            .collect();
        let totals = json!({
            "hit": count(Forecast::Hit),
            "run": count(Forecast::Run),
            "maybe": count(Forecast::Maybe),
            "seconds": seconds(Forecast::Run) + seconds(Forecast::Maybe),
            "gpu_hours": 0.0,
        });
        let absent: Vec<_> = absent
            .iter()
            .map(|a| {
                let (file, line, col) = place(a.span);
                json!({ "what": a.what, "asked": a.asked, "help": a.help, "file": file, "line": line, "col": col })
            })
            .collect();
        let drift: Vec<_> = drift.iter().map(|d| json!({ "name": d.name, "what": d.what })).collect();
        println!("{}", json!({ "nodes": nodes, "totals": totals, "absent": absent, "drift": drift }));
        return Ok(Exit::Done);
    }
    let width = lines.iter().map(|l| graph.node(l.node).name.chars().count()).max().unwrap_or(4).clamp(4, 48);
    println!("{:width$}  state  {:>8}  {:>9}  why", "node", "time", "bytes");
    for l in &lines {
        let name = &graph.node(l.node).name;
        let time = l.seconds.filter(|_| l.forecast != Forecast::Hit).map_or("–".into(), time);
        let bytes = l.bytes.filter(|_| l.forecast != Forecast::Hit).map_or("–".into(), bytes);
        println!("{name:width$}  {:5}  {time:>8}  {bytes:>9}  {}", state(l), l.why);
    }
    println!(
        "total: {} run, {} maybe, {} hit · {} certain, ≤ {} by what was measured before",
        count(Forecast::Run),
        count(Forecast::Maybe),
        count(Forecast::Hit),
        time(seconds(Forecast::Run)),
        time(seconds(Forecast::Run) + seconds(Forecast::Maybe)),
    );
    if !absent.is_empty() {
        println!("absent: {}; `run` says of each where it was looked for", phrase::count(absent.len(), "input"));
    }
    for a in &absent {
        let (file, line, col) = place(a.span);
        println!("  {file}:{line}:{col}  {}  ({})", a.what, a.asked);
    }
    for d in &drift {
        let what = d.what.as_deref().unwrap_or_default();
        println!("lock: `{}` differs: {what}; `run` refuses it, `--update {}` accepts it", d.name, d.name);
    }
    Ok(Exit::Done)
}

fn state(line: &Line) -> &'static str {
    match line.forecast {
        Forecast::Hit => "hit",
        Forecast::Run => "run",
        Forecast::Maybe => "maybe",
    }
}

/// Prints seconds as people say them.
pub(super) fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}

/// Prints bytes as people say them.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
