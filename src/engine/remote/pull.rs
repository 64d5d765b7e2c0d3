//! From a remote to the store: blobs first, each compared with its digest, the record last.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{GetResultPayload, ObjectMeta, ObjectStoreExt as _};
use serde_json::json;

use super::{AT_ONCE, Emit, MOST_RECORD, Offer, PATIENCE, Remote, RemoteError, again, failed, left};
use crate::base::Digest;
use crate::engine::artifact::FileRef;
use crate::engine::storage::identity::Results;
use crate::engine::storage::record::{self, Published, Record};
use crate::engine::storage::store::{Incoming, Store};
use crate::engine::storage::tree::LEAST;

/// Bytes of a file that are read at a time.
const PIECE: usize = 1 << 20;

/// What was fetched, and from whom.
struct Taken {
    record: Record,
    bytes: u64,
    host: Option<String>,
    signed_by: Option<String>,
}

impl Remote {
    /// Fetches a result into the store; nothing if the remote has none, or none that can be believed. What went wrong is told by
    /// events, and never stops a run: the node is executed instead. `stop` ends the transfer.
    pub fn fetch(&self, store: &Store, key: Digest, emit: Emit, stop: &AtomicBool) -> Option<Record> {
        if self.given_up() {
            return None;
        }
        let started = std::time::Instant::now();
        let taken = self.run(self.take(store, key, emit, stop));
        if matches!(taken, Ok(_) | Err(RemoteError::Wrong(_) | RemoteError::Missing(_) | RemoteError::Untrusted(_))) {
            left::forget(store, key);
        }
        match taken {
            Ok(Some(Taken { record, bytes, host, signed_by })) => {
                self.failures.store(0, Ordering::Relaxed);
                let seconds = (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
                let mut told = json!({ "from": self.address(), "bytes": bytes, "seconds": seconds });
                for (name, text) in [("host", host), ("signed_by", signed_by)] {
                    if let Some(text) = text {
                        told[name] = text.into();
                    }
                }
                emit("node_fetched", told);
                Some(record)
            }
            Ok(None) | Err(RemoteError::Stopped) => None,
            Err(RemoteError::Untrusted(why)) => {
                emit("remote_refused", json!({ "what": format!("record {}", key.short()), "message": why }));
                None
            }
            Err(e) => {
                self.tell_failure(&e, emit);
                None
            }
        }
    }

    async fn take(
        &self,
        store: &Store,
        key: Digest,
        emit: Emit<'_>,
        stop: &AtomicBool,
    ) -> Result<Option<Taken>, RemoteError> {
        let Some(entry) = self.entry(key, emit).await? else { return Ok(None) };
        let signed_by = self.vouched(&entry)?;
        let missing: Vec<FileRef> = entry.blobs.iter().filter(|b| !store.reuse(**b)).copied().collect();
        let fetched: Vec<u64> =
            futures_util::stream::iter(missing.into_iter().map(|blob| self.blob(store, blob, emit, stop)))
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
        let bytes = fetched.iter().sum();
        if !entry.is_whole(store) {
            return Err(RemoteError::Wrong(format!("record {} does not name all that it needs", key.short())));
        }
        match record::publish(store, &entry.record)? {
            Published::First | Published::Same => {}
            Published::Diverges(first) => {
                let outputs = json!({ "first": first.outputs, "second": entry.record.outputs, "from": self.address() });
                emit("divergence", outputs);
                return Ok(Some(Taken { record: *first, bytes, host: None, signed_by: None }));
            }
        }
        Ok(Some(Taken { record: entry.record, bytes, host: entry.host, signed_by }))
    }

    /// Looks at what the remote has under a key and takes nothing; nothing too if it has none that can be believed, which events tell.
    pub fn offer(&self, key: Digest, emit: Emit) -> Option<Offer> {
        if self.given_up() {
            return None;
        }
        let asked = async {
            let Some(entry) = self.entry(key, emit).await? else { return Ok(None) };
            let signed_by = self.vouched(&entry)?;
            let mut results = Results::new();
            for (field, digest) in &entry.record.outputs {
                let found = self.objects.get(&self.blob_path(*digest)).await.map_err(failed)?;
                if found.meta.size > MOST_RECORD {
                    return Err(RemoteError::Wrong(format!("a description has {} bytes", found.meta.size)));
                }
                let bytes = found.bytes().await.map_err(failed)?;
                let artifact = serde_json::from_slice(&bytes).ok().filter(|_| Digest::of(&bytes) == *digest);
                let wrong = || RemoteError::Wrong(format!("blob {} is damaged", digest.short()));
                results.insert(field.clone(), (*digest, artifact.ok_or_else(wrong)?));
            }
            Ok(Some(Offer { entry, results, signed_by }))
        };
        self.run(asked).unwrap_or_else(|e| {
            self.tell_failure(&e, emit);
            None
        })
    }

    /// Tells why the remote gave nothing; counts it where another attempt might have given something.
    pub(super) fn tell_failure(&self, e: &RemoteError, emit: Emit) {
        match e {
            RemoteError::Failed(_) => drop(self.failures.fetch_add(1, Ordering::Relaxed)),
            // Each node would wait for it in vain.
            RemoteError::Unreachable(_) => self.failures.store(PATIENCE, Ordering::Relaxed),
            _ => {}
        }
        let told = json!({ "from": self.address(), "message": e.to_string(), "given_up": self.given_up() });
        emit("remote_failed", told);
    }

    /// Fetches a blob. Returns how many bytes came.
    pub(super) async fn blob(
        &self,
        store: &Store,
        blob: FileRef,
        emit: Emit<'_>,
        stop: &AtomicBool,
    ) -> Result<u64, RemoteError> {
        if blob.bytes >= LEAST
            && let Some(tree) = self.tree(store, blob, emit).await
        {
            return self.blob_by_groups(store, blob, &tree, emit, stop).await;
        }
        let mut attempt = 0;
        loop {
            match self.blob_once(store, blob, stop).await {
                Ok(()) => return Ok(blob.bytes),
                Err(e) => again(&mut attempt, e, &format!("blob {}", blob.digest.short()), emit).await?,
            }
        }
    }

    async fn blob_once(&self, store: &Store, blob: FileRef, stop: &AtomicBool) -> Result<(), RemoteError> {
        let found = self.objects.get(&self.blob_path(blob.digest)).await.map_err(failed)?;
        let mut arriving = Arriving { file: store.incoming()?, bytes: 0, blob, stop };
        match found.payload {
            // The library would hand a file over in pieces of 8 KiB, each through another thread.
            GetResultPayload::File(mut source, _) => {
                let mut buffer = vec![0; PIECE];
                loop {
                    match source.read(&mut buffer)? {
                        0 => break,
                        n => arriving.take(&buffer[..n])?,
                    }
                }
            }
            GetResultPayload::Stream(mut chunks) => {
                while let Some(chunk) = chunks.next().await {
                    arriving.take(&chunk.map_err(failed)?)?;
                }
            }
        }
        arriving.end(store)
    }

    /// Lists the keys of all results in the remote.
    ///
    /// # Errors
    /// It cannot be reached or cannot list, as plain HTTP servers cannot.
    pub fn keys(&self) -> Result<Vec<Digest>, RemoteError> {
        let found = self.run(self.listed("records", ".json"))?;
        let mut keys: Vec<Digest> = found.into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        Ok(keys)
    }

    /// Lists what lies in a folder, by digest; what its names end in is no part of that.
    pub(super) async fn listed(&self, folder: &str, end: &str) -> Result<Vec<(Digest, ObjectMeta)>, RemoteError> {
        let folder = self.prefix.clone().join(folder);
        let found: Vec<ObjectMeta> = self.answered(self.answering().list(Some(&folder)).try_collect().await)?;
        let named = |meta: ObjectMeta| {
            let parts: Vec<_> = meta.location.parts().collect();
            let [.., prefix, rest] = parts.as_slice() else { return None };
            let rest = rest.as_ref().strip_suffix(end)?;
            Some((Digest::parse(&format!("{}{rest}", prefix.as_ref()))?, meta.clone()))
        };
        Ok(found.into_iter().filter_map(named).collect())
    }
}

/// A blob on its way into the store.
struct Arriving<'a> {
    file: Incoming,
    bytes: u64,
    blob: FileRef,
    stop: &'a AtomicBool,
}

impl Arriving<'_> {
    fn take(&mut self, piece: &[u8]) -> Result<(), RemoteError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(RemoteError::Stopped);
        }
        self.bytes += piece.len() as u64;
        if self.bytes > self.blob.bytes {
            let message = format!("it has more than the {} bytes that were recorded", self.blob.bytes);
            return Err(RemoteError::Wrong(message));
        }
        Ok(self.file.write_all(piece)?)
    }

    /// Compares what came with the digest and puts it in its place.
    fn end(self, store: &Store) -> Result<(), RemoteError> {
        if self.bytes < self.blob.bytes {
            return Err(RemoteError::Failed(format!("it ended after {} of {} bytes", self.bytes, self.blob.bytes)));
        }
        if self.file.digest() != self.blob.digest {
            return Err(RemoteError::Wrong("its bytes are not those of its digest".into()));
        }
        Ok(store.adopt(self.file, self.blob.digest)?)
    }
}
