//! A recipe's lock beside what the recipe reads now: what differs is refused, what is new is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::args::{Choice, RunArgs};
use super::recipe::Compiled;
use super::{Exit, render, say};
use crate::base::codes::{Code, E0901, E0902};
use crate::base::{Diagnostic, SourceId, Span, phrase};
use crate::engine::Store;
use crate::engine::artifact::Artifact;
use crate::engine::event::{Event, Listener};
use crate::engine::inputs::observe;
use crate::engine::inputs::servers::{self, Facts, Said, Server};
use crate::engine::lock::{self as file, Difference, Lock, Look, Observed};
use crate::engine::run::decide::Tally;
use crate::engine::run::scheduler::Summary;
use crate::engine::storage::files::FileIndex;
use crate::ops::eval::served_by;
use crate::plan::select::Selection;
use crate::plan::serving::Asks;
use crate::plan::{Graph, NodeId};
use crate::spec::observed::Columns;

/// Bytes of a source that a run looks through for the lock.
const GLANCE: u64 = 16 << 20;

/// What the rows of a source hold. A file that cannot be read again is one that changes under our hands: the next look will tell.
pub(super) fn look(graph: &Graph, store: &Store, id: NodeId, rows: &Artifact) -> Columns {
    observe::columns(graph.node(id), store, rows).unwrap_or_default()
}

/// As [`look`], for a run that was asked for results: only where it takes no time to speak of.
pub(super) fn glance(graph: &Graph, store: &Store, id: NodeId, rows: &Artifact) -> Columns {
    let node = graph.node(id);
    let bytes = node.paths.iter().filter(|p| !p.media).map(|p| p.path.metadata().map_or(u64::MAX, |m| m.len()));
    if bytes.fold(0, u64::saturating_add) > GLANCE { Columns::new() } else { look(graph, store, id, rows) }
}

/// A recipe's lock beside what the recipe reads now.
pub(super) struct Pinned {
    recipe: PathBuf,
    old: Option<Lock>,
    /// What its inputs are now.
    pub now: Observed,
    /// The file was written.
    pub changed: bool,
    /// Servers that were asked who they are.
    asked: BTreeSet<String>,
}

impl Pinned {
    /// Reads the lock and looks at the inputs.
    pub(super) fn open(compiled: &Compiled, selection: &Selection, files: &FileIndex) -> Result<Self, Exit> {
        let recipe = compiled.path.clone();
        let old = file::read(&recipe).map_err(|e| {
            let (place, shown) = (file::path(&recipe), recipe.display());
            let next = format!("mend it, or delete it and let `rbpipe lock {shown}` write it anew");
            say(&format!("error: cannot read the lock `{}`: {e}; {next}", place.display()));
            Exit::Refused
        })?;
        let now = file::observe(&compiled.planned.graph, selection, files, &recipe).map_err(|e| {
            say(&format!("error: {e}"));
            Exit::Node
        })?;
        let mut pinned = Self { recipe, old, now, changed: false, asked: BTreeSet::new() };
        let graph = &compiled.planned.graph;
        for (name, server) in servers::of(graph, selection) {
            pinned.now.add_server(&name, &server, graph.servers.get(&name).cloned());
        }
        Ok(pinned)
    }

    /// Asks those servers who they are of which nothing is pinned, and those that are accepted as they are; puts what they say into the graph, and so
    /// into the keys.
    pub(super) fn hear(
        &mut self,
        compiled: &mut Compiled,
        selection: &Selection,
        secrets: &BTreeMap<String, String>,
        accepted: &dyn Fn(&str) -> bool,
    ) {
        let graph = &compiled.planned.graph;
        let mut counts = graph.servers.clone();
        for (name, server) in servers::of(graph, selection) {
            let pinned = graph.servers.contains_key(&name);
            if pinned && !accepted(&name) {
                continue;
            }
            match ask(&name, &server, secrets) {
                Some(facts) if facts.is_empty() && !pinned => self.now.drop_server(&name),
                Some(facts) => {
                    counts.insert(name.clone(), facts.clone());
                    self.now.add_server(&name, &server, Some(facts));
                }
                None => {}
            }
            self.asked.insert(name);
        }
        compiled.planned.graph.servers = counts;
    }

