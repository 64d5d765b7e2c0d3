//! `rbpipe cache`: look at the artifact store, mend it and clean it.

use super::args::{CacheArgs, CacheCommand, GcArgs};
use super::{Exit, recheck, share, store};
use crate::base::phrase;
use crate::base::phrase::bytes;
use crate::engine::gc::{self, Account, Policy};
use crate::engine::{Store, record, verify};

/// Runs the command.
pub(super) fn run(args: &CacheArgs) -> Exit {
    if let CacheCommand::Dir = args.command {
        println!("{}", store::folder().display());
        return Exit::Done;
    }
    let (store, files) = match store::open() {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    match &args.command {
        CacheCommand::Dir => Exit::Done,
        CacheCommand::Ls => ls(&store),
        CacheCommand::Stats => stats(&store),
        CacheCommand::Verify { repair } => verify(&store, *repair),
        CacheCommand::Check(args) => recheck::run(&store, &files, args).unwrap_or_else(|exit| exit),
        CacheCommand::Gc(args) => match &args.remote {
            Some(address) => share::collect(&store, &files, address, args).unwrap_or_else(|exit| exit),
            None => collect(&store, args),
        },
        CacheCommand::Key => share::key(),
        CacheCommand::Push(args) => share::push(&store, &files, args).unwrap_or_else(|exit| exit),
        CacheCommand::Pull(args) => share::pull(&store, &files, args).unwrap_or_else(|exit| exit),
    }
}

fn ls(store: &Store) -> Exit {
    for record in record::all(store) {
        let op = record.preimage.get("op").and_then(|v| v.as_str()).unwrap_or_default();
        let rows = record.rows.map_or(String::new(), |r| format!("  {r} rows"));
        let (key, made) = (record.key.short(), &record.made);
        println!(
            "{key}  {made}  {:>8}  {:>10}  {op}  {}{rows}",
            phrase::duration(record.seconds),
            bytes(record.bytes),
            record.name
        );
    }
    Exit::Done
}

fn stats(store: &Store) -> Exit {
    let records = record::all(store);
    let (mut blobs, mut total) = (0_usize, 0_u64);
    store.each_blob(&mut |_, path| {
        blobs += 1;
        total += std::fs::metadata(path).map_or(0, |m| m.len());
    });
    let seconds: f64 = records.iter().map(|r| r.seconds).sum();
    println!("records  {}", records.len());
    println!("blobs    {blobs}");
    println!("bytes    {}", bytes(total));
    println!("work     {}", phrase::duration(seconds));
    Exit::Done
}

fn verify(store: &Store, repair: bool) -> Exit {
    let found = verify::verify(store);
    for (_, path) in &found.damaged {
        println!("damaged  {}", path.display());
    }
    for path in &found.unreadable {
        println!("damaged  {}", path.display());
    }
    for broken in &found.broken {
        let what = if broken.damaged { "damaged" } else { "missing" };
        println!("{what} bytes  {}  {}", broken.key.short(), broken.name);
    }
    if found.none() {
        println!("all bytes are as recorded");
        return Exit::Done;
    }
    if !repair {
        println!("`--repair` moves damaged bytes aside; the next run that needs them makes them anew");
        return Exit::Refused;
    }
    if let Err(e) = verify::repair(store, &found) {
        eprintln!("error: cannot repair the store: {e}");
        return Exit::Refused;
    }
    println!(
        "moved {} to `quarantine/` and forgot {}; the next run that needs them makes them anew",
        phrase::count(found.damaged.len(), "blob"),
        phrase::count(found.broken.len() + found.unreadable.len(), "record"),
    );
    Exit::Done
}

fn collect(store: &Store, args: &GcArgs) -> Exit {
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
    tell(&account, args.apply);
    Exit::Done
}

/// Says what stays and what goes, in bytes by reason.
pub(super) fn tell(account: &Account, apply: bool) {
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
