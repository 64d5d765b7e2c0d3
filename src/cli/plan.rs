//! `rbpipe plan`: what would run, why, and what it would cost.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::args::PlanArgs;
use super::pinned::Pinned;
use super::{Exit, recipe, share, store};
use crate::base::phrase::bytes;
use crate::base::world::OsWorld;
use crate::base::{Span, phrase};
use crate::engine::inputs::needed;
use crate::engine::run::decide::{Forecast, Line, Tally};
use crate::engine::run::forecast::Forecaster;
use crate::engine::run::past;
use crate::plan::memory::formula::Precision;
use crate::plan::memory::{Estimate, Models};
use crate::plan::{Graph, Node, NodeId};

/// Runs the command.
pub(super) fn run(args: &PlanArgs) -> Exit {
    plan(args).unwrap_or_else(|exit| exit)
}

fn plan(args: &PlanArgs) -> Result<Exit, Exit> {
    let compiled = recipe::compile(&args.recipe)?;
    let selection = compiled.select(&[])?;
    let (store, files) = store::open()?;
    let graph = &compiled.planned.graph;
    let mut absent = needed::absent(graph, &selection);
    absent.extend(needed::absent_secrets(graph, &selection, &compiled.planned.secrets));
    let drift = Pinned::open(&compiled, &selection, &files)?.drift(&compiled.planned.graph);
    let place = |span: Span| {
        let source = compiled.sources.get(span.source);
        let (line, col) = source.line_col(span.start as usize);
        (source.name.clone(), line, col)
    };
    let remote = store::remote(args.remote.as_deref())?;
    let tell = |event: &str, fields: Json| share::warn("plan", event, &fields);
    let elsewhere = |key| {
        let remote = remote.as_ref()?;
        remote.recall(&store, key).or_else(|| remote.offer(key, &tell))
    };
    let forecaster = compiled.forecaster(&selection, &store, &files);
    let (mut lines, _) = Forecaster { elsewhere: &elsewhere, ..forecaster }.all();
    past::fill(graph, &store, &mut lines);
    past::failures(graph, &store, &compiled.path, &mut lines);
    let _ = files.save(&store);
    let forecast = Plan::new(graph, lines);
    if args.json {
        let absent: Vec<_> = absent
            .iter()
            .map(|a| {
                let (file, line, col) = place(a.span);
                json!({ "what": a.what, "asked": a.asked, "help": a.help, "file": file, "line": line, "col": col })
            })
            .collect();
        let drift: Vec<_> = drift.iter().map(|d| json!({ "name": d.name, "what": d.what })).collect();
        let (nodes, totals) = (forecast.nodes(), forecast.totals());
        println!("{}", json!({ "nodes": nodes, "totals": totals, "absent": absent, "drift": drift }));
        return Ok(Exit::Done);
    }
    forecast.print();
    let fetch: Vec<u64> = forecast.lines.iter().filter_map(|l| l.fetch).collect();
    if let (Some(remote), false) = (&remote, fetch.is_empty()) {
        let results = phrase::count(fetch.len(), "result");
        println!("fetch: {results}, {} from {}", bytes(fetch.iter().sum()), remote.address());
    }
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

/// The forecast of a run with what each training needs of memory.
struct Plan<'g> {
    graph: &'g Graph,
    lines: Vec<Line>,
    tally: Tally,
    memory: BTreeMap<NodeId, Estimate>,
}

impl<'g> Plan<'g> {
    fn new(graph: &'g Graph, lines: Vec<Line>) -> Self {
        let mut models = Models::new(graph, &OsWorld);
        let memory = lines.iter().filter_map(|l| Some((l.node, models.estimate(graph.node(l.node))?))).collect();
        let tally = Tally::of(graph, &lines);
        Self { graph, lines, tally, memory }
    }

    fn count(&self, f: Forecast) -> usize {
        self.lines.iter().filter(|l| l.forecast == f).count()
    }

    fn gpu_hours(&self, f: Forecast) -> f64 {
        let lines = self.lines.iter().filter(|l| l.forecast == f);
        lines.filter_map(|l| gpu_hours(l, self.graph.node(l.node))).sum::<f64>() + 0.0 // an empty sum is -0
    }

