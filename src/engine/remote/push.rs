//! From the store to a remote: blobs first, the record last and only if there is none.

use std::io::Read as _;
use std::path::Path as FilePath;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, WriteMultipart};

use super::{AT_ONCE, Emit, Entry, Remote, RemoteError, again, failed, gc};
use crate::base::Digest;
use crate::engine::artifact::FileRef;
use crate::engine::storage::reach::Reach;
use crate::engine::storage::record::Record;
use crate::engine::storage::store::{Store, digest_and_tree};
use crate::engine::storage::tree::{Growing, LEAST, Tree};

/// A larger blob goes in parts of this size.
const PART: u64 = 8 << 20;
/// A record that is younger need not be made young again.
const FRESH: Duration = Duration::from_secs(86_400);
/// Most parts that S3 takes, with some room.
const PARTS: u64 = 9_000;

/// What became of sharing a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Pushed {
    /// It is the first under its key.
    New {
        /// Bytes that were sent.
        bytes: u64,
    },
    /// The same was there already.
    Same {
        /// Bytes that were sent all the same.
        bytes: u64,
    },
    /// Another result was there already; it stays.
    Diverges(Box<Record>),
    /// It was not sent: a byte that it needs is not in the store.
    Lacking,
}

impl Remote {
    /// Shares a record with everything that it needs. With `again`, bytes are sent even if the remote has some of the same size.
    ///
    /// # Errors
    /// The remote is read-only or cannot be reached, or a blob of the store is damaged.
    pub fn push(
        &self,
        store: &Store,
        reach: &mut Reach,
        record: &Record,
        again: bool,
        emit: Emit,
    ) -> Result<Pushed, RemoteError> {
        if self.read_only {
            return Err(RemoteError::Failed(format!("`{}` can only be read", self.address)));
        }
        let Some(mut entry) = Entry::of(store, reach, record) else { return Ok(Pushed::Lacking) };
        entry.host = Some(crate::engine::machine::host()).filter(|h| !h.is_empty());
        self.run(self.give(store, &entry, again, emit))
    }

