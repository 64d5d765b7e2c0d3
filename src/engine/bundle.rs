//! A recipe and its results in one file: a compressed archive whose bytes depend on what is in it alone.
//!
//! `bundle.json`, then `files/…` as they lie below a common folder, `packages/DIGEST/…` of other repositories, then `blobs/ab/cd…` and `records/ab/cd….json` as in a remote.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::artifact::FileRef;
use super::inputs::packages;
use super::outputs::publish::write_whole;
use super::remote::Entry;
use super::storage::record::{self, Published};
use super::storage::signature::{Signer, Trust};
use super::storage::store::Store;
use crate::base::Digest;

const FORMAT: u32 = 1;
/// Records and heads are small; what claims to be larger is refused before it fills the memory.
const MOST_JSON: u64 = 256 << 20;
/// How every Zstandard file begins.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What a bundle says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    format: u32,
    /// The recipe, below the folder of files.
    pub recipe: String,
    /// The profile that it was made with.
    pub profile: Option<String>,
    /// Params that were given.
    pub params: Vec<(String, String)>,
}

impl Head {
    /// Describes a bundle of this build.
    pub fn new(recipe: String, profile: Option<String>, params: Vec<(String, String)>) -> Self {
        Self { format: FORMAT, recipe, profile, params }
    }
}

/// Writes a bundle, whole or not at all. `files`: name in the bundle to file. `imported`: folders of packages, which are called by their digests. `bytes`: where the blobs of the records come from, if they are to
/// be in it. `signer` vouches for the records.
pub fn write(
    out: &Path,
    head: &Head,
    files: &BTreeMap<String, PathBuf>,
    imported: &BTreeSet<PathBuf>,
    entries: &BTreeMap<Digest, Entry>,
    bytes: Option<&Store>,
    signer: Option<&Signer>,
) -> io::Result<()> {
    write_whole(out, &mut |file| {
        let mut packer = zstd::Encoder::new(file, 3)?;
        packer.include_checksum(true)?;
        let mut archive = tar::Builder::new(packer);
        append(&mut archive, "bundle.json", &serde_json::to_vec_pretty(head)?)?;
        for (name, path) in files {
            append_file(&mut archive, &format!("files/{name}"), path)?;
        }
        for folder in imported {
            let digest = folder.file_name().unwrap_or_default().to_string_lossy();
            for file in packages::files(folder)? {
                let name = format!("packages/{digest}/{}", file.display());
                append_file(&mut archive, &name, &folder.join(file))?;
            }
        }
        let blobs: BTreeSet<(Digest, u64)> =
            entries.values().flat_map(|e| e.blobs.iter().map(|b| (b.digest, b.bytes))).collect();
        for (digest, size) in bytes.is_some().then_some(blobs).into_iter().flatten() {
            if let Some(store) = bytes {
                let hex = digest.hex();
                let source = File::open(store.path(digest))?;
                append_from(&mut archive, &format!("blobs/{}/{}", &hex[..2], &hex[2..]), size, source)?;
            }
        }
        for (key, entry) in entries {
            let hex = key.hex();
            append(&mut archive, &format!("records/{}/{}.json", &hex[..2], &hex[2..]), &entry.seal(signer)?)?;
        }
        archive.into_inner()?.finish()?.flush()
    })
}

fn append(archive: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    append_from(archive, name, bytes.len() as u64, bytes)
}

fn append_file(archive: &mut tar::Builder<impl Write>, name: &str, path: &Path) -> io::Result<()> {
    let source = File::open(path)?;
    let size = source.metadata()?.len();
    append_from(archive, name, size, source)
}

/// Appends a file without owner, time or mode of its own.
fn append_from(archive: &mut tar::Builder<impl Write>, name: &str, size: u64, bytes: impl Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    let mut bytes = Exactly { inner: bytes, left: size };
    archive.append_data(&mut header, name, &mut bytes)?;
    if bytes.left == 0 { Ok(()) } else { Err(io::Error::other(format!("`{name}` became shorter while it was read"))) }
}

/// Reads a file up to the size that it had.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.inner.read(&mut buffer[..most])?;
        self.left -= n as u64;
        Ok(n)
    }
}

/// What became of a bundle's content.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// What it says about itself.
    pub head: Option<Head>,
    /// Files written.
    pub files: usize,
    /// Records that are new in the store.
    pub new: usize,
    /// Records that the store had already, with the same results.
    pub same: usize,
    /// Names of nodes whose result in the store is another one.
    pub diverging: Vec<String>,
    /// Records whose bytes are neither in the bundle nor in the store.
    pub lacking: usize,
    /// Names of nodes whose record nobody signed who is trusted, and why it is refused.
    pub refused: Vec<(String, String)>,
}