    fn nodes(&self) -> Vec<Json> {
        let node = |l: &Line| {
            let node = self.graph.node(l.node);
            let memory = self.memory.get(&l.node);
            json!({
                "name": node.name,
                "op": node.op,
                "state": l.forecast.word(),
                "why": l.why,
                "key": l.identity.as_ref().map(|i| i.key.hex()),
                "seconds": l.seconds,
                "seconds_as": l.like,
                "continues": l.continues.map(|(step, total)| json!({ "step": step, "of": total })),
                "gpu_hours": gpu_hours(l, node),
                "gpu_gib": memory.filter(|m| m.gpus > 0).map(|m| gib(m.sum())),
                "memory": memory.map(memory_json),
                "bytes": l.bytes,
                "fetch": l.fetch,
            })
        };
        self.lines.iter().map(node).collect()
    }

    fn totals(&self) -> Json {
        let [certain, maybe] = [Forecast::Run, Forecast::Maybe];
        json!({
            "hit": self.count(Forecast::Hit),
            "run": self.count(Forecast::Run),
            "maybe": self.count(Forecast::Maybe),
            "seconds": self.tally.seconds + self.tally.seconds_maybe,
            "gpu_hours": self.gpu_hours(certain) + self.gpu_hours(maybe),
            "untimed": self.tally.untimed,
        })
    }

    /// The table: columns that no line fills are left out.
    fn print(&self) {
        let name = |l: &Line| self.graph.node(l.node).name.as_str();
        let dash = || "–".to_owned();
        let row = |l: &Line| -> [String; 4] {
            if l.forecast == Forecast::Hit {
                return [dash(), dash(), dash(), dash()];
            }
            let about = if l.like.is_some() { "~" } else { "" };
            let hours = gpu_hours(l, self.graph.node(l.node));
            let memory = self.memory.get(&l.node);
            let needs = |m: &Estimate| format!("{}{}", bytes(m.sum()), if m.gpus > 0 { "/GPU" } else { "" });
            [
                l.seconds.map_or_else(dash, |s| format!("{about}{}", phrase::duration(s))),
                hours.map_or_else(dash, |h| format!("{about}{h:.1}")),
                memory.map_or_else(dash, needs),
                l.bytes.map_or_else(dash, bytes),
            ]
        };
        let head = ["time", "GPU-h", "memory", "bytes"].map(str::to_owned);
        let cells: Vec<[String; 4]> = self.lines.iter().map(row).collect();
        let wide = |column: usize| cells.iter().map(|c| c[column].chars().count()).max().unwrap_or(0);
        let filled = |column: &usize| cells.iter().any(|c| c[*column] != dash());
        let columns: Vec<(usize, usize)> =
            (0..4).filter(filled).map(|c| (c, wide(c).max(head[c].chars().count()))).collect();
        let shown = |cells: &[String; 4]| -> String {
            columns.iter().map(|&(column, width)| format!("{:>width$}  ", cells[column])).collect()
        };
        let width = self.lines.iter().map(|l| name(l).chars().count()).max().unwrap_or(4).clamp(4, 48);
        println!("{:width$}  state  {}why", "node", shown(&head));
        for (l, cells) in self.lines.iter().zip(&cells) {
            let like = l.like.as_ref().map(|name| format!("; time as of `{name}`")).unwrap_or_default();
            println!("{:width$}  {:5}  {}{}{like}", name(l), l.forecast.word(), shown(cells), l.why);
        }
        println!("{}", self.total());
        let mut told: Vec<(Vec<&str>, &Estimate)> = Vec::new();
        for l in self.lines.iter().filter(|l| l.forecast != Forecast::Hit) {
            let Some(memory) = self.memory.get(&l.node) else { continue };
            match told.iter_mut().find(|(_, other)| *other == memory) {
                Some((names, _)) => names.push(name(l)),
                None => told.push((vec![name(l)], memory)),
            }
        }
        for (names, memory) in told {
            print_memory(&names, memory);
        }
    }
}

