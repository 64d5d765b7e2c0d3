//! Slurm: a batch job for each node, an array for rows that can be cut, `srun` where ranks of one training need several machines. The store lies on a
//! folder that all machines share; job and scheduler pass everything through it.

pub mod folder;
pub mod queue;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use self::folder::{Folder, Tail, Ticket, events_file};
use self::queue::{Queue, State};
use super::worker::{Order, VERSION};
use super::{Executor, FindEngine, Work, shell_word};
use crate::base::{OpError, phrase};
use crate::data::table::Table;
use crate::engine::capacity::Capacity;
use crate::engine::capacity::Needs;
use crate::engine::node::task::{Made, Outcome};
use crate::engine::storage::dataset;
use crate::engine::storage::store::Store;
use crate::spec::{Effect, Pool, user_op};

/// How long a job may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(60);
/// How long the last words of a job may take to arrive through a shared folder.
const ARRIVAL: Duration = Duration::from_secs(20);
/// Between two looks at what a job says.
const LOOK: Duration = Duration::from_millis(100);
/// Slurm's own limit of an array is 1001 unless somebody raised it.
const MOST_PARTS: usize = 1000;

/// What the site file says of a Slurm.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct SlurmSite {
    /// `--partition`
    pub partition: Option<String>,
    /// `--account`
    pub account: Option<String>,
    /// `--qos`
    pub qos: Option<String>,
    /// Further options of `sbatch`.
    pub options: Vec<String>,
    /// Lines of shell before anything else.
    pub setup: Option<String>,
    /// The program on the nodes; this one's own path without it.
    pub rbpipe: Option<String>,
    /// The engine on the nodes; the one of this machine without it.
    pub engine: Option<String>,
    /// Jobs at a time.
    pub at_once: usize,
    /// Seconds between two questions to the controller.
    pub poll: f64,
    /// Ranks of a training (one for each GPU) that one machine has room for; all of them without it.
    pub per_node: Option<usize>,
}

impl Default for SlurmSite {
    fn default() -> Self {
        Self {
            partition: None,
            account: None,
            qos: None,
            options: Vec::new(),
            setup: None,
            rbpipe: None,
            engine: None,
            at_once: 64,
            poll: 5.0,
            per_node: None,
        }
    }
}

/// Executes nodes as jobs of a Slurm.
pub struct Slurm<'a> {
    name: String,
    site: SlurmSite,
    recipe: PathBuf,
    engine: FindEngine<'a>,
    queue: Queue,
}

/// How a node is laid out over a job.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// One execution.
    Whole,
    /// An array, each part with some of the rows.
    Rows(usize),
    /// Ranks of one training on several machines.
    Ranks(usize),
}

impl<'a> Slurm<'a> {
    /// Makes the executor that the site file calls `name`, for the runs of a recipe.
    pub fn new(name: &str, site: SlurmSite, recipe: PathBuf, engine: FindEngine<'a>) -> Self {
        let queue = Queue::new(Duration::from_secs_f64(site.poll.max(0.1)));
        Self { name: name.to_owned(), site, recipe, engine, queue }
    }

    /// Lays a node out that runs in so many processes.
    fn shape(&self, ranks: usize, op: &str, args: &Json, with: &Map<String, Json>) -> Shape {
        if self.site.per_node.is_some_and(|most| ranks > most) {
            return Shape::Ranks(ranks);
        }
        let rows = op == user_op::RUN && args["effect"] != "reduce";
        match with.get("at_most").and_then(Json::as_u64).map_or(0, |n| n as usize).min(MOST_PARTS) {
            parts if rows && parts > 1 => Shape::Rows(parts),
            _ => Shape::Whole,
        }
    }

