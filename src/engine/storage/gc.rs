//! Finds what nothing needs any more, says why, and deletes it: records first, then the blobs that no record names.
//!
//! Safe beside runs that go on. Whoever uses a record or a blob again touches it with the [`Gate`] held; the collector looks at
//! the time once more with the gate closed before it deletes. `docs/cache.md` tells the argument at length.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::gate::{Gate, LEAST_GRACE};
use super::held;
use super::journal;
use super::lease;
use super::reach::Reach;
use super::record;
use super::states;
use super::store::Store;
use super::texts;
use crate::base::Digest;
use crate::engine::event::Event;
use crate::engine::machine;

/// Files deleted while the gate is closed once.
const BATCH: usize = 64;

/// What is kept.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// What was used within this time stays.
    pub keep: Duration,
    /// What the last runs of each recipe used stays.
    pub runs: usize,
    /// Whatever is younger stays, whether or not anything names it: a run may be about to name it.
    pub grace: Duration,
    /// What lies as an output where a recipe put it stays.
    pub outputs: bool,
    /// Delete; otherwise only say what would be deleted.
    pub apply: bool,
}

/// How much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// Why things are kept or freed, with how much; in the order in which the reasons are asked.
#[derive(Debug, Default)]
pub struct Account {
    /// What stays, by root.
    pub kept: Vec<(String, Tally)>,
    /// What goes, by reason.
    pub freed: Vec<(String, Tally)>,
}

impl Account {
    /// Returns the sum of what goes.
    pub fn total(&self) -> Tally {
        let sum = |a: Tally, (_, b): &(String, Tally)| Tally { files: a.files + b.files, bytes: a.bytes + b.bytes };
        self.freed.iter().fold(Tally::default(), sum)
    }
}

pub(crate) fn count(list: &mut Vec<(String, Tally)>, reason: &str, bytes: u64) {
    match list.iter_mut().find(|(r, _)| r == reason) {
        Some((_, tally)) => tally.add(bytes),
        None => list.push((reason.to_owned(), Tally { files: 1, bytes })),
    }
}

/// Collects garbage.
///
/// # Errors
/// The store cannot be read or written. What was deleted before was garbage all the same.
pub fn collect(store: &Store, policy: &Policy) -> io::Result<Account> {
    let policy = &Policy { grace: policy.grace.max(LEAST_GRACE), ..*policy };
    let now = SystemTime::now();
    let mut roots = Roots::find(store, policy, now)?;
    roots.follow(store);
    let mut out = Account::default();
    let mut reach = Reach::new(store);
    let (records_going, named_by_going) = records(store, &roots, &mut reach, policy, now, &mut out)?;
    // Listed anew: what was published or used since then is there, and what it names is needed.
    let mut live: BTreeMap<Digest, usize> = BTreeMap::new();
    let mut reasons: Vec<String> = Vec::new();
    let staying = record::keys(store).into_iter().filter(|k| policy.apply || !records_going.contains(k));
    let mut staying: Vec<(usize, Digest)> = staying.map(|key| (roots.rank(key), key)).collect();
    staying.sort_unstable();
    for (_, key) in staying {
        let Some(found) = record::read(store, key) else { continue };
        let reason = roots.keys.get(&key).map_or_else(|| recently(policy), |(_, reason)| reason.clone());
        let at = reasons.iter().position(|r| *r == reason).unwrap_or_else(|| {
            reasons.push(reason);
            reasons.len() - 1
        });
        for digest in reach.record(&found).all() {
            live.entry(*digest).or_insert(at);
        }
    }
    let mut doomed = Vec::new();
    let young = roots.oldest_lease.map_or(now - policy.grace, |lease| lease.min(now - policy.grace));
    let mut going = BTreeSet::new();
    store.each_blob(&mut |digest, path| {
        let Ok(metadata) = fs::metadata(path) else { return };
        if let Some(at) = live.get(&digest) {
            count(&mut out.kept, &reasons[*at], metadata.len());
        } else if !before(&metadata, young) {
            count(&mut out.kept, "younger than the grace period, or being made", metadata.len());
        } else {
            let why = named_by_going.get(&digest).copied().unwrap_or(NAMELESS);
            doomed.push(Doomed { path: path.to_path_buf(), bytes: metadata.len(), why, before: young });
            going.insert(digest);
        }
    });
    // A tree goes with its blob, or when there is none.
    store.each_tree(&mut |digest, path| {
        let Ok(metadata) = fs::metadata(path) else { return };
        if going.contains(&digest) || !store.path(digest).exists() && before(&metadata, young) {
            doomed.push(Doomed { path: path.to_path_buf(), bytes: metadata.len(), why: TREES, before: now });
        } else {
            count(&mut out.kept, TREES, metadata.len());
        }
    });
    delete(store, doomed, policy, &mut out)?;
    leftovers(store, &roots, policy, now, &mut out)?;
    out.kept.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.bytes));
    out.freed.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.bytes));
    Ok(out)
}

