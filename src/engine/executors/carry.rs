//! Blobs on their way between two stores over a pipe: `HEX BYTES`, a line each, followed by the bytes. Who receives them compares every byte.

use std::io::{self, BufRead, Read, Write};

use crate::base::Digest;
use crate::engine::storage::store::Store;

/// Writes those blobs that the store has. Returns how many bytes they have.
///
/// # Errors
/// A blob cannot be read, or nobody reads what is written.
pub fn give(store: &Store, blobs: impl Iterator<Item = Digest>, out: &mut dyn Write) -> io::Result<u64> {
    let mut sent = 0;
    for digest in blobs {
        let file = match std::fs::File::open(store.path(digest)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let bytes = file.metadata()?.len();
        writeln!(out, "{} {bytes}", digest.hex())?;
        if io::copy(&mut file.take(bytes), out)? != bytes {
            return Err(io::Error::other(format!("blob {} became shorter", digest.short())));
        }
        sent += bytes;
    }
    out.flush()?;
    Ok(sent)
}

/// Takes blobs into a store until the pipe ends. Returns how many bytes they have.
///
/// # Errors
/// The pipe ends inside a blob, or bytes are not those of their digest: nothing of that blob is kept.
pub fn take(store: &Store, input: &mut dyn BufRead) -> io::Result<u64> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let (mut taken, mut line) = (0, String::new());
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            store.commit()?;
            return Ok(taken);
        }
        let head = line.trim_end().split_once(' ').and_then(|(hex, n)| Some((Digest::parse(hex)?, n.parse().ok()?)));
        let (digest, bytes): (Digest, u64) =
            head.ok_or_else(|| wrong(format!("`{}` announces no blob", line.trim_end())))?;
        let mut blob = store.incoming()?;
        if blob.fill(&mut (&mut *input).take(bytes))? < bytes {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("blob {} was cut off", digest.short())));
        }
        if blob.digest() != digest {
            return Err(wrong(format!("blob {} arrived with other bytes", digest.short())));
        }
        store.adopt(blob, digest)?;
        taken += bytes;
    }
}

/// Returns those blobs, of lines `HEX BYTES`, that a store does not hold.
///
/// # Errors
/// The lines cannot be read.
pub fn lacking(store: &Store, input: &mut dyn BufRead) -> io::Result<Vec<Digest>> {
    let mut out = Vec::new();
    for line in input.lines() {
        let line = line?;
        let Some((hex, bytes)) = line.split_once(' ') else { continue };
        if let (Some(digest), Ok(bytes)) = (Digest::parse(hex), bytes.parse()) {
            // What is held becomes young, so that nobody collects it before it is used.
            if !store.reuse(crate::engine::FileRef { digest, bytes, attached: false }) {
                out.push(digest);
            }
        }
    }
    Ok(out)
}