    /// Returns the options of `sbatch` that a node's wishes come to.
    fn options(&self, with: &Map<String, Json>, shape: Shape) -> Vec<String> {
        let needs = Needs::of(with);
        let mut out = vec!["--parsable".to_owned(), "--no-requeue".into(), "--open-mode=append".into()];
        for (option, value) in
            [("partition", &self.site.partition), ("account", &self.site.account), ("qos", &self.site.qos)]
        {
            out.extend(value.iter().map(|value| format!("--{option}={value}")));
        }
        let ranks = if let Shape::Ranks(ranks) = shape { ranks } else { 1 };
        out.extend(needs.cpus.map(|cpus| format!("--cpus-per-task={}", cpus.div_ceil(ranks))));
        if needs.mem > 0 {
            out.push(format!("--mem={}M", needs.mem.div_ceil(1 << 20)));
        }
        let mut gpus = needs.gpus;
        if let (Shape::Ranks(ranks), Some(per_node)) = (shape, self.site.per_node) {
            let nodes = ranks.div_ceil(per_node);
            out.extend([format!("--nodes={nodes}"), format!("--ntasks={ranks}")]);
            out.push(format!("--ntasks-per-node={}", ranks.div_ceil(nodes)));
            gpus = needs.gpus.div_ceil(nodes);
        } else {
            out.extend(["--nodes=1".to_owned(), "--ntasks=1".into()]);
        }
        if gpus > 0 {
            out.push(format!("--gres=gpu:{gpus}"));
        }
        if let Some(seconds) = with.get("timeout").and_then(Json::as_f64).filter(|s| *s > 0.0) {
            // The far end keeps the limit itself, and says more than Slurm would.
            out.push(format!("--time={}", (seconds / 60.0).ceil() as u64 + 2));
        }
        // Before Slurm's own limit a training keeps a checkpoint, and goes on from it in the next job.
        out.push(if matches!(shape, Shape::Ranks(_)) { "--signal=TERM@60" } else { "--signal=B:TERM@60" }.into());
        out.extend(self.site.options.iter().cloned());
        out
    }

    fn script(&self, folder: &Folder, pool: Pool, shape: Shape, name: &str) -> Result<String, OpError> {
        let own = || std::env::current_exe().map(|p| p.display().to_string());
        let rbpipe = match &self.site.rbpipe {
            Some(path) => path.clone(),
            None => own()?,
        };
        let mut out = "#!/bin/bash\n".to_owned();
        out += &format!("# node {} of {}\n", name.escape_default(), self.recipe.display().to_string().escape_default());
        if let Some(setup) = &self.site.setup {
            out += setup.trim_end();
            out += "\n";
        }
        if pool == Pool::Engine {
            let engine = match &self.site.engine {
                Some(path) => path.clone(),
                None => (self.engine)()?.display().to_string(),
            };
            out += &format!("export RBPIPE_ENGINE={}\n", shell_word(&engine));
        }
        let node = format!("{} node {}", shell_word(&rbpipe), shell_word(&folder.path().display().to_string()));
        out += &match shape {
            Shape::Ranks(_) => format!("exec srun --kill-on-bad-exit=1 {node} --rank\n"),
            _ => format!("exec {node}\n"),
        };
        Ok(out)
    }

    /// Returns the job of an earlier run that goes on with this key, or that has ended and left its result.
    fn found(&self, store: &Store, folder: &Folder, work: &Work) -> Result<Option<Ticket>, OpError> {
        let ticket = match folder.ticket() {
            Some(ticket) => ticket,
            // Killed between submitting a job and writing its number down: Slurm knows it by its name.
            None => {
                let Some(order) = folder.ordered() else { return Ok(None) };
                let Some(job) = queue::named(&job_name(work)).into_iter().next() else { return Ok(None) };
                let parts = (0..order.parts.unwrap_or(0)).filter(|part| folder.outcome(Some(*part)).is_none());
                let ticket = self.ticket(job, work, parts.collect());
                folder.keep(store, &ticket)?;
                ticket
            }
        };
        let one = each_part(&ticket).into_iter().next().flatten();
        let state = self.queue.state(&number(&ticket, one), true).map_err(silent)?;
        let lives = state.is_some_and(|state| !state.is_final());
        let made = |part: &Option<usize>| matches!(folder.outcome(*part), Some(Outcome::Result(_)));
        if lives || each_part(&ticket).iter().all(made) {
            return Ok(Some(ticket));
        }
        folder.forget();
        Ok(None)
    }

    fn ticket(&self, job: String, work: &Work, parts: Vec<usize>) -> Ticket {
        let (executor, recipe) = (self.name.clone(), self.recipe.clone());
        Ticket { job, executor, recipe, node: work.name.to_owned(), key: work.key, parts }
    }