const STATES: &str = "states of trainings in kept runs, for longer ones";
const OLD_STATES: &str = "states of trainings that no kept run had";
const UNUSED: &str = "results that no kept run used";
const NAMELESS: &str = "bytes that no record names";
const TREES: &str = "trees of large blobs";

fn recently(policy: &Policy) -> String {
    format!("used within the last {}", span(policy.keep.max(policy.grace)))
}

pub(crate) fn span(time: Duration) -> String {
    match time.as_secs() {
        s if s >= 2 * 86_400 => format!("{} days", s / 86_400),
        s if s >= 2 * 3_600 => format!("{} hours", s / 3_600),
        s => format!("{s} seconds"),
    }
}

/// What must stay, and why.
struct Roots {
    /// Keys with the rank of their reason and the reason itself.
    keys: BTreeMap<Digest, (usize, String)>,
    /// Keys of nodes that started in a kept run: their checkpoints are worth something.
    started: BTreeSet<Digest>,
    /// Keys of results that a kept run made or used: the states that they kept stay with them.
    ran: BTreeSet<Digest>,
    /// Journals of runs that are kept for nothing.
    old_runs: Vec<PathBuf>,
    /// Leases of processes that are no more.
    old_leases: Vec<PathBuf>,
    /// Places of outputs that are no more.
    old_outputs: Vec<PathBuf>,
    /// Texts of recipes, and whether a kept journal names them.
    texts: Vec<(PathBuf, bool)>,
    /// When the oldest node that is being made began.
    oldest_lease: Option<SystemTime>,
}

impl Roots {
    fn find(store: &Store, policy: &Policy, now: SystemTime) -> io::Result<Self> {
        let mut out = Self {
            keys: BTreeMap::new(),
            started: BTreeSet::new(),
            ran: BTreeSet::new(),
            old_runs: Vec::new(),
            old_leases: Vec::new(),
            old_outputs: Vec::new(),
            texts: Vec::new(),
            oldest_lease: None,
        };
        for lease in lease::all(store, policy.grace) {
            if !lease.held {
                out.old_leases.push(lease.path);
                continue;
            }
            out.oldest_lease = [out.oldest_lease, lease.begun].into_iter().flatten().min();
            if let Some(key) = lease.key {
                out.keys.insert(key, (0, "being made".into()));
                out.started.insert(key);
            }
        }
        let (held, gone) = held::all(store, now - policy.keep.max(policy.grace));
        out.old_outputs = gone;
        for held in held.into_iter().filter(|_| policy.outputs) {
            out.keys.entry(held.key).or_insert((2, format!("outputs of {}", held.recipe)));
        }
        let host = machine::host();
        for folder in fs::read_dir(store.root().join("runs"))?.flatten() {
            let mut journals = below(&folder.path(), 0)?;
            journals.retain(|p| p.extension().is_some_and(|e| e == "jsonl"));
            journals.sort_by(|a, b| b.cmp(a));
            let mut ran = BTreeSet::new();
            for (age, path) in journals.into_iter().enumerate() {
                let events = journal::read(&path);
                let first = events.iter().find(|e| e.event == "run_started");
                let text = |field: &str| first.and_then(|e| e.text(field)).map(str::to_owned);
                let recipe = text("recipe").unwrap_or_else(|| "a recipe".into());
                // Only the machine that ran it can say that a recipe is gone.
                let here = text("host").is_some_and(|h| h == host);
                let gone = here && text("path").is_some_and(|p| !Path::new(&p).exists());
                let (rank, why) = if journal::is_open(&path) {
                    (1, "runs that go on".to_owned())
                } else if age < policy.runs && !gone {
                    (3, format!("last runs of {recipe}"))
                } else if fs::metadata(&path).is_ok_and(|m| !before(&m, now - policy.keep.max(policy.grace))) {
                    (4, recently(policy))
                } else {
                    out.old_runs.push(path);
                    continue;
                };
                out.keep(&events, rank, &why);
                let files = first.and_then(|e| e.fields.get("files")).into_iter().flat_map(texts::listed);
                ran.extend(files.map(|(_, digest)| digest.hex()));
            }
            for path in below(&texts::beside(&folder.path()), 0)? {
                let named = ran.contains(&*path.file_name().unwrap_or_default().to_string_lossy());
                out.texts.push((path, named));
            }
        }
        Ok(out)
    }

