//! Digests of the files that sources read, remembered by size, time and inode, so that a run without changes reads none.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::store::{Store, digest_of_file};
use crate::base::Digest;
use crate::data::formats::paths;
use crate::plan::PathArg;

/// A file changed less than this before it was looked at may change again within the same tick of the clock.
const SETTLED_NANOS: i128 = 2_000_000_000;

/// Texts and tables are named by `path:`; what `media:` names is read for its pictures and videos alone.
const NO_MEDIA: &[&str] = &[
    "json",
    "jsonl",
    "csv",
    "tsv",
    "md",
    "txt",
    "toml",
    "yaml",
    "yml",
    "rb2",
    "lock",
    "html",
    "parquet",
    "arrow",
    "py",
    "log",
    "safetensors",
];

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    time: i128,
    inode: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Entry {
    stamp: Stamp,
    digest: Digest,
}

/// What a source's argument names, as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Of the bytes, and of the relative paths where there are several files.
    pub digest: Digest,
    /// How many files.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

/// Remembers digests of files.
pub struct FileIndex {
    place: PathBuf,
    /// The store itself: what it holds is nobody's input, also where it lies beside a recipe.
    store: PathBuf,
    /// Folders that were already looked at in this run: many sources share one.
    trees: Mutex<BTreeMap<(PathBuf, bool), Seen>>,
    known: Mutex<(BTreeMap<String, Entry>, bool)>,
}

impl FileIndex {
    /// Opens the index of a store; a damaged one is as good as none.
    pub fn open(store: &Store) -> Self {
        let place = store.root().join("index").join("files.json");
        let known = std::fs::read(&place).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        let root = std::fs::canonicalize(store.root()).unwrap_or_else(|_| store.root().to_owned());
        Self { place, store: root, trees: Mutex::default(), known: Mutex::new((known, false)) }
    }

    /// Keeps what was learnt, if anything was.
    pub fn save(&self, store: &Store) -> io::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if std::mem::take(&mut known.1) {
            store.write_whole(&self.place, &serde_json::to_vec(&known.0).map_err(io::Error::other)?)?;
        }
        Ok(())
    }

    /// Returns the digest of a file's bytes.
    pub fn file(&self, path: &Path) -> io::Result<Digest> {
        self.one(path).map(|seen| seen.digest)
    }

    fn one(&self, path: &Path) -> io::Result<Seen> {
        let metadata = std::fs::metadata(path)?;
        let time = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        let stamp = Stamp { size: metadata.len(), time, inode: metadata.ino() };
        let name = std::path::absolute(path)?.to_string_lossy().into_owned();
        let guard = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(entry) = guard.0.get(&name)
            && entry.stamp == stamp
        {
            return Ok(Seen { digest: entry.digest, files: 1, bytes: stamp.size });
        }
        drop(guard);
        let digest = digest_of_file(path)?;
        if jiff::Timestamp::now().as_nanosecond() - time > SETTLED_NANOS {
            let mut guard = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            guard.0.insert(name, Entry { stamp, digest });
            guard.1 = true;
        }
        Ok(Seen { digest, files: 1, bytes: stamp.size })
    }

    /// Returns the digest of a tree: relative paths and bytes of some files below a folder.
    fn tree(&self, folder: &Path, files: &[PathBuf]) -> io::Result<Seen> {
        let seen: Vec<Seen> = files.par_iter().map(|f| self.one(f)).collect::<io::Result<_>>()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"rbpipe/tree/v1");
        for (file, one) in files.iter().zip(&seen) {
            let name = file.strip_prefix(folder).unwrap_or(file).to_string_lossy();
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(&one.digest.0);
        }
        let digest = Digest(*hasher.finalize().as_bytes());
        Ok(Seen { digest, files: seen.len() as u64, bytes: seen.iter().map(|s| s.bytes).sum() })
    }

    /// Returns the digest of what a source's argument names; a folder is looked at once in a run.
    pub fn argument(&self, arg: &PathArg) -> io::Result<Digest> {
        self.seen(arg).map(|seen| seen.digest)
    }

    /// Returns what a source's argument names; a folder is looked at once in a run.
    pub fn seen(&self, arg: &PathArg) -> io::Result<Seen> {
        if !arg.path.is_dir() {
            return self.fresh(arg);
        }
        let name = (arg.path.clone(), arg.media);
        let known = self.trees.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&name).copied();
        if let Some(seen) = known {
            return Ok(seen);
        }
        let seen = self.fresh(arg)?;
        self.trees.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name, seen);
        Ok(seen)
    }

    /// Returns the digest of what a source's argument names: a file, a folder, or the files that a pattern matches.
    pub fn look(&self, arg: &PathArg) -> io::Result<Digest> {
        self.fresh(arg).map(|seen| seen.digest)
    }

    /// Returns the files that a source's argument names, sorted.
    pub fn named(&self, arg: &PathArg) -> io::Result<Vec<PathBuf>> {
        if arg.path.is_file() {
            return Ok(vec![arg.path.clone()]);
        }
        if !arg.path.is_dir() {
            return matches(&arg.path).map(|(_, files)| files);
        }
        let mut files = Vec::new();
        list(&arg.path, arg.media, Some(&self.store), &mut files)?;
        files.sort();
        Ok(files)
    }

    fn fresh(&self, arg: &PathArg) -> io::Result<Seen> {
        if arg.path.is_file() {
            return self.one(&arg.path);
        }
        if arg.path.is_dir() {
            return self.tree(&arg.path, &self.named(arg)?);
        }
        let (folder, files) = matches(&arg.path)?;
        if files.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no such file or folder"));
        }
        self.tree(&folder, &files)
    }
}

