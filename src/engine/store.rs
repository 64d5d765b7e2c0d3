//! The content-addressed store: blobs by digest, published atomically.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::artifact::{Artifact, FileRef};
use super::gate::{self, Gate};
use crate::base::{Digest, OpError};

/// From so many new blobs on, one flush of the file system costs less than flushing each.
const FLUSH_ALL: usize = 64;

/// A folder of blobs: `blobs/ab/cdef…`, read-only once there.
///
/// A blob is renamed to its place when it is whole, and on the disk when [`Store::commit`] returns; a record is written after
/// that, so a record implies its bytes.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    /// Blobs that are in their place and perhaps not on the disk.
    fresh: Arc<Mutex<Vec<PathBuf>>>,
}

impl Store {
    /// Opens or creates a store.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = std::path::absolute(root.into())?;
        for folder in ["blobs", "tmp", "records", "leases", "index", "runs", "checkpoints", "logs"] {
            fs::create_dir_all(root.join(folder))?;
        }
        Ok(Self { root, fresh: Arc::default() })
    }

    /// Returns its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where a blob lies, whether or not it is there.
    pub fn path(&self, digest: Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("blobs").join(&hex[..2]).join(&hex[2..])
    }

    /// Stores some bytes. A blob that is there already stays as it is, unless its bytes are wrong.
    pub fn put(&self, bytes: &[u8]) -> io::Result<FileRef> {
        let digest = Digest::of(bytes);
        let reference = FileRef { digest, bytes: bytes.len() as u64, attached: false };
        let target = self.path(digest);
        if !self.reuse(reference) || fs::read(&target).map_or(true, |found| found != bytes) {
            let mut file = self.temporary()?;
            file.write_all(bytes)?;
            self.publish(file, &target)?;
        }
        Ok(reference)
    }

    /// Stores a copy of a file.
    pub fn put_file(&self, path: &Path) -> io::Result<FileRef> {
        let mut source = fs::File::open(path)?;
        let mut file = self.temporary()?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 18];
        let mut bytes = 0;
        loop {
            let n = source.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
            file.write_all(&buffer[..n])?;
            bytes += n as u64;
        }
        let reference = FileRef { digest: Digest(*hasher.finalize().as_bytes()), bytes, attached: false };
        let target = self.path(reference.digest);
        if !self.reuse(reference) || digest_of_file(&target).map_or(true, |d| d != reference.digest) {
            self.publish(file, &target)?;
        }
        Ok(reference)
    }

    /// Reads a whole blob.
    pub fn read(&self, digest: Digest) -> io::Result<Vec<u8>> {
        fs::read(self.path(digest))
    }

    /// Says whether a blob of the right size is there.
    pub fn holds(&self, file: FileRef) -> bool {
        fs::metadata(self.path(file.digest)).is_ok_and(|m| m.is_file() && m.len() == file.bytes)
    }

    /// Says whether a blob of the right size is there, and makes it young, so that no collection takes it before a record names it.
    pub(super) fn reuse(&self, file: FileRef) -> bool {
        if !self.holds(file) {
            return false;
        }
        let Ok(_gate) = Gate::shared(self) else { return false };
        gate::touch(&self.path(file.digest)).is_ok()
    }

    /// Visits every blob: its digest and where it lies.
    pub fn each_blob(&self, visit: &mut dyn FnMut(Digest, &Path)) {
        for folder in fs::read_dir(self.root.join("blobs")).into_iter().flatten().flatten() {
            for blob in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
                let hex = format!("{}{}", folder.file_name().to_string_lossy(), blob.file_name().to_string_lossy());
                if let Some(digest) = Digest::parse(&hex) {
                    visit(digest, &blob.path());
                }
            }
        }
    }

    /// Stores an artifact's description without its attachments; its files must be there already. Returns its digest.
    pub fn put_artifact(&self, artifact: &Artifact) -> io::Result<Digest> {
        let json = serde_json::to_value(artifact.bare()).map_err(io::Error::other)?;
        let text = crate::base::digest::canonical(&json);
        Ok(self.put(text.as_bytes())?.digest)
    }

    /// Reads an artifact back; nothing if it or one of its files is missing or damaged, or has a name that leaves its folder: what was
    /// shared by others is not trusted.
    pub fn artifact(&self, digest: Digest) -> Option<Artifact> {
        let bytes = self.read(digest).ok()?;
        if Digest::of(&bytes) != digest {
            return None;
        }
        let artifact: Artifact = serde_json::from_slice(&bytes).ok()?;
        artifact.files.iter().all(|(path, f)| stays_inside(path) && self.holds(*f)).then_some(artifact)
    }

    /// Brings all new blobs to the disk. A record of them may be written afterwards.
    pub fn commit(&self) -> io::Result<()> {
        let fresh = std::mem::take(&mut *self.fresh.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if fresh.len() >= FLUSH_ALL {
            return flush_file_system(&self.root);
        }
        let mut folders: Vec<&Path> = fresh.iter().filter_map(|p| p.parent()).collect();
        folders.sort_unstable();
        folders.dedup();
        for path in fresh.iter().map(PathBuf::as_path).chain(folders) {
            match fs::File::open(path) {
                Ok(file) => file.sync_all()?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Writes a file so that it is there whole or not at all, and on the disk.
    pub fn write_whole(&self, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        let mut file = self.temporary()?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(target).map_err(|e| e.error)?;
        fs::File::open(folder)?.sync_all()
    }

    /// Returns a private folder for one execution; it is emptied when dropped.
    pub fn scratch(&self) -> io::Result<tempfile::TempDir> {
        tempfile::Builder::new().prefix(&owned_by_this_process()).tempdir_in(self.root.join("tmp"))
    }

    /// Removes what processes that are no more have left in `tmp`.
    pub fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join("tmp"))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix("run-").and_then(|n| n.split('-').next()).and_then(|p| p.parse::<u32>().ok());
            if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                let path = entry.path();
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        }
        Ok(())
    }

    /// Returns a private file in `tmp`, to be published by renaming; [`Store::sweep`] removes it if this process dies first.
    pub(super) fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new().prefix(&owned_by_this_process()).tempfile_in(self.root.join("tmp"))
    }

    /// Takes a private file of [`Store::temporary`] as the blob of a digest; its bytes were compared with it.
    pub(super) fn adopt(&self, file: tempfile::NamedTempFile, digest: Digest) -> io::Result<()> {
        self.publish(file, &self.path(digest))
    }

    fn publish(&self, file: tempfile::NamedTempFile, target: &Path) -> io::Result<()> {
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut permissions = file.as_file().metadata()?.permissions();
        permissions.set_readonly(true);
        file.as_file().set_permissions(permissions)?;
        file.persist(target).map_err(|e| e.error)?;
        self.fresh.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(target.to_path_buf());
        Ok(())
    }
}

/// Says whether a file of an artifact has a name that stays inside its folder.
pub(super) fn stays_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Returns how names in `tmp` start, so that [`Store::sweep`] can tell whose they are.
fn owned_by_this_process() -> String {
    format!("run-{}-", std::process::id())
}

/// Returns the digest of a file's bytes.
pub fn digest_of_file(path: &Path) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path)?)?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

#[allow(unsafe_code)]
fn flush_file_system(folder: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let file = fs::File::open(folder)?;
    // SAFETY: `syncfs` takes an open descriptor, which `file` keeps open, and touches no memory of ours.
    let done = unsafe { libc::syncfs(file.as_raw_fd()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl crate::data::blobs::Blobs for Store {
    fn get(&self, digest: Digest) -> Result<Vec<u8>, OpError> {
        self.read(digest).map_err(|e| {
            OpError::new("E0503", format!("blob {} is not in the store: {e}", digest.short()))
                .help("run again: what is missing is made anew")
        })
    }

    fn put(&self, bytes: &[u8]) -> Result<Digest, OpError> {
        Ok(Store::put(self, bytes)?.digest)
    }
}