    fn submit(&self, store: &Store, folder: &Folder, work: &Work, shape: Shape) -> Result<Ticket, OpError> {
        let Json::Object(with) = &work.task.with else { return Err(OpError::new("E0612", "`with` is no record")) };
        let parts = if let Shape::Rows(parts) = shape { Some(parts) } else { None };
        if folder.parts() != parts {
            folder.clear();
        }
        // Parts that an earlier attempt has made need not be made again.
        let made = |part: &usize| matches!(folder.outcome(Some(*part)), Some(Outcome::Result(_)));
        let missing: Vec<usize> = (0..parts.unwrap_or(0)).filter(|part| !made(part)).collect();
        std::fs::create_dir_all(folder.path())?;
        let (name, key, log) = (work.name.to_owned(), work.key, work.log.clone());
        let task = crate::engine::node::task::Task { threads: 0, gpus: Vec::new(), ..work.task.clone() };
        let order =
            Order { version: VERSION.into(), name, key, task, log, parts, files: Default::default(), alone: false };
        folder.order(store, &order)?;
        let mut options = self.options(with, shape);
        options.push(format!("--job-name={}", job_name(work)));
        options.push(format!("--chdir={}", folder.path().display()));
        if parts.is_some() {
            let list: Vec<String> = missing.iter().map(ToString::to_string).collect();
            options.push(format!("--array={}", list.join(",")));
            options.push(format!("--output={}", folder.path().join("slurm-%a.log").display()));
        } else {
            let _ = std::fs::remove_file(events_file(folder.path(), None));
            options.push(format!("--output={}", folder.log(None).display()));
        }
        let job = queue::submit(&options, &self.script(folder, work.task.pool, shape, work.name)?)?;
        let ticket = self.ticket(job, work, missing);
        folder.keep(store, &ticket)?;
        Ok(ticket)
    }