/// Says whether a file looks like a bundle.
pub fn is_bundle(path: &Path) -> bool {
    let mut start = [0; 4];
    path.is_file() && File::open(path).and_then(|mut f| f.read_exact(&mut start)).is_ok() && start == MAGIC
}

/// Takes the results of a bundle into the store, and its files into a folder.
///
/// A bundle is a stranger's file: names that leave the folder and anything but plain files are refused, and every blob is compared with its digest.
///
/// # Errors
/// It is no bundle, is damaged, or holds something that it must not; what was taken before is whole.
pub fn unpack(path: &Path, store: &Store, into: Option<&Path>, trust: Option<&Trust>) -> io::Result<Unpacked> {
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut archive = tar::Archive::new(zstd::Decoder::new(BufReader::new(File::open(path)?))?);
    let mut out = Unpacked::default();
    std::fs::create_dir_all(store.root().join("tmp"))?;
    let fetched = tempfile::Builder::new().prefix("packages-").tempdir_in(store.root().join("tmp"))?;
    let mut digests = BTreeSet::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path.display().to_string();
        let parts: Option<Vec<&str>> = path
            .components()
            .map(|part| if let Component::Normal(part) = part { part.to_str() } else { None })
            .collect();
        let parts = parts.filter(|_| entry.header().entry_type().is_file());
        let Some(parts) = parts else { return Err(bad(format!("`{name}` must not be in a bundle"))) };
        if out.head.is_none() {
            if name != "bundle.json" {
                return Err(bad("this is no bundle of rbpipe".into()));
            }
            let head: Head = serde_json::from_slice(&small(&mut entry)?)?;
            if head.format != FORMAT {
                return Err(bad(format!("the bundle has format {}, this build reads {FORMAT}", head.format)));
            }
            out.head = Some(head);
            continue;
        }
        match parts.as_slice() {
            ["files", inner @ ..] if !inner.is_empty() => {
                if let Some(folder) = into {
                    let target = inner.iter().fold(folder.to_path_buf(), |at, part| at.join(part));
                    write_whole(&target, &mut |file| io::copy(&mut entry, file).map(drop))?;
                    out.files += 1;
                }
            }
            ["packages", digest, inner @ ..] if !inner.is_empty() && Digest::parse(digest).is_some() => {
                let folder = fetched.path().join(digest);
                let target = inner.iter().fold(folder, |at, part| at.join(part));
                write_whole(&target, &mut |file| io::copy(&mut entry, file).map(drop))?;
                digests.insert((*digest).to_owned());
            }
            ["blobs", start, rest] => {
                let digest = Digest::parse(&format!("{start}{rest}"));
                let digest = digest.ok_or_else(|| bad(format!("`{name}` is no digest")))?;
                take(store, digest, &mut entry)?;
            }
            ["records", start, rest] => {
                let key = rest.strip_suffix(".json").and_then(|rest| Digest::parse(&format!("{start}{rest}")));
                let key = key.ok_or_else(|| bad(format!("`{name}` is no key")))?;
                let entry = Entry::parse(&small(&mut entry)?, key).map_err(bad)?;
                match trust.map(|trust| trust.who(&entry.signatures)) {
                    Some(Err(why)) => out.refused.push((entry.record.name, why)),
                    _ => publish(store, &entry, &mut out)?,
                }
            }
            _ => return Err(bad(format!("`{name}` must not be in a bundle"))),
        }
    }
    if out.head.is_none() {
        return Err(bad("this is no bundle of rbpipe".into()));
    }
    for digest in digests {
        packages::take(store.root(), &fetched.path().join(&digest), &digest)?;
    }
    // The end has a checksum over everything; a file that was cut off there is told.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(out)
}

fn small(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(MOST_JSON + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_JSON { Err(io::Error::other("a record is too large")) } else { Ok(bytes) }
}

fn take(store: &Store, digest: Digest, from: &mut impl Read) -> io::Result<()> {
    let mut blob = store.incoming()?;
    let bytes = blob.fill(from)?;
    if blob.digest() != digest {
        let what = format!("blob {} of the bundle is damaged", digest.short());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    if store.reuse(FileRef { digest, bytes, attached: false }) {
        return Ok(());
    }
    store.adopt(blob, digest)
}

fn publish(store: &Store, entry: &Entry, out: &mut Unpacked) -> io::Result<()> {
    if let Some((there, _)) = record::lookup(store, entry.record.key) {
        if there.outputs == entry.record.outputs {
            out.same += 1;
        } else {
            out.diverging.push(entry.record.name.clone());
        }
        return Ok(());
    }
    if !(entry.blobs.iter().all(|blob| store.reuse(*blob)) && entry.is_whole(store)) {
        out.lacking += 1;
        return Ok(());
    }
    match record::publish(store, &entry.record)? {
        Published::First => out.new += 1,
        Published::Same => out.same += 1,
        Published::Diverges(_) => out.diverging.push(entry.record.name.clone()),
    }
    Ok(())
}
