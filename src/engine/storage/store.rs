//! The content-addressed store: blobs by digest, published atomically.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::ahead::Ahead;
use super::gate::{self, Gate};
use super::seen::Seen;
use super::tree::{GROUP, Growing, LEAST, Tree};
use crate::base::Digest;
use crate::engine::artifact::{Artifact, FileRef};
use crate::engine::crash::step;
use crate::engine::machine;

/// A temporary file that nothing was written to for so long is nobody's any more.
const FORGOTTEN: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);
/// From so many new blobs on, one flush of the file system costs less than flushing each.
const FLUSH_ALL: usize = 64;

/// A folder of blobs: `blobs/ab/cdef…`, read-only once there, and the trees of large ones.
///
/// A blob is renamed to its place when it is whole, and on the disk when [`Store::commit`] returns; a record is written after
/// that, so a record implies its bytes.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    /// Blobs that are in their place and perhaps not on the disk.
    fresh: Arc<Mutex<Vec<PathBuf>>>,
    /// What was compared with its digest since the machine was started.
    seen: Arc<Seen>,
    /// What a run is about to ask for.
    pub(super) ahead: Arc<Ahead>,
}

/// What a look at a blob found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Its bytes are those of its digest.
    Whole,
    /// It is not there.
    Absent,
    /// Other bytes lie in its place.
    Damaged,
}

impl Store {
    /// Opens or creates a store.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = std::path::absolute(root.into())?;
        for folder in ["blobs", "tmp", "records", "leases", "index", "runs", "checkpoints", "logs"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let seen = Arc::new(Seen::new(&root));
        Ok(Self { root, fresh: Arc::default(), seen, ahead: Arc::default() })
    }

    /// Returns its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where a blob lies, whether or not it is there.
    pub fn path(&self, digest: Digest) -> PathBuf {
        below_hex(&self.root.join("blobs"), digest)
    }

    /// Stores some bytes. A blob that is there already stays as it is, unless its bytes are wrong.
    pub fn put(&self, bytes: &[u8]) -> io::Result<FileRef> {
        let (digest, tree) = digest_and_tree(bytes);
        let reference = FileRef { digest, bytes: bytes.len() as u64, attached: false };
        let target = self.path(digest);
        if self.reuse(reference) && fs::read(&target).is_ok_and(|found| found == bytes) {
            self.remember(digest, &target);
            tree.map_or(Ok(()), |tree| self.keep_tree(digest, &tree))?;
        } else {
            let mut file = self.temporary()?;
            file.write_all(bytes)?;
            step();
            self.publish(file, digest, tree.as_ref())?;
        }
        Ok(reference)
    }

    /// Stores a copy of a file.
    pub fn put_file(&self, path: &Path) -> io::Result<FileRef> {
        let mut source = fs::File::open(path)?;
        let mut blob = self.incoming()?;
        blob.fill(&mut source)?;
        self.take(blob)
    }

    /// Begins a blob whose bytes come one after the other.
    pub fn incoming(&self) -> io::Result<Incoming> {
        Ok(Incoming { file: self.temporary()?, growing: Growing::default() })
    }

    /// Stores what was written to a blob. One that is there already stays as it is, unless its bytes are wrong.
    pub fn take(&self, blob: Incoming) -> io::Result<FileRef> {
        let (digest, tree) = (blob.digest(), blob.growing.tree());
        let reference = FileRef { digest, bytes: blob.growing.bytes(), attached: false };
        let target = self.path(digest);
        step();
        if self.reuse(reference) && digest_of_file(&target).is_ok_and(|found| found == digest) {
            self.remember(digest, &target);
            tree.map_or(Ok(()), |tree| self.keep_tree(digest, &tree))?;
        } else {
            self.publish(blob.file, digest, tree.as_ref())?;
        }
        Ok(reference)
    }

