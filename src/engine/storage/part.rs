//! Large blobs that have not come whole: `parts/DIGEST-BOOT`, of which every byte was compared before it was written. Who asks for the blob next goes on behind
//! them. After a new start of the machine they are compared again, as all bytes of the store are: what was not flushed may have become something else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::store::{Store, make_folder};
use super::tree::Tree;
use crate::base::Digest;
use crate::engine::crash::step;
use crate::engine::machine;

/// The beginning of a blob, in a file that nobody else writes to.
pub(crate) struct Part {
    file: File,
    place: Place,
    at: u64,
    sources: Vec<Source>,
}

enum Place {
    /// Who asks next goes on with it.
    Kept(PathBuf),
    /// Somebody fetches the same at present: this one ends with its process.
    Own(tempfile::TempPath),
}

/// A file that may have groups of the blob: damaged bytes, or what came before the machine was started.
struct Source {
    file: File,
    found: Vec<bool>,
}

impl Store {
    /// Goes on with a blob as far as it has come.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub(crate) fn part(&self, digest: Digest, tree: &Tree) -> io::Result<Part> {
        let folder = self.root().join("parts");
        make_folder(&folder)?;
        let path = self.part_path(digest);
        let (mut file, place) = match alone(&path, true)? {
            Some(file) => (file, Place::Kept(path)),
            None => {
                let (file, path) = self.temporary()?.into_parts();
                (file, Place::Own(path))
            }
        };
        let length = file.metadata()?.len();
        // A write that was cut off ends inside a group.
        let at = if length < tree.bytes() { length - length % tree.group() } else { tree.bytes() };
        file.set_len(at)?;
        file.seek(SeekFrom::Start(at))?;
        let mut candidates = vec![self.path(digest), self.root().join("quarantine").join(digest.hex())];
        candidates.extend(self.older_parts(digest));
        let mut sources = Vec::new();
        for path in candidates.iter().filter(|_| at < tree.bytes()) {
            let Ok(mut file) = File::open(path) else { continue };
            let found = tree.found_in(&mut file)?;
            sources.push(Source { file, found });
        }
        Ok(Part { file, place, at, sources })
    }

    /// Takes a part that is whole by now as its blob; one that lies there is replaced.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) fn adopt_part(&self, part: Part, digest: Digest, tree: &Tree) -> io::Result<()> {
        let mode = part.file.metadata()?.permissions().mode();
        part.file.set_permissions(fs::Permissions::from_mode(mode & 0o444))?;
        step();
        let target = self.path(digest);
        match part.place {
            Place::Kept(path) => self.place(&target, |target| fs::rename(path, target))?,
            Place::Own(path) => self.place(&target, |target| path.persist(target).map_err(|e| e.error))?,
        }
        self.remember(digest, &target);
        self.forget_parts(digest);
        self.keep_tree(digest, tree)
    }

    /// Removes what has come of a blob that is here by now, unless somebody writes to it.
    pub(super) fn forget_parts(&self, digest: Digest) {
        for path in std::iter::once(self.part_path(digest)).chain(self.older_parts(digest)) {
            if let Ok(Some(_held)) = alone(&path, false) {
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn part_path(&self, digest: Digest) -> PathBuf {
        self.root().join("parts").join(format!("{}-{}", digest.hex(), machine::boot()))
    }

    /// What came before the machine was started, or to another one that shares the store.
    fn older_parts(&self, digest: Digest) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root().join("parts")).into_iter().flatten().flatten();
        let ours = self.part_path(digest);
        let paths = entries.map(|entry| entry.path());
        let mut out: Vec<PathBuf> = paths
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                *path != ours && name.starts_with(&digest.hex())
            })
            .collect();
        out.sort();
        out
    }
}

/// Opens a file that nobody else has; nothing if somebody has it, or it is another user's, or, unless it may be made, it is not there.
fn alone(path: &Path, make: bool) -> io::Result<Option<File>> {
    loop {
        let file = match OpenOptions::new().read(true).write(true).create(make).truncate(false).open(path) {
            Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound) => return Ok(None),
            opened => opened?,
        };
        if file.try_lock().is_err() {
            return Ok(None);
        }
        // It may have become a blob between the two: then it is another file, or none, that has the name.
        if fs::metadata(path).is_ok_and(|there| there.ino() == file.metadata().map_or(0, |own| own.ino())) {
            return Ok(Some(file));
        }
    }
}

impl Part {
    /// Returns how many bytes are here.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Adds the next group, which was compared.
    pub(crate) fn add<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let mut length = 0;
        for piece in pieces {
            self.file.write_all(piece)?;
            length += piece.len() as u64;
        }
        self.at += length;
        step();
        Ok(())
    }

    /// Adds the groups that lie elsewhere in the store, until one is reached that does not. Returns where those end that lack: nothing once all are here.
    pub(crate) fn advance(&mut self, tree: &Tree) -> io::Result<Option<u64>> {
        let mut buffer = Vec::new();
        while self.at < tree.bytes() {
            let range = tree.around(self.at);
            let group = (range.start / tree.group()) as usize;
            let Some(source) = self.sources.iter_mut().find(|source| source.found[group]) else {
                let here = |range: &std::ops::Range<u64>| {
                    self.sources.iter().any(|source| source.found[(range.start / tree.group()) as usize])
                };
                let next = tree.groups().skip(group).find(here);
                return Ok(Some(next.map_or(tree.bytes(), |range| range.start)));
            };
            buffer.resize((range.end - range.start) as usize, 0);
            let read = source.file.read_exact_at(&mut buffer, range.start);
            if read.is_ok() && tree.fits(range.start, std::iter::once(&buffer[..])) {
                self.add(std::iter::once(&buffer[..]))?;
            } else {
                source.found[group] = false;
            }
        }
        Ok(None)
    }
}