/// Says whether what a source's argument names is there.
pub fn is_there(arg: &PathArg) -> bool {
    arg.path.exists() || matches(&arg.path).is_ok_and(|(_, files)| !files.is_empty())
}

/// Returns the files that a path names: itself, those below a folder, or the matches of a pattern, sorted.
///
/// # Errors
/// There is none, or a folder cannot be read.
pub fn expand(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    if path.is_dir() {
        list(path, false, None, &mut files)?;
        files.sort();
    } else {
        files = matches(path)?.1;
    }
    let none = || io::Error::new(io::ErrorKind::NotFound, format!("`{}` is not there", path.display()));
    if files.is_empty() { Err(none()) } else { Ok(files) }
}

/// Returns the files that a pattern such as `shards/{000..127}.tar` or `*.parquet` matches, sorted, and the folder that
/// they are below.
fn matches(pattern: &Path) -> io::Result<(PathBuf, Vec<PathBuf>)> {
    let special = |s: &str| s.contains(['*', '?', '[', '{']);
    let folder: PathBuf = pattern.iter().take_while(|c| !special(&c.to_string_lossy())).collect();
    let text = pattern.to_string_lossy();
    // A pattern without a folder is one of the present folder.
    let here = folder.as_os_str().is_empty();
    let folder = if here { PathBuf::from(".") } else { folder };
    if !special(&text) || !folder.is_dir() {
        return Ok((folder, Vec::new()));
    }
    let mut matchers = globset::GlobSetBuilder::new();
    for one in paths::ranges(&text) {
        matchers.add(globset::GlobBuilder::new(&one).literal_separator(true).build().map_err(io::Error::other)?);
    }
    let matcher = matchers.build().map_err(io::Error::other)?;
    let mut files = Vec::new();
    list(&folder, false, None, &mut files)?;
    if here {
        files = files.iter().map(|file| file.strip_prefix(".").unwrap_or(file).to_path_buf()).collect();
    }
    files.retain(|f| matcher.is_match(f));
    files.sort();
    Ok((folder, files))
}

/// Lists the files below a folder. Hidden ones are left out, what this tool has published there, and the folder `but`.
fn list(folder: &Path, media: bool, but: Option<&Path>, out: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name.ends_with(super::note::SIDECAR) {
            continue;
        }
        // Links are followed once, by looking at what they lead to.
        let kind = std::fs::metadata(&path)?;
        if kind.is_dir() {
            let published = super::note::sidecar(&path).exists() || (media && name.ends_with(".media"));
            let left_out = but.is_some_and(|but| std::fs::canonicalize(&path).is_ok_and(|path| path == but));
            if !published && !left_out {
                list(&path, media, but, out)?;
            }
        } else if kind.is_file() {
            let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
            if !(media && (NO_MEDIA.contains(&extension.as_str()) || super::note::sidecar(&path).exists())) {
                out.push(path);
            }
        }
    }
    Ok(())
}