    /// Reads a whole blob; compares it with its digest if nobody has since the machine was started.
    ///
    /// # Errors
    /// It is not there, cannot be read, or (`InvalidData`) is damaged.
    pub fn read(&self, digest: Digest) -> io::Result<Vec<u8>> {
        let file = fs::File::open(self.path(digest))?;
        let metadata = file.metadata()?;
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        file.take(metadata.len()).read_to_end(&mut bytes)?;
        if !self.seen.has(digest, &metadata) {
            if Digest::of(&bytes) != digest {
                let message = format!("blob {} is damaged", digest.short());
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            self.seen.add(digest, &metadata);
        }
        Ok(bytes)
    }

    /// Compares a blob with its digest, unless somebody has since the machine was started.
    ///
    /// # Errors
    /// It cannot be read, for another reason than that it is not there.
    pub fn look(&self, digest: Digest) -> io::Result<Look> {
        let found = fs::File::open(self.path(digest)).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, mut file) = match found {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Look::Absent),
            Err(e) => return Err(e),
        };
        if self.seen.has(digest, &metadata) {
            return Ok(Look::Whole);
        }
        let mut growing = Growing::default();
        growing.read(&mut file)?;
        if growing.digest() != digest {
            return Ok(Look::Damaged);
        }
        self.seen.add(digest, &metadata);
        // One of an older build has no tree yet. Where the store can only be read it has none later, either.
        let _ = growing.tree().map(|tree| self.keep_tree(digest, &tree));
        Ok(Look::Whole)
    }

    /// Remembers that a blob has just been written or compared.
    pub(super) fn remember(&self, digest: Digest, path: &Path) {
        if let Ok(metadata) = fs::metadata(path) {
            self.seen.add(digest, &metadata);
        }
    }

    /// Says whether a blob of the right size is there.
    pub fn holds(&self, file: FileRef) -> bool {
        fs::metadata(self.path(file.digest)).is_ok_and(|m| m.is_file() && m.len() == file.bytes)
    }

    /// Says whether a blob of the right size is there, and makes it young, so that no collection takes it before a record names it.
    pub(crate) fn reuse(&self, file: FileRef) -> bool {
        if !self.holds(file) {
            return false;
        }
        let Ok(gate) = Gate::shared(&self.root) else { return false };
        match gate::touch(&self.path(file.digest)) {
            Ok(()) => true,
            // Another user's file: a copy of one's own is young.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                drop(gate);
                self.renew(file.digest).is_ok()
            }
            Err(_) => false,
        }
    }

    /// Puts a copy in the place of a blob.
    fn renew(&self, digest: Digest) -> io::Result<()> {
        let mut file = self.temporary()?;
        io::copy(&mut fs::File::open(self.path(digest))?, &mut file)?;
        self.place(&self.path(digest), |target| persist(file, target))
    }

    /// Visits every blob: its digest and where it lies.
    pub fn each_blob(&self, visit: &mut dyn FnMut(Digest, &Path)) {
        beneath(&self.root.join("blobs"), visit);
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
        let artifact = self.described(digest)?;
        artifact.files.iter().all(|(path, f)| stays_inside(path) && self.holds(*f)).then_some(artifact)
    }

    /// Returns the description of an artifact, whether or not its files are there.
    pub(super) fn described(&self, digest: Digest) -> Option<Artifact> {
        serde_json::from_slice(&self.read(digest).ok()?).ok()
    }

    /// Brings all new blobs to the disk. A record of them may be written afterwards.
    pub fn commit(&self) -> io::Result<()> {
        self.seen.keep();
        let fresh = std::mem::take(&mut *self.fresh.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if fresh.len() >= FLUSH_ALL {
            flush_file_system(&self.root)?;
            step();
            return Ok(());
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
            step();
        }
        Ok(())
    }

    /// Writes a file so that it is there whole or not at all, and on the disk.
    pub fn write_whole(&self, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = target.parent().unwrap_or(&self.root);
        make_folder(folder)?;
        let mut file = self.lasting()?;
        file.write_all(bytes)?;
        step();
        file.as_file().sync_all()?;
        step();
        file.persist(target).map_err(|e| e.error)?;
        step();
        fs::File::open(folder)?.sync_all()?;
        step();
        Ok(())
    }

    /// Returns a private folder for one execution; it is emptied when dropped.
    pub fn scratch(&self) -> io::Result<tempfile::TempDir> {
        tempfile::Builder::new().prefix(&machine::mark()).tempdir_in(self.root.join("tmp"))
    }

    /// Removes what processes that are no more have left in `tmp`; of another machine's, what is a month old.
    pub fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join("tmp"))?.flatten() {
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|time| time.elapsed().ok());
            if machine::is_gone(&entry.file_name().to_string_lossy()) || age.is_some_and(|age| age > FORGOTTEN) {
                let path = entry.path();
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        }
        Ok(())
    }

    /// Returns a private file in `tmp`, to be published by renaming; [`Store::sweep`] removes it if this process dies first. Once it has
    /// its name it can be read by whom the user's mask allows, and written by nobody.
    pub(super) fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        self.private(0o444)
    }

    /// As [`Store::temporary`], for a file that may be written again once it has its name.
    pub(super) fn lasting(&self) -> io::Result<tempfile::NamedTempFile> {
        self.private(0o666)
    }

    fn private(&self, mode: u32) -> io::Result<tempfile::NamedTempFile> {
        let mut builder = tempfile::Builder::new();
        let mark = machine::mark();
        builder.prefix(&mark).permissions(fs::Permissions::from_mode(mode));
        let file = builder.tempfile_in(self.root.join("tmp"))?;
        step();
        Ok(file)
    }

    /// Takes what was written as the blob of a digest, which it was compared with; one that lies there is replaced.
    pub(crate) fn adopt(&self, blob: Incoming, digest: Digest) -> io::Result<()> {
        let tree = blob.growing.tree();
        self.publish(blob.file, digest, tree.as_ref())
    }

    fn publish(&self, file: tempfile::NamedTempFile, digest: Digest, tree: Option<&Tree>) -> io::Result<()> {
        let target = self.path(digest);
        self.place(&target, |target| persist(file, target))?;
        self.remember(digest, &target);
        if let Some(tree) = tree {
            self.keep_tree(digest, tree)?;
            self.forget_parts(digest);
        }
        Ok(())
    }

    /// Gives a whole file its name in the store; it is on the disk once the store is committed.
    pub(super) fn place(&self, target: &Path, name: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        if let Some(folder) = target.parent() {
            make_folder(folder)?;
        }
        name(target)?;
        step();
        self.fresh.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(target.to_path_buf());
        Ok(())
    }
}