    /// Stays with a job until it has ended, passing on what it says.
    fn wait(&self, folder: &Folder, ticket: &Ticket, shape: Shape, work: &Work) -> Result<(), OpError> {
        let parts = each_part(ticket);
        let mut tails: Vec<Tail> = match shape {
            Shape::Ranks(ranks) => (0..ranks).map(|rank| Tail::new(events_file(folder.path(), Some(rank)))).collect(),
            _ => parts.iter().map(|part| Tail::new(events_file(folder.path(), *part))).collect(),
        };
        let mut told = String::new();
        let mut asked: Option<Instant> = None;
        let (mut failed, mut lost) = (None::<OpError>, 0);
        loop {
            for (rank, tail) in tails.iter_mut().enumerate() {
                let quiet = matches!(shape, Shape::Ranks(_)) && rank > 0;
                tail.read(&|event, fields| {
                    if !quiet {
                        (work.emit)(event, fields);
                    }
                });
            }
            if work.stop.now.load(Ordering::Relaxed) {
                queue::cancel(&ticket.job, None);
                return Err(OpError::stopped());
            }
            if work.stop.soon.load(Ordering::Relaxed) && asked.is_none() {
                let _ = queue::ask("scancel", &["--state=PENDING", &ticket.job]);
                queue::cancel(&ticket.job, Some(("TERM", !matches!(shape, Shape::Ranks(_)))));
                asked = Some(Instant::now());
            }
            if asked.is_some_and(|at| at.elapsed() > GRACE) {
                queue::cancel(&ticket.job, None);
            }
            let states: Result<Vec<_>, String> =
                parts.iter().map(|part| self.queue.state(&number(ticket, *part), false)).collect();
            let states = match states {
                Ok(states) => states,
                Err(why) => {
                    tell(&mut told, format!("Slurm does not answer, asking again: {why}"), ticket, work);
                    std::thread::sleep(LOOK);
                    continue;
                }
            };
            tell(&mut told, words(&states), ticket, work);
            // A job that was submitted a moment ago, or has long ended, may be missing from an answer.
            lost = if states.iter().any(Option::is_none) { lost + 1 } else { 0 };
            let known = |(part, state): (&Option<usize>, &Option<State>)| match state {
                Some(state) => state.is_final().then(|| state.clone()),
                None if lost * LOOK.as_millis() as u64 > (4.0 * self.site.poll * 1000.0) as u64 => {
                    let gone = State { word: "unknown".into(), reason: String::new(), nodes: String::new() };
                    Some(queue::remembered(&number(ticket, *part)).unwrap_or(gone))
                }
                None => None,
            };
            let ends: Vec<Option<State>> = parts.iter().zip(&states).map(known).collect();
            if failed.is_none() {
                for ((part, end), tail) in parts.iter().zip(&ends).zip(tails.iter_mut()) {
                    let Some(end) = end else { continue };
                    if tail.outcome.is_none() {
                        arrive(tail, end, work);
                    }
                    if !matches!(tail.outcome, Some(Outcome::Result(_))) {
                        failed = Some(why(folder, ticket, *part, end, tail.outcome.take(), asked.is_some(), work));
                        break;
                    }
                }
                // A rank that lost another one is not to blame.
                if failed.as_ref().is_some_and(|e| e.class == "peer") {
                    let others = tails.iter_mut().skip(1).filter_map(|t| t.outcome.take()?.made().err());
                    failed = others.filter(|e| e.class != "peer").last().or(failed);
                }
                if failed.is_some() && parts.len() > 1 {
                    queue::cancel(&ticket.job, None);
                }
            }
            if ends.iter().all(Option::is_some) {
                return failed.map_or(Ok(()), Err);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Puts together what the parts have made.
    fn gather(&self, store: &Store, folder: &Folder, shape: Shape) -> Result<Made, OpError> {
        let of = |part: Option<usize>| match folder.outcome(part) {
            Some(outcome) => outcome.made(),
            None => Err(OpError::new("E0612", "a part of the job left no result").class("flaky")),
        };
        let parts = match shape {
            Shape::Whole => return of(None),
            Shape::Ranks(_) => return of(Some(0)),
            Shape::Rows(parts) => parts,
        };
        let mut out = Made::default();
        let mut tables = Vec::new();
        for part in 0..parts {
            let made = of(Some(part))?;
            for artifact in made.outputs.values() {
                tables.push(dataset::load(store, artifact)?);
            }
            out.fates.extend(made.fates);
            for (name, count) in made.counts {
                *out.counts.entry(name).or_insert(0) += count;
            }
        }
        out.outputs.insert(String::new(), dataset::save(store, &Table::concat(&tables)?)?);
        store.commit()?;
        Ok(out)
    }
}

impl Executor for Slurm<'_> {
    fn capacity(&self) -> Capacity {
        Capacity::Queue(self.site.at_once.max(1))
    }

    fn takes_secrets(&self) -> bool {
        false
    }

    fn refuses(&self, node: &crate::plan::Node) -> Option<OpError> {
        let ranks = if node.effect == Effect::Train { node.asked_ranks() as usize } else { 1 };
        let shape = self.shape(ranks, &node.op, &node.args, &node.with);
        let script = "#!/bin/bash\nexit 0\n";
        // One that does not answer now may answer later.
        queue::could_run(&self.options(&node.with, shape), script).err().filter(|e| e.class != "flaky")
    }

    fn execute(&self, store: &Store, work: &Work) -> Result<Made, OpError> {
        let with = work.task.with.as_object().cloned().unwrap_or_default();
        let shape = self.shape(work.task.ranks, &work.task.op, &work.task.args, &with);
        let folder = Folder::of(store, work.key);
        let found = self.found(store, &folder, work)?;
        let adopted = found.is_some();
        let (ticket, shape) = match found {
            // It may have been cut otherwise than this run would cut it.
            Some(ticket) => (ticket, folder.parts().map_or(shape, Shape::Rows)),
            None => (self.submit(store, &folder, work, shape)?, shape),
        };
        let fields = json!({ "executor": self.name, "job": ticket.job, "adopted": adopted });
        (work.emit)("node_submitted", fields);
        let ended = self.wait(&folder, &ticket, shape, work);
        collect_logs(&folder, &ticket, work);
        folder.forget();
        match ended.and_then(|()| self.gather(store, &folder, shape)) {
            Ok(made) => {
                folder.clear();
                Ok(made)
            }
            Err(e) => {
                // Parts that are made stay for the next attempt.
                if !matches!((shape, e.class), (Shape::Rows(_), "preempted" | "flaky" | "oom")) {
                    folder.clear();
                }
                Err(e)
            }
        }
    }

    fn leave(&self, store: &Store) -> Vec<String> {
        let mut out = Vec::new();
        for folder in Folder::all(store) {
            let Some(ticket) = folder.ticket() else { continue };
            let ours = ticket.recipe == self.recipe && ticket.executor == self.name;
            if !ours || crate::engine::storage::lease::is_leased(store, ticket.key) {
                continue;
            }
            queue::cancel(&ticket.job, None);
            folder.clear();
            out.push(format!(
                "cancelled Slurm job {} of an earlier run: nothing needs `{}` as it was",
                ticket.job, ticket.node
            ));
        }
        out
    }
}

fn job_name(work: &Work) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-/".contains(c) { c } else { '_' };
    let name: String = work.name.chars().map(plain).take(40).collect();
    format!("rbpipe/{name}/{}", work.key.short())
}

/// Returns the parts of a job; one without a number for a job in one piece.
fn each_part(ticket: &Ticket) -> Vec<Option<usize>> {
    if ticket.parts.is_empty() { vec![None] } else { ticket.parts.iter().map(|part| Some(*part)).collect() }
}

fn number(ticket: &Ticket, part: Option<usize>) -> String {
    part.map_or_else(|| ticket.job.clone(), |part| format!("{}_{part}", ticket.job))
}

fn silent(why: String) -> OpError {
    OpError::new("E0612", format!("Slurm does not answer: {why}")).class("flaky")
}

/// Says in a line where the parts of a job are: `PENDING (Resources)`, `RUNNING on n1`, `2 RUNNING, 3 PENDING (Resources)`.
fn words(states: &[Option<State>]) -> String {
    let one = |state: &State| match (state.waits(), state.is_final()) {
        (true, _) if state.reason != "None" => format!("{} ({})", state.word, state.reason),
        (false, false) if !state.nodes.is_empty() && states.len() == 1 => format!("{} on {}", state.word, state.nodes),
        _ => state.word.clone(),
    };
    let mut counts: Vec<(String, usize)> = Vec::new();
    for text in states.iter().flatten().map(one) {
        match counts.iter_mut().find(|(t, _)| *t == text) {
            Some((_, n)) => *n += 1,
            None => counts.push((text, 1)),
        }
    }
    counts.sort();
    let part = |(text, n): &(String, usize)| if states.len() == 1 { text.clone() } else { format!("{n} {text}") };
    counts.iter().map(part).collect::<Vec<_>>().join(", ")
}

fn tell(told: &mut String, state: String, ticket: &Ticket, work: &Work) {
    if *told != state && !state.is_empty() {
        (work.emit)("node_queued", json!({ "job": ticket.job, "state": state }));
        *told = state;
    }
}

/// Waits for the last words of a job that has ended well: a shared folder may show them late.
fn arrive(tail: &mut Tail, end: &State, work: &Work) {
    let started = Instant::now();
    loop {
        tail.read(work.emit);
        if tail.outcome.is_some() || end.word != "COMPLETED" || started.elapsed() > ARRIVAL {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// Says why a job, or a part of one, made nothing.
fn why(
    folder: &Folder,
    ticket: &Ticket,
    part: Option<usize>,
    end: &State,
    said: Option<Outcome>,
    asked: bool,
    work: &Work,
) -> OpError {
    let job = format!("Slurm job {}", number(ticket, part));
    let place = if end.nodes.is_empty() { String::new() } else { format!(" on {}", end.nodes) };
    if asked {
        return OpError::stopped();
    }
    let by_slurm = |what: &str, class| OpError::new("E0612", format!("{job}{place} {what}")).class(class);
    let limit = "Slurm ended it at its time limit: raise `timeout` in `with`, or the limit of the partition";
    match (end.word.as_str(), said) {
        ("PREEMPTED", _) => by_slurm("was preempted", "preempted"),
        ("NODE_FAIL", _) => by_slurm("lost its node", "preempted"),
        // Before its limit Slurm asks a job to stop; a training has kept a checkpoint then.
        (_, Some(Outcome::Error { class, .. })) if class == "preempted" => {
            by_slurm("was asked to stop by Slurm", "preempted").help(limit)
        }
        (_, Some(outcome)) => outcome.made().err().unwrap_or_else(OpError::stopped),
        ("TIMEOUT" | "DEADLINE", None) => by_slurm("ran out of time", "flaky").help(limit),
        ("OUT_OF_MEMORY", None) => by_slurm("ran out of memory", "oom")
            .help("`mem` in `with` asks for more; a smaller `micro_batch` needs less; neither changes a key"),
        ("FAILED", None) if queue::signal(&number(ticket, part)) == Some(libc::SIGKILL) => {
            by_slurm("was killed, most likely for memory", "oom")
                .help("`mem` in `with` asks for more; a smaller `micro_batch` needs less; neither changes a key")
        }
        ("CANCELLED", None) => by_slurm("was cancelled by somebody else", "bug").help("run again to submit it anew"),
        ("BOOT_FAIL" | "REVOKED" | "unknown", None) => by_slurm(&format!("is lost ({})", end.word), "flaky"),
        (word, None) => {
            let log = folder.log(part);
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let said = phrase::said_last(&text, 5);
            let what = format!("ended as {word} ({}) without a result{said}", end.reason);
            by_slurm(&what, "bug").help(format!(
                "the store must lie on a folder that all nodes share, and so must the program (`rbpipe` in the site file); logs: {}",
                work.log.display()
            ))
        }
    }
}

/// Adds what Slurm has written to the log of the node.
fn collect_logs(folder: &Folder, ticket: &Ticket, work: &Work) {
    let mut text = std::fs::read(&work.log).unwrap_or_default();
    for part in each_part(ticket) {
        let said = std::fs::read(folder.log(part)).unwrap_or_default();
        if !said.is_empty() {
            text.extend(format!("-- Slurm job {}\n", number(ticket, part)).into_bytes());
            text.extend(said);
        }
    }
    if !text.is_empty() {
        // A log that cannot be kept must not fail the node.
        let _ = std::fs::write(&work.log, text);
    }
}