impl Plan<'_> {
    /// The last line of the table.
    fn total(&self) -> String {
        let [certain, maybe] = [Forecast::Run, Forecast::Maybe];
        let counts = [certain, maybe, Forecast::Hit].map(|f| self.count(f));
        let mut total = format!("total: {} run, {} maybe, {} hit", counts[0], counts[1], counts[2]);
        let (least, most) = (self.tally.seconds, self.tally.seconds + self.tally.seconds_maybe);
        if most > 0.0 {
            total.push_str(&format!(
                " · {} certain, ≤ {} by what was measured before",
                phrase::duration(least),
                phrase::duration(most)
            ));
        }
        let hours = self.gpu_hours(certain) + self.gpu_hours(maybe);
        if hours > 0.0 {
            total.push_str(&format!(" · ≤ {hours:.1} GPU-h"));
        }
        if self.tally.untimed > 0 {
            total.push_str(&format!(" · {} never measured", phrase::count(self.tally.untimed, "node")));
        }
        total
    }
}

fn print_memory(names: &[&str], m: &Estimate) {
    let of = match m.precision {
        Precision::F32 => "f32",
        Precision::Half => "bf16",
    };
    let per = match (m.gpus, m.ranks) {
        (0, 1) => "",
        (0, _) => " in each rank",
        _ => " on each GPU",
    };
    let shared = match m.sharing.stage {
        0 => String::new(),
        _ if m.ranks == 1 => " with no gradients kept".to_owned(),
        stage => format!(" shared out by {} ranks (zero{stage})", m.ranks),
    };
    let million = m.weights as f64 / 1e6;
    let by = if m.counted { "" } else { " (by config.json)" };
    println!(
        "memory of {}: at most {}{per}, for {million:.1} M weights{by} in {of}{shared}, {} tokens a forward",
        phrase::quoted(names),
        bytes(m.sum()),
        m.work.tokens
    );
    let terms: Vec<String> = m.terms().iter().map(|(term, size)| format!("{term} {}", bytes(*size))).collect();
    println!("  {}", terms.join(" + "));
    if m.host.sum() > 0 {
        println!("  and {} in main memory{}", bytes(m.host.sum()), if m.ranks > 1 { " for each of them" } else { "" });
    }
    if let (Some(limit), Some(usable)) = (m.limit, m.usable()) {
        let whole = m.gpus == 0 && m.ranks == 1;
        let there = if whole { bytes(limit) } else { format!("{} of {}", bytes(usable), bytes(limit)) };
        println!("  {}: tensors can have {there}", if m.too_much() { "does not fit" } else { "fits" });
        if m.beside_too_much() {
            println!(
                "  and main memory has {} for {}",
                bytes(m.main.unwrap_or(0)),
                phrase::count(m.ranks as usize, "rank")
            );
        }
        if let Some(beginning) = m.beginning() {
            println!("  {beginning}: the same result, the same key");
        }
    }
    // Without a limit nothing needs a remedy.
    for (what, saves) in m.remedies.iter().filter(|_| m.limit.is_some()) {
        println!("  {} less: {what}", bytes(*saves));
    }
}

fn memory_json(m: &Estimate) -> Json {
    let remedies: Vec<Json> = m.remedies.iter().map(|(what, saves)| json!({ "what": what, "saves": saves })).collect();
    let terms: serde_json::Map<String, Json> =
        m.terms().iter().map(|(name, size)| ((*name).to_owned(), json!(size))).collect();
    json!({
        "bytes": m.sum(),
        "main_memory": m.host.sum(),
        "terms": terms,
        "weights": m.weights,
        "gpus": m.gpus,
        "ranks": m.ranks,
        "shard": m.sharing.stage,
        "tokens": m.work.tokens,
        "patches": m.work.patches,
        "limit": m.limit,
        "usable": m.usable(),
        "fits": m.limit.map(|_| !m.too_much()),
        "begins": m.steps.iter().map(|step| step.words()).collect::<Vec<_>>(),
        "remedies": remedies,
    })
}

/// Hours of all GPUs that a node takes, where it is known how long.
fn gpu_hours(line: &Line, node: &Node) -> Option<f64> {
    let gpus = node.with.get("gpus").and_then(Json::as_f64).filter(|n| *n > 0.0)?;
    Some(line.seconds? * gpus / 3600.0)
}

fn gib(bytes: u64) -> f64 {
    (bytes as f64 / f64::from(1 << 30) * 100.0).round() / 100.0
}