/// Makes a folder of the store where it is not there, so that after a power cut it is there with what was put in it.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => fs::create_dir_all(folder)?,
        made => made?,
    }
    step();
    if let Some(parent) = folder.parent() {
        fs::File::open(parent)?.sync_all()?;
        step();
    }
    Ok(())
}

pub(super) fn persist(file: tempfile::NamedTempFile, target: &Path) -> io::Result<()> {
    file.persist(target).map(drop).map_err(|e| e.error)
}

/// Returns where what a digest names lies in a folder.
pub(super) fn below_hex(folder: &Path, digest: Digest) -> PathBuf {
    let hex = digest.hex();
    folder.join(&hex[..2]).join(&hex[2..])
}

/// Visits all that lies so in a folder.
pub(super) fn beneath(folder: &Path, visit: &mut dyn FnMut(Digest, &Path)) {
    for folder in fs::read_dir(folder).into_iter().flatten().flatten() {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let hex = format!("{}{}", folder.file_name().to_string_lossy(), file.file_name().to_string_lossy());
            if let Some(digest) = Digest::parse(&hex) {
                visit(digest, &file.path());
            }
        }
    }
}

/// Returns the digest of some bytes, and their tree where they are many.
pub(crate) fn digest_and_tree(bytes: &[u8]) -> (Digest, Option<Tree>) {
    if (bytes.len() as u64) < LEAST {
        return (Digest::of(bytes), None);
    }
    let mut growing = Growing::default();
    growing.update(bytes);
    (growing.digest(), growing.tree())
}

/// A blob that is being written: a private file, and the digest of what is in it so far.
pub struct Incoming {
    file: tempfile::NamedTempFile,
    growing: Growing,
}

impl Incoming {
    /// Returns the digest of what was written so far.
    pub fn digest(&self) -> Digest {
        self.growing.digest()
    }

    /// Writes what `from` has until its end. Returns how many bytes that was.
    pub fn fill(&mut self, from: &mut dyn Read) -> io::Result<u64> {
        let (mut buffer, before) = (vec![0; 1 << 18], self.growing.bytes());
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(self.growing.bytes() - before),
                n => self.write_all(&buffer[..n])?,
            }
        }
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Some at a time: what was just copied to the file is still near the processor when it is hashed.
        let bytes = &bytes[..bytes.len().min(GROUP as usize)];
        self.file.write_all(bytes)?;
        self.growing.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Says whether a file of an artifact has a name that stays inside its folder.
pub(crate) fn stays_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
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