    fn keep(&mut self, events: &[Event], rank: usize, why: &str) {
        for event in events {
            let Some(key) = event.key.as_deref().and_then(Digest::parse) else { continue };
            match event.event.as_str() {
                "node_hit" | "node_finished" => {
                    self.ran.insert(key);
                    let best = self.keys.entry(key).or_insert_with(|| (rank, why.to_owned()));
                    if rank < best.0 {
                        *best = (rank, why.to_owned());
                    }
                }
                "node_started" => {
                    self.started.insert(key);
                }
                _ => {}
            }
        }
    }

    /// What was decided of the rows of a result stays as long as the result; the state that a training kept as long as a run that had it does, and not
    /// for the sake of an output, which needs none.
    fn follow(&mut self, store: &Store) {
        let of_rows =
            |(key, why): (&Digest, &(usize, String))| Some((record::read(store, *key)?.of_rows?, why.clone()));
        let more: Vec<_> = self.keys.iter().filter_map(of_rows).collect();
        for (key, why) in more {
            self.keys.entry(key).or_insert(why);
        }
        for key in self.ran.iter().filter_map(|key| record::read(store, *key)?.kept) {
            self.keys.entry(key).or_insert((5, STATES.into()));
        }
    }

    fn rank(&self, key: Digest) -> usize {
        self.keys.get(&key).map_or(9, |(rank, _)| *rank)
    }
}

/// Deletes records that no root names and nobody used of late. Returns the keys of those that go, and the blobs that they named with what these were.
fn records(
    store: &Store,
    roots: &Roots,
    reach: &mut Reach,
    policy: &Policy,
    now: SystemTime,
    out: &mut Account,
) -> io::Result<(BTreeSet<Digest>, BTreeMap<Digest, &'static str>)> {
    let line = now - policy.keep.max(policy.grace);
    let mut going = BTreeSet::new();
    let mut named = BTreeMap::new();
    let mut doomed = Vec::new();
    for key in record::keys(store) {
        let path = record::path(store, key);
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if !roots.keys.contains_key(&key) && before(&metadata, line) {
            going.insert(key);
            if let Some(record) = record::read(store, key) {
                let why = if record.is_state() { OLD_STATES } else { UNUSED };
                named.extend(reach.record(&record).all().map(|digest| (*digest, why)));
            }
            doomed.push(Doomed { path, bytes: metadata.len(), why: "records", before: line });
        } else {
            count(&mut out.kept, "records", metadata.len());
        }
    }
    delete(store, doomed, policy, out)?;
    Ok((going, named))
}

/// A file that goes if it is still as old as that when the gate is closed.
struct Doomed {
    path: PathBuf,
    bytes: u64,
    why: &'static str,
    before: SystemTime,
}

