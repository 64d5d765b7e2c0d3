//! `rbpipe report`: one HTML file about the last run of a recipe.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use minijinja::context;
use serde_json::{Map, Value as Json, json};

use super::args::ReportArgs;
use super::recipe::{self, Compiled};
use super::{Exit, store};
use crate::base::phrase;
use crate::engine::chronicle::{self, Chronicle, Told};
use crate::engine::outputs::publish;
use crate::ops::report::{STYLE, fill};
use crate::plan::render;
use crate::plan::select::Selection;

/// A graph of more nodes is drawn when it is asked for: nobody reads it at once.
const DRAWN: usize = 200;
/// Bars of the timeline, at most: the longest.
const BARS: usize = 120;
/// Bytes of a published text that the page shows, at most.
const SHOWN: usize = 20_000;

/// Runs the command.
pub(super) fn run(args: &ReportArgs) -> Exit {
    report(args).unwrap_or_else(|exit| exit)
}

fn report(args: &ReportArgs) -> Result<Exit, Exit> {
    let compiled = recipe::compile(&args.recipe)?;
    let selection = compiled.select(&[])?;
    let (store, _) = store::open()?;
    let Some(run) = chronicle::last(&store, &compiled.path) else {
        eprintln!("error: no run of this recipe is on record; `rbpipe run {}` makes one", compiled.path.display());
        return Err(Exit::Refused);
    };
    let path = args.out.clone().unwrap_or_else(|| default_path(&compiled.path));
    let failed = |why: String| {
        eprintln!("error: cannot write `{}`: {why}", path.display());
        Exit::Node
    };
    let page = page(&compiled, &selection, &run).map_err(|e| failed(e.to_string()))?;
    publish::write_whole(&path, &mut |file| file.write_all(page.as_bytes())).map_err(|e| failed(e.to_string()))?;
    println!("{}", path.display());
    Ok(Exit::Done)
}

/// Returns `out/NAME-run.html` beside the recipe.
fn default_path(recipe: &Path) -> PathBuf {
    let stem = recipe.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    recipe.parent().unwrap_or(Path::new("")).join("out").join(format!("{stem}-run.html"))
}

fn page(compiled: &Compiled, selection: &Selection, run: &Chronicle) -> Result<String, minijinja::Error> {
    let graph = &compiled.planned.graph;
    let states: BTreeMap<&str, &str> = run.nodes.iter().map(|n| (n.name.as_str(), n.state)).collect();
    let color = |id| match states.get(graph.node(id).name.as_str()) {
        Some(&"done") => "#dff1e4",
        Some(&"failed") => "#f6d5d0",
        Some(&"hit") => "#ffffff",
        _ if graph.node(id).gate.is_some() => "#ffffff",
        _ => "#f6eccb",
    };
    let bars = bars(run);
    let curves: Vec<Json> =
        run.nodes.iter().filter_map(|n| Some(json!({ "name": n.name, "svg": n.curve.as_ref()? }))).collect();
    let tables: Vec<Json> =
        run.nodes.iter().filter_map(|n| Some(json!({ "name": n.name, "html": n.table.as_ref()? }))).collect();
    let files = files(compiled, run);
    let edited = files.iter().any(|file| file["edited"] == true);
    let began = run.nodes.iter().filter(|n| n.from.is_some()).count();
    let time_note = format!(
        "{} began{}; each bar begins where the node did.",
        phrase::count(began, "node"),
        if began > bars.len() { format!(", the {} longest are shown", bars.len()) } else { String::new() }
    );
    let values = context! {
        title => format!("Run of {}", compiled.path.display()),
        subtitle => subtitle(run),
        style => format!("{STYLE}{}", include_str!("report/page.css")),
        run => run,
        time => bars,
        time_note,
        graph => render::svg(graph, selection, &color),
        many => selection.nodes.len() > DRAWN,
        count => selection.nodes.len(),
        nodes => worst_first(run).into_iter().map(line).collect::<Vec<_>>(),
        curves => curves,
        tables => tables,
        edited => edited,
        machine => machine(&run.machine),
        outputs => outputs(compiled),
        files => files,
    };
    fill(include_str!("report/page.html"), values)
}

/// What failed stands first, then what was not reached, then the rest in its order.
fn worst_first(run: &Chronicle) -> Vec<&Told> {
    let rank = |node: &&Told| match node.state {
        "failed" => 0,
        "stopped" | "running" | "waiting" => 1,
        "skipped" | "missed" => 2,
        _ => 3,
    };
    let mut nodes: Vec<&Told> = run.nodes.iter().collect();
    nodes.sort_by_key(rank);
    nodes
}

