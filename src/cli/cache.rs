//! `rbpipe cache`: look at the artifact store, mend it and clean it.

use std::ops::Range;

use super::args::{CacheArgs, CacheCommand};
use super::{Exit, gc, recheck, share, store};
use crate::base::phrase;
use crate::base::phrase::bytes;
use crate::engine::Store;
use crate::engine::remote::Remote;
use crate::engine::storage::{record, verify};

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
        CacheCommand::Verify { repair, remote } => {
            verify(&store, *repair, remote.as_deref()).unwrap_or_else(|exit| exit)
        }
        CacheCommand::Check(args) => recheck::run(&store, &files, args).unwrap_or_else(|exit| exit),
        CacheCommand::Gc(args) => match &args.remote {
            Some(address) => gc::remote(&store, &files, address, args).unwrap_or_else(|exit| exit),
            None => gc::here(&store, args),
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

fn verify(store: &Store, repair: bool, remote: Option<&str>) -> Result<Exit, Exit> {
    let remote = remote.map(store::remote_at).transpose()?;
    let mut damaged = verify::blobs(store);
    for blob in &damaged {
        println!("damaged  {}{}", blob.path.display(), blob.wrong.as_ref().map_or_else(String::new, wrong));
    }
    if let Some(remote) = remote {
        damaged.retain(|blob| !mended(store, &remote, blob));
        store.commit().map_err(|e| cannot(&e))?;
    }
    let found = verify::records(store, damaged);
    for path in &found.unreadable {
        println!("damaged  {}", path.display());
    }
    for broken in &found.broken {
        let what = if broken.damaged { "damaged" } else { "missing" };
        println!("{what} bytes  {}  {}", broken.key.short(), broken.name);
    }
    if found.none() {
        println!("all bytes are as recorded");
        return Ok(Exit::Done);
    }
    if !repair {
        println!("`--repair` moves damaged bytes aside; the next run that needs them makes them anew");
        return Ok(Exit::Refused);
    }
    verify::repair(store, &found).map_err(|e| cannot(&e))?;
    println!(
        "moved {} to `quarantine/` and forgot {}; the next run that needs them makes them anew",
        phrase::count(found.damaged.len(), "blob"),
        phrase::count(found.broken.len() + found.unreadable.len(), "record"),
    );
    Ok(Exit::Done)
}

fn cannot(e: &std::io::Error) -> Exit {
    eprintln!("error: cannot repair the store: {e}");
    Exit::Refused
}

/// Says which bytes of a large blob are damaged.
fn wrong((ranges, length): &(Vec<Range<u64>>, u64)) -> String {
    match ranges.as_slice() {
        [] => format!("  more than its {length} bytes"),
        ranges => {
            let ranges: Vec<String> = ranges.iter().map(|range| format!("{} to {}", range.start, range.end)).collect();
            format!("  bytes {} of {length}", ranges.join(", "))
        }
    }
}

/// Fetches what is damaged; says whether that is mended.
fn mended(store: &Store, remote: &Remote, blob: &verify::Damaged) -> bool {
    let name = blob.digest.short();
    let fetched = remote.mend(store, blob.digest, &|event, fields| share::warn(&name, event, &fields));
    if let Some(fetched) = fetched {
        println!("mended   {}  fetched {}", blob.path.display(), bytes(fetched));
    }
    fetched.is_some()
}
