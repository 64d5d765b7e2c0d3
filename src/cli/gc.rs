//! `rbpipe cache gc`: what nobody needs any more goes, out of the store or out of a remote.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value as Json;

use super::args::{Choice, GcArgs, RecipeArgs};
use super::{Exit, recipe, say, share, store};
use crate::base::phrase;
use crate::base::phrase::bytes;
use crate::engine::Store;
use crate::engine::remote::gc::Policy as OfRemote;
use crate::engine::run::decide::Line;
use crate::engine::run::forecast::Forecaster;
use crate::engine::storage::files::FileIndex;
use crate::engine::storage::gc::{self, Account, Policy};

/// Cleans the store of this machine.
pub(super) fn here(store: &Store, args: &GcArgs) -> Exit {
    let policy = Policy {
        keep: std::time::Duration::from_secs_f64(args.keep_days * 86_400.0),
        runs: args.keep_runs,
        grace: args.grace,
        outputs: !args.drop_outputs,
        apply: args.apply,
    };
    let account = match gc::collect(store, &policy) {
        Ok(account) => account,
        Err(e) => {
            eprintln!("error: cannot collect garbage in `{}`: {e}", store.root().display());
            return Exit::Refused;
        }
    };
    print(&account, args.apply);
    Exit::Done
}

/// Cleans a remote: says what nobody needs there, and deletes it with `--apply`.
pub(super) fn remote(store: &Store, files: &FileIndex, address: &str, args: &GcArgs) -> Result<Exit, Exit> {
    let remote = store::remote_at(address)?;
    let doubtful = AtomicBool::new(false);
    let tell = |event: &str, fields: Json| {
        doubtful.store(true, Ordering::Relaxed);
        share::warn("gc", event, &fields);
    };
    let mut roots = BTreeMap::new();
    for path in &args.keep {
        let compiled = recipe::compile(&RecipeArgs::of(path, &Choice::default()))?;
        let selection = compiled.ready()?;
        // A key follows from what lies before it, here or there; behind what is nowhere there is nothing to keep.
        let offered = |key| remote.offer(key, &tell);
        let forecaster = compiled.forecaster(&selection, store, files);
        let (lines, _) = Forecaster { elsewhere: &offered, ..forecaster }.all();
        let lacks = |l: &Line| l.identity.as_ref().is_some_and(|identity| !l.rests_on.contains(&identity.key));
        let absent = lines.iter().filter(|line| lacks(line)).count();
        if absent > 0 {
            let (recipe, nodes) = (path.display(), phrase::count(absent, "node"));
            say(&format!("`{recipe}`: {nodes} without a result here or there; what follows from that is not kept"));
        }
        let why = format!("needed by {}", path.display());
        roots.extend(lines.into_iter().flat_map(|line| line.rests_on).map(|key| (key, why.clone())));
        if doubtful.load(Ordering::Relaxed) {
            let recipe = path.display();
            eprintln!("error: what `{recipe}` needs cannot be told from what the remote says; nothing was deleted");
            return Err(Exit::Refused);
        }
    }
    let keep = Duration::from_secs_f64(args.keep_days * 86_400.0);
    let policy = OfRemote { keep, grace: args.grace, settle: args.settle, apply: args.apply };
    let account = remote.collect(&policy, &roots, &tell).map_err(|e| {
        eprintln!("error: cannot clean `{}`: {e}", remote.address());
        Exit::Refused
    })?;
    print(&account, args.apply);
    Ok(Exit::Done)
}

/// Says what stays and what goes, in bytes by reason.
fn print(account: &Account, apply: bool) {
    let goes = if apply { "freed" } else { "free" };
    for (word, list) in [("keep", &account.kept), (goes, &account.freed)] {
        for (why, tally) in list {
            println!("{word:<5}  {:>10}  {:>7}  {why}", bytes(tally.bytes), tally.files);
        }
    }
    let total = account.total();
    let sum = format!("{} in {}", bytes(total.bytes), phrase::count(total.files, "file"));
    match (apply, total.files) {
        (_, 0) => println!("nothing to free"),
        (true, _) => println!("freed {sum}"),
        (false, _) => println!("nothing was deleted; `--apply` frees {sum}"),
    }
}
