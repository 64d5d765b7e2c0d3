//! `rbpipe cache`: look at the artifact store.

use std::path::Path;

use super::args::{CacheArgs, CacheCommand};
use super::plan::{bytes, time};
use super::{Exit, not_there, recipe};
use crate::base::Digest;
use crate::engine::store::digest_of_file;
use crate::engine::{Store, record};

/// Runs the command.
pub(super) fn run(args: &CacheArgs) -> Exit {
    if let CacheCommand::Dir = args.command {
        println!("{}", recipe::cache_folder().display());
        return Exit::Done;
    }
    let (store, _) = match recipe::store() {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    match args.command {
        CacheCommand::Dir => Exit::Done,
        CacheCommand::Ls => ls(&store),
        CacheCommand::Stats => stats(&store),
        CacheCommand::Verify => verify(&store),
        CacheCommand::Gc { .. } => not_there("cache gc"),
        CacheCommand::Push => not_there("cache push"),
        CacheCommand::Pull => not_there("cache pull"),
    }
}

fn ls(store: &Store) -> Exit {
    for record in record::all(store) {
        let op = record.preimage.get("op").and_then(|v| v.as_str()).unwrap_or_default();
        let rows = record.rows.map_or(String::new(), |r| format!("  {r} rows"));
        let (key, made) = (record.key.short(), &record.made);
        println!(
            "{key}  {made}  {:>8}  {:>10}  {op}  {}{rows}",
            time(record.seconds),
            bytes(record.bytes),
            record.name
        );
    }
    Exit::Done
}

fn stats(store: &Store) -> Exit {
    let records = record::all(store);
    let (mut blobs, mut total) = (0_usize, 0_u64);
    each_blob(store, &mut |_, path| {
        blobs += 1;
        total += std::fs::metadata(path).map_or(0, |m| m.len());
    });
    let seconds: f64 = records.iter().map(|r| r.seconds).sum();
    println!("records  {}", records.len());
    println!("blobs    {blobs}");
    println!("bytes    {}", bytes(total));
    println!("work     {}", time(seconds));
    Exit::Done
}

fn verify(store: &Store) -> Exit {
    let mut bad = 0;
    each_blob(store, &mut |digest, path| {
        if digest_of_file(path).ok() != Some(digest) {
            println!("damaged  {}", path.display());
            bad += 1;
        }
    });
    for record in record::all(store) {
        if record::lookup(store, record.key).is_none() {
            println!("missing bytes  {}  {}", record.key.short(), record.name);
            bad += 1;
        }
    }
    println!(
        "{}",
        if bad == 0 {
            "all bytes are as recorded"
        } else {
            "what is damaged or missing is made anew by the next run that needs it"
        }
    );
    if bad == 0 { Exit::Done } else { Exit::Refused }
}

fn each_blob(store: &Store, visit: &mut dyn FnMut(Digest, &Path)) {
    for folder in std::fs::read_dir(store.root().join("blobs")).into_iter().flatten().flatten() {
        for blob in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let hex = format!("{}{}", folder.file_name().to_string_lossy(), blob.file_name().to_string_lossy());
            if let Some(digest) = Digest::parse(&hex) {
                visit(digest, &blob.path());
            }
        }
    }
}