fn delete(store: &Store, doomed: Vec<Doomed>, policy: &Policy, out: &mut Account) -> io::Result<()> {
    for batch in doomed.chunks(BATCH) {
        let _gate = if policy.apply { Some(Gate::alone(store.root())?) } else { None };
        for file in batch {
            if policy.apply {
                if !fs::metadata(&file.path).is_ok_and(|m| before(&m, file.before)) {
                    continue;
                }
                match fs::remove_file(&file.path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    _ => {}
                }
            }
            count(&mut out.freed, file.why, file.bytes);
        }
    }
    Ok(())
}

/// What lies beside records and blobs: nothing depends on it, so its age decides.
fn leftovers(store: &Store, roots: &Roots, policy: &Policy, now: SystemTime, out: &mut Account) -> io::Result<()> {
    let root = store.root();
    let line = now - policy.keep.max(policy.grace);
    for entry in fs::read_dir(root.join("checkpoints"))?.flatten() {
        let wanted = Digest::parse(&entry.file_name().to_string_lossy()).is_some_and(|k| roots.started.contains(&k));
        age(
            &entry.path(),
            (!wanted).then_some(line),
            "checkpoints of trainings that nobody goes on with",
            policy,
            out,
        )?;
    }
    for (folder, why) in [
        ("logs", "logs"),
        ("rows", "what was said of rows"),
        ("jobs", "jobs of runs that are no more"),
        ("packages", "packages that no recipe was compiled with"),
        ("views", "copies made by `show --path`"),
        ("quarantine", "damaged bytes"),
        ("parts", "bytes of transfers that nobody went on with"),
        ("left", "descriptions of results that were left in a remote"),
    ] {
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
            age(&entry.path(), Some(line), why, policy, out)?;
        }
    }
    for path in below(&root.join("seen"), 0)? {
        if !path.ends_with(machine::boot()) {
            age(&path, Some(line), "what was compared before the last start", policy, out)?;
        }
    }
    for path in states::all(store) {
        let there = states::is_there(store, &path);
        age(&path, (!there).then_some(line), "places of kept states", policy, out)?;
    }
    for path in &roots.old_runs {
        age(path, Some(line), "journals of old runs", policy, out)?;
    }
    for path in &roots.old_leases {
        age(path, Some(now - policy.grace), "leases of processes that are no more", policy, out)?;
    }
    for path in &roots.old_outputs {
        age(path, Some(now - policy.grace), "places of outputs that are no more", policy, out)?;
    }
    for (path, named) in &roots.texts {
        age(path, (!named).then_some(line), "texts of recipes as they ran", policy, out)?;
    }
    for (folder, why) in [("wheels", "wheels"), ("memo", "replies of judges"), ("index", "digests of input files")] {
        for path in below(&root.join(folder), 9)? {
            count(&mut out.kept, why, fs::metadata(&path).map_or(0, |m| m.len()));
        }
    }
    if policy.apply {
        store.sweep()?;
    }
    Ok(())
}

/// Removes a file or folder in which nothing changed since `line`; keeps it if there is none.
fn age(path: &Path, line: Option<SystemTime>, why: &str, policy: &Policy, out: &mut Account) -> io::Result<()> {
    let mut files = if path.is_dir() { below(path, 9)? } else { vec![path.to_path_buf()] };
    let bytes: u64 = files.iter().filter_map(|f| fs::metadata(f).ok()).map(|m| m.len()).sum();
    files.push(path.to_path_buf());
    let old = line.is_some_and(|line| files.iter().all(|f| fs::metadata(f).is_ok_and(|m| before(&m, line))));
    if !old {
        count(&mut out.kept, &format!("{why}, still young or wanted"), bytes);
        return Ok(());
    }
    if policy.apply {
        let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        match gone {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    count(&mut out.freed, why, bytes);
    Ok(())
}

fn before(metadata: &fs::Metadata, line: SystemTime) -> bool {
    metadata.modified().is_ok_and(|time| time < line)
}

/// Returns the files below a folder, so many folders deep.
fn below(folder: &Path, deep: usize) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut out = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if !path.is_dir() {
            out.push(path);
        } else if deep > 0 {
            out.extend(below(&path, deep - 1)?);
        }
    }
    Ok(out)
}