    /// Asks those servers who they are that a node waits to ask and that were not asked yet. Says whether there were any; [`Pinned::hold`] then tells
    /// whether they are as the lock says.
    pub(super) fn compare(
        &mut self,
        graph: &Graph,
        selection: &Selection,
        secrets: &BTreeMap<String, String>,
        waits: &dyn Fn(NodeId) -> bool,
    ) -> bool {
        let mut any = false;
        for (name, server) in servers::of(graph, selection) {
            if self.asked.contains(&name) || !server.nodes.iter().any(|&id| waits(id)) {
                continue;
            }
            any = true;
            if let Some(facts) = ask(&name, &server, secrets) {
                self.now.add_server(&name, &server, Some(facts));
            }
            self.asked.insert(name);
        }
        any
    }

    /// Refuses inputs that are not as the lock says; with `--frozen` also those of which it says nothing.
    pub(super) fn hold(&self, compiled: &Compiled, args: &RunArgs, cost: &dyn Fn() -> Tally) -> Result<(), Exit> {
        let accepted = self.resolve(compiled, &args.update)?;
        let choice = &args.recipe.choice;
        let Some(old) = &self.old else {
            if !args.frozen {
                return Ok(());
            }
            let place = file::path(&self.recipe);
            let message = format!("there is no lock `{}`, and `--frozen` runs nothing without one", place.display());
            let help = format!("`{}` writes it; keep it under version control", self.command(choice, None));
            let d = Diagnostic::new(E0902, Span::new(SourceId(0), 0, 0), message, "this recipe").help(help);
            render::print_human(&compiled.sources, &[d]);
            return Err(Exit::Refused);
        };
        let found = self.found(old, &compiled.planned.graph);
        let (drift, gaps): (Vec<&Difference>, Vec<&Difference>) = found
            .iter()
            .filter(|d| !accepted.contains(&d.name) && (args.frozen || d.what.is_some()))
            .partition(|d| d.what.is_some());
        let mut problems = self.problems(E0901, &drift, choice);
        problems.extend(self.problems(E0902, &gaps, choice));
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by_key(|d| (d.primary.span, d.code));
        render::print_human(&compiled.sources, &problems);
        if !drift.is_empty() {
            let cost = cost();
            let (run, maybe) = (phrase::count(cost.run, "node"), cost.maybe);
            let measured = match cost.untimed {
                0 => format!(", ≤ {} by what was measured before", phrase::duration(cost.seconds + cost.seconds_maybe)),
                _ => String::new(),
            };
            say(&format!("accepting it runs {run} and perhaps {maybe} more{measured}"));
        }
        Err(Exit::Refused)
    }

    /// Says whether an input is not as the lock says.
    pub(super) fn drifts(&self) -> bool {
        let found = self.old.as_ref().map(|old| old.differences(&self.now)).unwrap_or_default();
        found.iter().any(|d| d.what.is_some())
    }

    /// What `plan` says of inputs that are not as the lock says.
    pub(super) fn drift(&self, graph: &Graph) -> Vec<Difference> {
        let found = self.old.as_ref().map(|old| self.found(old, graph)).unwrap_or_default();
        found.into_iter().filter(|d| d.what.is_some()).collect()
    }

    /// Where inputs and entries differ; of a source that changed also in which columns.
    fn found(&self, old: &Lock, graph: &Graph) -> Vec<Difference> {
        let mut found = old.differences(&self.now);
        for d in &mut found {
            let (Some(what), Some(&id)) = (&mut d.what, d.nodes.first()) else { continue };
            let now = observe::of_files(graph.node(id)).ok().flatten();
            if let Some(columns) = now.and_then(|now| old.columns_differ(&d.name, &now)) {
                what.push_str(&format!("; its columns: {columns}"));
            }
        }
        found
    }