    async fn give(&self, store: &Store, entry: &Entry, anew: bool, emit: Emit<'_>) -> Result<Pushed, RemoteError> {
        let key = entry.record.key;
        // A record there that cannot be believed is replaced.
        let (mut there, damaged) = match self.entry(key, emit).await {
            Ok(there) => (there, false),
            Err(RemoteError::Wrong(_)) => (None, true),
            Err(e) => return Err(e),
        };
        if let Some(found) = &there {
            if found.record.outputs != entry.record.outputs {
                return Ok(Pushed::Diverges(Box::new(found.record.clone())));
            }
            if !anew && self.refresh(found).await? {
                return Ok(Pushed::Same { bytes: 0 });
            }
        }
        let mut collected = self.after_collection().await? || (there.is_some() && !anew);
        let mut bytes = 0;
        let mut again = anew;
        loop {
            let send = entry.blobs.iter().map(|blob| self.send(store, *blob, again, emit));
            let sent: Vec<u64> = futures_util::stream::iter(send).buffer_unordered(AT_ONCE).try_collect().await?;
            bytes += sent.iter().sum::<u64>();
            // A collection that began meanwhile may have taken what was there already.
            if !self.after_collection().await? {
                break;
            }
            (again, collected) = (false, true);
        }
        if collected && there.is_some() {
            // It may have taken the record, too.
            there = self.entry(key, emit).await?;
        }
        if let Some(there) = there {
            // Whoever sends it once more vouches for it as well.
            let signer = self.signer.as_ref();
            if signer.is_some_and(|s| there.signatures.iter().all(|by| by.key != s.public())) {
                let sealed = there.seal(signer).map_err(std::io::Error::other)?;
                self.objects.put(&self.record_path(key), sealed.into()).await.map_err(failed)?;
            }
            return Ok(Pushed::Same { bytes });
        }
        let sealed = entry.seal(self.signer.as_ref()).map_err(std::io::Error::other)?;
        let mode = if damaged { PutMode::Overwrite } else { PutMode::Create };
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.objects.put_opts(&self.record_path(key), sealed.into(), options).await {
            Ok(_) => Ok(Pushed::New { bytes }),
            // Somebody was first; or our own first try arrived and its answer did not.
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                match self.entry(key, emit).await? {
                    Some(there) if there.record.outputs != entry.record.outputs => {
                        Ok(Pushed::Diverges(Box::new(there.record)))
                    }
                    _ => Ok(Pushed::Same { bytes }),
                }
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// A result that is pushed once more is still wanted: its record becomes young for whoever collects. Says whether it is there still.
    async fn refresh(&self, there: &Entry) -> Result<bool, RemoteError> {
        let place = self.record_path(there.record.key);
        match self.objects.head(&place).await {
            Ok(meta) if gc::age(&meta, SystemTime::now()) < FRESH => Ok(true),
            Ok(_) if !self.after_collection().await? => {
                let sealed = there.seal(None).map_err(std::io::Error::other)?;
                self.objects.put(&place, sealed.into()).await.map(|_| true).map_err(failed)
            }
            // A collection has just ended, and may have taken it.
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(failed(e)),
        }
    }

    /// Sends a blob unless one of its size is there, and its tree. Returns the bytes that were sent.
    async fn send(&self, store: &Store, blob: FileRef, anew: bool, emit: Emit<'_>) -> Result<u64, RemoteError> {
        let mut attempt = 0;
        let sent = loop {
            match self.send_once(store, blob, anew).await {
                Ok(sent) => break sent,
                Err(e) => again(&mut attempt, e, &format!("blob {}", blob.digest.short()), emit).await?,
            }
        };
        let (bytes, tree) = match sent {
            Sent::Now(tree) => (blob.bytes, tree),
            Sent::Before if blob.bytes < LEAST || self.is_there(&self.tree_path(blob.digest), None).await? => (0, None),
            // An older build sent it, or a push that was ended.
            Sent::Before => (0, store.tree(blob.digest)),
        };
        let Some(tree) = tree else { return Ok(bytes) };
        let file = tree.file();
        let more = file.len() as u64;
        self.objects.put(&self.tree_path(blob.digest), file.into()).await.map_err(failed)?;
        Ok(bytes + more)
    }

    /// Says whether there is an object, of some size where one is given.
    async fn is_there(&self, path: &Path, bytes: Option<u64>) -> Result<bool, RemoteError> {
        match self.objects.head(path).await {
            Ok(there) => Ok(bytes.is_none_or(|bytes| there.size == bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(failed(e)),
        }
    }

    async fn send_once(&self, store: &Store, blob: FileRef, anew: bool) -> Result<Sent, RemoteError> {
        let target = self.blob_path(blob.digest);
        if !anew && self.is_there(&target, Some(blob.bytes)).await? {
            return Ok(Sent::Before);
        }
        let path = store.path(blob.digest);
        if blob.bytes <= PART {
            let bytes = std::fs::read(&path)?;
            let (digest, tree) = digest_and_tree(&bytes);
            honest(digest, blob, &path)?;
            self.objects.put(&target, PutPayload::from(bytes)).await.map_err(failed)?;
            return Ok(Sent::Now(tree));
        }
        let part = PART.max(blob.bytes / PARTS) as usize;
        let upload = self.objects.put_multipart(&target).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, part);
        let (mut file, mut growing) = (std::fs::File::open(&path)?, Growing::default());
        let copied = async {
            loop {
                // A part each, handed over as it is.
                let mut buffer = Vec::with_capacity(part);
                if file.by_ref().take(part as u64).read_to_end(&mut buffer)? == 0 {
                    return honest(growing.digest(), blob, &path);
                }
                growing.update(&buffer);
                upload.wait_for_capacity(2).await.map_err(failed)?;
                upload.put(buffer.into());
            }
        };
        match copied.await {
            Ok(()) => upload.finish().await.map(|_| Sent::Now(growing.tree())).map_err(failed),
            Err(e) => {
                // Best effort: parts of an upload that nobody finishes are cleaned up by the service's own rules.
                let _ = upload.abort().await;
                Err(e)
            }
        }
    }
}

/// What became of a blob.
enum Sent {
    /// One of its size was there.
    Before,
    /// It was sent; a large one has a tree.
    Now(Option<Tree>),
}

/// Damaged bytes never leave this machine.
fn honest(found: Digest, blob: FileRef, path: &FilePath) -> Result<(), RemoteError> {
    if found == blob.digest {
        return Ok(());
    }
    let message = format!("`{}` is damaged; `rbpipe cache verify --repair` moves it aside", path.display());
    Err(RemoteError::Local(std::io::Error::other(message)))
}
