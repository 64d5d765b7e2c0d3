//! Large blobs on their way into the store, group by group: each is compared with its node of the tree as it arrives, and what has arrived is not asked for
//! again.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore as _, ObjectStoreExt as _};
use serde_json::json;

use super::{Emit, Remote, RemoteError, again, failed};
use crate::base::Digest;
use crate::engine::artifact::FileRef;
use crate::engine::storage::part::Part;
use crate::engine::storage::store::Store;
use crate::engine::storage::tree::Tree;

impl Remote {
    /// Puts the right bytes in the place of a damaged blob, as far as the remote has them. Of a large one it fetches what is wrong. Returns how many bytes were
    /// fetched; nothing where the remote did not give them, which events tell.
    pub fn mend(&self, store: &Store, digest: Digest, emit: Emit) -> Option<u64> {
        if self.given_up() {
            return None;
        }
        let asked = async {
            let there = self.answered(self.answering().head(&self.blob_path(digest)).await)?;
            self.blob(store, FileRef { digest, bytes: there.size, attached: false }, emit, &AtomicBool::new(false))
                .await
        };
        match self.run(asked) {
            Ok(bytes) => Some(bytes),
            Err(e) => {
                self.tell_failure(&e, emit);
                None
            }
        }
    }

    /// Returns the tree of a large blob: the store's, or the remote's; nothing where neither has one that comes to the blob's digest.
    pub(super) async fn tree(&self, store: &Store, blob: FileRef, emit: Emit<'_>) -> Option<Tree> {
        let fits = |tree: &Tree| tree.bytes() == blob.bytes;
        if let Some(tree) = store.tree(blob.digest).filter(fits) {
            return Some(tree);
        }
        // Without one the blob is compared as a whole, so a remote that has none, or stumbles, is not asked twice.
        let found = self.objects.get(&self.tree_path(blob.digest)).await.ok()?;
        let parsed = match found.meta.size <= Tree::most(blob.bytes) {
            true => Tree::parse(&found.bytes().await.ok()?, blob.digest),
            false => None,
        };
        let tree = parsed.filter(fits);
        if tree.is_none() {
            let what = format!("tree of blob {}", blob.digest.short());
            emit("remote_refused", json!({ "what": what, "message": "it does not come to the digest of the blob" }));
        }
        tree
    }

    /// Fetches a blob that has a tree. Returns how many bytes came.
    pub(super) async fn blob_by_groups(
        &self,
        store: &Store,
        blob: FileRef,
        tree: &Tree,
        emit: Emit<'_>,
        stop: &AtomicBool,
    ) -> Result<u64, RemoteError> {
        let mut part = store.part(blob.digest, tree)?;
        let mut way = Way { fetched: 0, whole: false };
        let mut attempt = 0;
        while let Some(end) = part.advance(tree)? {
            let from = part.at();
            if let Err(e) = self.groups(blob, tree, &mut part, end, &mut way, stop).await {
                // A line that is cut again and again gets through as long as each time something arrives.
                attempt = if part.at() > from { 0 } else { attempt };
                again(&mut attempt, e, &format!("blob {}", blob.digest.short()), emit).await?;
            }
        }
        store.adopt_part(part, blob.digest, tree)?;
        Ok(way.fetched)
    }

    /// Fetches groups in one request, from the first that lacks to `end`.
    async fn groups(
        &self,
        blob: FileRef,
        tree: &Tree,
        part: &mut Part,
        end: u64,
        way: &mut Way,
        stop: &AtomicBool,
    ) -> Result<(), RemoteError> {
        let (from, to) = (part.at(), end);
        let ranged = (from, to) != (0, blob.bytes) && !way.whole;
        let range = ranged.then(|| GetRange::Bounded(from..to));
        let (path, options) = (self.blob_path(blob.digest), GetOptions { range, ..GetOptions::default() });
        // A web server may give the whole or nothing: then the next request is for the whole, and what is here already passes by.
        way.whole = false;
        let found = self.objects.get_opts(&path, options).await.inspect_err(|_| way.whole = ranged).map_err(failed)?;
        if found.meta.size > blob.bytes {
            let message = format!("it has more than the {} bytes that were recorded", blob.bytes);
            return Err(RemoteError::Wrong(message));
        }
        match found.payload {
            // The library would hand a file over in pieces of 8 KiB, each through another thread.
            GetResultPayload::File(mut source, _) => {
                source.seek(SeekFrom::Start(from))?;
                let mut arriving = Arriving::new(tree, part);
                while arriving.at < to {
                    going(stop)?;
                    let room = arriving.room();
                    let mut piece = Vec::with_capacity(room as usize);
                    let came = (&mut source).take(room).read_to_end(&mut piece)? as u64;
                    way.fetched += came;
                    if came < room {
                        return Err(short(arriving.at + came, blob.bytes));
                    }
                    arriving.take(piece)?;
                }
            }
            GetResultPayload::Stream(mut chunks) => {
                let mut skip = if ranged { 0 } else { from };
                let mut arriving = Arriving::new(tree, part);
                while arriving.at < to {
                    let Some(chunk) = chunks.next().await else { return Err(short(arriving.at, blob.bytes)) };
                    let mut chunk = chunk.map_err(failed)?;
                    going(stop)?;
                    way.fetched += chunk.len() as u64;
                    let passed = least(chunk.len(), skip);
                    skip -= passed as u64;
                    drop(chunk.split_to(passed));
                    while !chunk.is_empty() && arriving.at < to {
                        arriving.take(chunk.split_to(least(chunk.len(), arriving.room())))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What is kept of a transfer from request to request.
struct Way {
    /// Bytes that came.
    fetched: u64,
    /// The next request is for the whole blob: one for a range was refused.
    whole: bool,
}

/// A group on its way: pieces of it, until it can be compared.
struct Arriving<'a, P> {
    tree: &'a Tree,
    part: &'a mut Part,
    pieces: Vec<P>,
    at: u64,
}

impl<'a, P: AsRef<[u8]>> Arriving<'a, P> {
    fn new(tree: &'a Tree, part: &'a mut Part) -> Self {
        let at = part.at();
        Self { tree, part, pieces: Vec::new(), at }
    }

    /// How many bytes the group still lacks.
    fn room(&self) -> u64 {
        self.tree.around(self.at).end - self.at
    }

    /// Takes a piece that is no longer than that.
    fn take(&mut self, piece: P) -> Result<(), RemoteError> {
        let group = self.tree.around(self.at);
        self.at += piece.as_ref().len() as u64;
        self.pieces.push(piece);
        if self.at < group.end {
            return Ok(());
        }
        let pieces = std::mem::take(&mut self.pieces);
        let pieces = || pieces.iter().map(AsRef::as_ref);
        if !self.tree.fits(group.start, pieces()) {
            let message = format!("its bytes {} to {} are not those of its digest", group.start, group.end);
            return Err(RemoteError::Wrong(message));
        }
        Ok(self.part.add(pieces())?)
    }
}

fn least(length: usize, most: u64) -> usize {
    length.min(usize::try_from(most).unwrap_or(usize::MAX))
}

fn going(stop: &AtomicBool) -> Result<(), RemoteError> {
    if stop.load(Ordering::Relaxed) { Err(RemoteError::Stopped) } else { Ok(()) }
}

fn short(came: u64, bytes: u64) -> RemoteError {
    RemoteError::Failed(format!("it ended after {came} of {bytes} bytes"))
}