    /// One problem for each place, since a function that reads several files has one place for all of them.
    fn problems(&self, code: Code, of: &[&Difference], choice: &Choice) -> Vec<Diagnostic> {
        let mut sorted = of.to_vec();
        sorted.sort_by(|a, b| (a.span, &a.name).cmp(&(b.span, &b.name)));
        let told = |same: &[&Difference]| {
            let says: Vec<String> = same
                .iter()
                .map(|d| match &d.what {
                    Some(what) => format!("`{}` differs from the lock: {what}", d.name),
                    None => format!("`{}` is not in the lock", d.name),
                })
                .collect();
            let names: Vec<&str> = same.iter().map(|d| d.name.as_str()).collect();
            let command = self.command(choice, Some(&names));
            let help = match code == E0901 {
                true => format!("`{command}` accepts it as it is now; else bring back what the lock pins"),
                false => format!("`{command}` adds it"),
            };
            Diagnostic::new(code, same[0].span, says.join("; "), "read here").help(help)
        };
        sorted.chunk_by(|a, b| a.span == b.span).map(told).collect()
    }

    /// The command that accepts some entries, or all.
    fn command(&self, choice: &Choice, names: Option<&[&str]>) -> String {
        let mut out = format!("rbpipe lock {}", self.recipe.display());
        if let Some(profile) = &choice.profile {
            out.push_str(&format!(" --profile {profile}"));
        }
        for (name, value) in &choice.params {
            out.push_str(&format!(" -p {name}={value}"));
        }
        for name in names.into_iter().flatten() {
            let quote = if name.contains(' ') { "\"" } else { "" };
            out.push_str(&format!(" --update {quote}{name}{quote}"));
        }
        out
    }

    /// Returns the entries that some names mean: their own, or those of everything that a value of the recipe reads.
    pub(super) fn resolve(&self, compiled: &Compiled, names: &[String]) -> Result<BTreeSet<String>, Exit> {
        let graph = &compiled.planned.graph;
        let known = self.now.names();
        let mut out = BTreeSet::new();
        for name in names {
            if known.contains(&name.as_str()) {
                out.insert(name.clone());
                continue;
            }
            let mut artifacts = Vec::new();
            match graph.named(name) {
                Some(val) => val.artifacts(&mut artifacts),
                None => artifacts.extend(graph.find(name)),
            }
            let nodes = graph.ancestors(artifacts.iter().map(|a| a.node));
            let read = self.now.read_by(&|id| nodes.contains(&id));
            if read.is_empty() {
                let hint = match phrase::nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it reads {}", phrase::quoted(&known)),
                };
                say(&format!("error: this recipe reads no `{name}`; {hint}"));
                return Err(Exit::Usage);
            }
            out.extend(read.into_iter().map(str::to_owned));
        }
        Ok(out)
    }

    /// Writes what is new or accepted.
    pub(super) fn keep(
        &mut self,
        summary: &Summary,
        wanted: &dyn Fn(&str) -> bool,
        look: &Look,
        listener: &dyn Listener,
    ) {
        let mut new = self.old.clone().unwrap_or_default();
        new.accept(&self.now, &summary.results, wanted, look);
        if self.old.as_ref() == Some(&new) || (self.old.is_none() && new.inputs() == 0) {
            return;
        }
        let place = file::path(&self.recipe);
        let message = match file::write(&self.recipe, &new) {
            Ok(()) => {
                self.changed = true;
                format!("wrote {}: {} pinned", place.display(), phrase::count(new.inputs(), "input"))
            }
            Err(e) => format!("warning: cannot write the lock `{}`: {e}", place.display()),
        };
        listener.hear(&Event::new("notice").with("message", message));
    }
}

/// Asks a server who it is; says so where it does not answer.
fn ask(name: &str, server: &Server, secrets: &BTreeMap<String, String>) -> Option<Facts> {
    let said = match server.asks {
        Asks::Server { url, model, key } => {
            servers::ask(url, model, key.and_then(|key| secrets.get(key)).map(String::as_str))
        }
        Asks::Program(program) => served_by(program),
    };
    match said {
        Said::Facts(facts) => Some(facts),
        Said::Unheard(why) => {
            say(&format!("the server `{name}` does not say what it is: {why}"));
            None
        }
    }
}
