//! `rbpipe cache push` and `cache pull`: results travel between the store and a remote, or come out of a bundle.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value as Json;

use super::args::{PullArgs, PushArgs, RecipeArgs};
use super::recipe::{self, Compiled};
use super::{Exit, placement, say, store};
use crate::base::phrase::bytes;
use crate::base::{Digest, phrase};
use crate::engine::event::{Event, Listener};
use crate::engine::remote::{Pushed, Remote};
use crate::engine::run::decide::{Forecast, Line};
use crate::engine::run::scheduler;
use crate::engine::run::setup::Setup;
use crate::engine::run::state::NodeState;
use crate::engine::stop::Stop;
use crate::engine::storage::files::FileIndex;
use crate::engine::storage::reach::Reach;
use crate::engine::storage::record;
use crate::engine::storage::record::Record;
use crate::engine::storage::signature::{Signer, Trust, key_place};
use crate::engine::{Store, bundle};
use crate::plan::select::Selection;

/// Returns the keys of what a recipe has in the store, results and what was decided of rows, and how many of its nodes have none.
pub(super) fn made(
    compiled: &Compiled,
    selection: &Selection,
    store: &Store,
    files: &FileIndex,
) -> (Vec<Digest>, usize) {
    let (lines, _) = compiled.forecaster(selection, store, files).all();
    let gate = |line: &Line| compiled.planned.graph.node(line.node).gate.is_some();
    let absent = lines.iter().filter(|l| l.forecast != Forecast::Hit && !gate(l)).count();
    (lines.into_iter().flat_map(|line| line.rests_on).collect(), absent)
}

/// Sends results.
pub(super) fn push(store: &Store, files: &FileIndex, args: &PushArgs) -> Result<Exit, Exit> {
    let remote = store::remote_at(&args.remote)?;
    let (keys, absent) = match &args.recipe {
        None => (record::keys(store), 0),
        Some(path) => {
            let compiled = recipe::compile(&RecipeArgs::of(path, &args.choice))?;
            let selection = compiled.ready()?;
            made(&compiled, &selection, store, files)
        }
    };
    let mut reach = Reach::new(store);
    let (mut new, mut same, mut decided) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut lacking, mut sent) = (0, 0);
    let mut diverging = Vec::new();
    let mut left: BTreeSet<Digest> = keys.into_iter().collect();
    let mut done = BTreeSet::new();
    while let Some(key) = left.pop_first() {
        done.insert(key);
        // A state is large and of use where a training is prolonged: it stays here.
        let Some(record) = record::read(store, key).filter(|record| !record.is_state()) else { continue };
        // What was decided of rows travels with their result.
        decided.extend(record.of_rows);
        left.extend(record.of_rows.filter(|key| !done.contains(key)));
        let tell = |event: &str, fields: Json| warn(&record.name, event, &fields);
        match remote.push(store, &mut reach, &record, args.again, &tell) {
            Ok(Pushed::New { bytes }) => (_, sent) = (new.insert(key), sent + bytes),
            Ok(Pushed::Same { bytes }) => (_, sent) = (same.insert(key), sent + bytes),
            Ok(Pushed::Lacking) => lacking += 1,
            Ok(Pushed::Diverges(first)) => {
                let host = format!("made {}", first.made);
                say(&format!("diverges: `{}`, the remote has another result ({host}); it stays", record.name));
                diverging.push(record.name);
            }
            Err(e) => {
                eprintln!("error: cannot send `{}` to `{}`: {e}", record.name, remote.address());
                eprintln!("help: what was sent so far stays there; run the command again");
                return Err(Exit::Refused);
            }
        }
    }
    // It counts as a part of it.
    let [new, same] = [new, same].map(|keys| keys.difference(&decided).count());
    println!("sent {} ({}), {} there already", phrase::count(new, "result"), bytes(sent), same);
    if absent > 0 {
        println!("{} of the recipe have no result here; `rbpipe run` makes them", phrase::count(absent, "node"));
    }
    if lacking > 0 {
        println!("{} lack bytes; `rbpipe cache verify --repair` forgets them", phrase::count(lacking, "record"));
    }
    Ok(if diverging.is_empty() { Exit::Done } else { Exit::Refused })
}

/// Prints this user's public key; makes the key first if there is none.
pub(super) fn key() -> Exit {
    let opened = Signer::open().and_then(|there| match there {
        Some(signer) => Ok(signer),
        None => {
            let made = Signer::create()?;
            say(&format!(
                "made a key: `{}`; results that you push are signed with it from now on",
                key_place().display()
            ));
            Ok(made)
        }
    });
    match opened {
        Ok(signer) => {
            println!("{}", signer.public());
            Exit::Done
        }
        Err(e) => {
            eprintln!("error: {e}");
            Exit::Refused
        }
    }
}

/// Fetches results.
pub(super) fn pull(store: &Store, files: &FileIndex, args: &PullArgs) -> Result<Exit, Exit> {
    let file = Path::new(args.remote.strip_prefix("file://").unwrap_or(&args.remote));
    if bundle::is_bundle(file) {
        return unpack(store, file, args);
    }
    if args.into.is_some() {
        eprintln!("error: `--into` unpacks a bundle, and `{}` is none", args.remote);
        return Err(Exit::Usage);
    }
    let remote = store::remote_at(&args.remote)?;
    match &args.recipe {
        Some(path) => {
            let compiled = recipe::compile(&RecipeArgs::of(path, &args.choice))?;
            let selection = compiled.ready()?;
            let exit = pull_recipe(&compiled, &selection, store, files, &remote);
            store::keep_index(files, store);
            Ok(exit)
        }
        None => pull_all(store, &remote),
    }
}