fn subtitle(run: &Chronicle) -> String {
    let count = |state: &str| run.nodes.iter().filter(|n| n.state == state).count();
    let mut parts = vec![run.started.clone()];
    parts.push(match run.seconds {
        Some(seconds) => format!("took {}", phrase::duration(seconds)),
        None if run.goes_on => "still running".to_owned(),
        None => "never ended".to_owned(),
    });
    let worth = |(_, most): &(f64, f64)| *most > 0.0;
    parts.extend(run.foreseen.filter(worth).map(|(sure, most)| {
        let most = if most > sure { format!(" to {}", phrase::duration(most)) } else { String::new() };
        format!("the plan said {}{most} of work", phrase::duration(sure))
    }));
    parts.push(format!("{} executed, {} from the cache", count("done"), count("hit")));
    parts.extend((count("failed") > 0).then(|| format!("{} failed", count("failed"))));
    parts.extend((count("stopped") > 0).then(|| format!("{} stopped", count("stopped"))));
    parts.extend((count("skipped") > 0).then(|| format!("{} skipped", count("skipped"))));
    parts.extend(run.exit.map(|code| format!("exit code {code}")));
    parts.join(" · ")
}

/// Says where the run was: host, what it has, and what ran there.
fn machine(told: &Map<String, Json>) -> String {
    let number = |name: &str| told.get(name).and_then(Json::as_u64);
    let text = |name: &str| told.get(name).and_then(Json::as_str);
    let parts = [
        text("host").map(str::to_owned),
        number("cores").map(|n| phrase::count(n as usize, "core")),
        number("memory").map(|n| format!("{} of memory", phrase::bytes(n))),
        number("gpus").filter(|n| *n > 0).map(|n| phrase::count(n as usize, "GPU")),
        text("build").map(|build| format!("rbpipe {build}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// Returns the files of the recipe as they ran, and says which were edited since. Older journals name none: then they are shown as they are.
fn files(compiled: &Compiled, run: &Chronicle) -> Vec<Json> {
    let now: BTreeMap<&str, &str> = compiled.own_files().collect();
    if run.files.is_empty() {
        let note = "as it is now: what ran was not kept";
        return now.iter().map(|(name, text)| json!({ "name": name, "text": text, "note": note })).collect();
    }
    let told = |(name, ran): &(String, Option<String>)| {
        let is = now.get(name.as_str()).copied();
        match ran.as_deref() {
            Some(ran) if is == Some(ran) => json!({ "name": name, "text": ran }),
            Some(ran) => json!({ "name": name, "text": ran, "note": "edited since", "edited": true }),
            None => json!({ "name": name, "text": is, "note": "as it is now: what ran is not there any more" }),
        }
    };
    run.files.iter().map(told).collect()
}

/// Returns the bars of the timeline, in the order of their beginning.
fn bars(run: &Chronicle) -> Vec<Json> {
    let mut nodes: Vec<(f64, f64, &Told)> =
        run.nodes.iter().filter_map(|n| Some((n.from?, n.seconds.unwrap_or(0.0), n))).collect();
    nodes.sort_by(|a, b| b.1.total_cmp(&a.1));
    nodes.truncate(BARS);
    nodes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let end = nodes.iter().map(|(from, seconds, _)| from + seconds).fold(0.001, f64::max);
    let bar = |&(from, seconds, node): &(f64, f64, &Told)| {
        let share = |s: f64| format!("{:.3}", 100.0 * s / end);
        json!({ "name": node.name, "op": node.op, "state": node.state, "left": share(from), "width": share(seconds),
                "seconds": phrase::duration(seconds) })
    };
    nodes.iter().map(bar).collect()
}

fn line(node: &Told) -> Json {
    let counted: Vec<String> = node.counts.iter().map(|(what, n)| format!("{what} {n}")).collect();
    json!({
        "name": node.name, "op": node.op, "state": node.state, "why": node.why, "counted": counted.join(", "),
        "because": node.because,
        "seconds": node.seconds.map(phrase::duration).unwrap_or_default(),
        "foreseen": node.foreseen.map(phrase::duration).unwrap_or_default(),
        "memory": node.memory.map(phrase::bytes).unwrap_or_default(),
        "gpus": node.gpus.map(|(share, most)| format!("{:.0} %, {}", share * 100.0, phrase::bytes(most))).unwrap_or_default(),
        "rows": node.rows.map(|n| n.to_string()).unwrap_or_default(),
    })
}

/// Returns what the recipe publishes, small texts with their content.
fn outputs(compiled: &Compiled) -> Vec<Json> {
    let told = |output: &crate::plan::Output| {
        let path = output.to.as_deref()?;
        let shows = ["md", "csv", "json", "txt"].iter().any(|e| path.extension().is_some_and(|x| x == *e));
        let text = std::fs::read_to_string(path).ok().filter(|text| shows && text.len() <= SHOWN);
        Some(json!({ "name": output.name, "path": path.display().to_string(), "absent": !path.exists(), "text": text }))
    };
    compiled.planned.graph.outputs.iter().filter_map(told).collect()
}