fn pull_all(store: &Store, remote: &Remote) -> Result<Exit, Exit> {
    let keys = remote.keys().map_err(|e| {
        eprintln!("error: cannot list `{}`: {e}", remote.address());
        eprintln!("help: name a recipe, so that its results are asked for one by one");
        Exit::Refused
    })?;
    let (mut fetched, mut here, mut failed) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut decided = BTreeSet::new();
    for key in keys {
        let found = record::claim(store, key).map(|(record, _)| record);
        let kept = if found.is_some() { &mut here } else { &mut fetched };
        match found.or_else(|| fetch(store, remote, key)) {
            Some(record) => {
                kept.insert(key);
                decided.extend(record.of_rows);
            }
            None => failed += 1,
        }
    }
    // What was decided of rows is a part of their result.
    let [fetched, here] = [fetched, here].map(|keys| keys.difference(&decided).count());
    println!("fetched {}, {here} here already", phrase::count(fetched, "result"));
    if failed == 0 {
        return Ok(Exit::Done);
    }
    println!("{} could not be had", phrase::count(failed, "result"));
    Ok(Exit::Refused)
}

/// Fetches one result, and warns.
fn fetch(store: &Store, remote: &Remote, key: Digest) -> Option<Record> {
    let never = AtomicBool::new(false);
    remote.fetch(store, key, &|event, fields| warn(&key.short(), event, &fields), &never)
}

/// Counts and warns.
#[derive(Default)]
struct Fetching {
    fetched: AtomicUsize,
}

impl Listener for Fetching {
    fn hear(&self, event: &Event) {
        if event.event == "node_fetched" {
            self.fetched.fetch_add(1, Ordering::Relaxed);
        }
        let fields = Json::Object(event.fields.clone());
        warn(event.node.as_deref().unwrap_or_default(), &event.event, &fields);
    }
}

/// A run that executes nothing and publishes nothing: every node that has a result there gets it.
fn pull_recipe(compiled: &Compiled, selection: &Selection, store: &Store, files: &FileIndex, remote: &Remote) -> Exit {
    let listener = Fetching::default();
    let operators = recipe::operators();
    let summary = scheduler::run(
        &compiled.planned.graph,
        selection,
        &Setup {
            store,
            files,
            operators: &operators,
            secrets: Default::default(),
            listener: &listener,
            executors: &placement::nowhere(),
            fail_fast: false,
            no_exec: true,
            remote: Some(remote),
            lazy: false,
            stop: &Stop::default(),
            foresee: None,
        },
    );
    // What was decided of the rows of a result saves an execution when other columns change, with no remote at hand.
    for key in summary.identities.values().map(|identity| identity.key) {
        let decided = record::read(store, key).and_then(|record| record.of_rows);
        if let Some(key) = decided.filter(|key| record::claim(store, *key).is_none()) {
            fetch(store, remote, key);
        }
    }
    let fetched = listener.fetched.load(Ordering::Relaxed);
    let here = summary.count(NodeState::Hit).saturating_sub(fetched);
    println!("fetched {}, {here} here already", phrase::count(fetched, "result"));
    for (id, failure) in &summary.failures {
        println!("failed: {} [{}] {}", compiled.planned.graph.node(*id).name, failure.code, failure.message);
    }
    if summary.misses.is_empty() && summary.failures.is_empty() {
        return Exit::Done;
    }
    println!("{} have no result there; `rbpipe run` makes them", phrase::count(summary.misses.len(), "node"));
    Exit::Refused
}

pub(super) fn warn(name: &str, event: &str, fields: &Json) {
    let text = |field: &str| fields[field].as_str().unwrap_or_default();
    match event {
        "remote_refused" => say(&format!("refused: {name}: {}: {}", text("what"), text("message"))),
        "remote_failed" => say(&format!("failed: {name}: `{}`: {}", text("from"), text("message"))),
        "divergence" => say(&format!("diverges: {name}: the result in this store is another one; it stays")),
        _ => {}
    }
}

fn unpack(store: &Store, file: &Path, args: &PullArgs) -> Result<Exit, Exit> {
    if let Some(folder) = &args.into
        && std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
    {
        eprintln!("error: `{}` is not empty; choose a folder that is empty or not there", folder.display());
        return Err(Exit::Usage);
    }
    let trust = Trust::open().map_err(|e| {
        eprintln!("error: {e}");
        Exit::Refused
    })?;
    let done = bundle::unpack(file, store, args.into.as_deref(), trust.as_ref()).map_err(|e| {
        eprintln!("error: cannot take `{}`: {e}", file.display());
        Exit::Refused
    })?;
    println!("took {}, {} here already", phrase::count(done.new, "result"), done.same);
    for name in &done.diverging {
        println!("diverges: `{name}`: the result in this store is another one; it stays");
    }
    for (name, why) in &done.refused {
        println!("refused: `{name}`: {why}");
    }
    if done.lacking > 0 {
        println!(
            "{} came without bytes: run the recipe, or take them from a remote",
            phrase::count(done.lacking, "record")
        );
    }
    match (&args.into, &done.head) {
        (Some(folder), Some(head)) => {
            let recipe = folder.join(&head.recipe);
            let profile = head.profile.iter().map(|p| format!(" --profile {p}"));
            let params = head.params.iter().map(|(name, value)| format!(" -p {name}={value}"));
            let chosen: String = profile.chain(params).collect();
            println!("wrote {}; run it: rbpipe run {}{chosen}", phrase::count(done.files, "file"), recipe.display());
        }
        _ => println!("`--into DIR` unpacks the recipe as well"),
    }
    Ok(if done.diverging.is_empty() && done.refused.is_empty() { Exit::Done } else { Exit::Refused })
}
