//! Remote stores: results shared over S3, GCS, Azure, HTTP or a common folder. This is the only place with an async runtime; it
//! is made when the first byte is asked for.
//!
//! A remote holds `records/ab/cd….json`, see [`Entry`], and `blobs/ab/cd…`, each named by its digest; beside large ones `trees/ab/cd…`, which say of each part
//! whether it is right. Every byte that comes from it is compared with its digest before it reaches the store.

mod address;
pub mod entry;
pub mod gc;
mod groups;
pub(in crate::engine) mod left;
mod pull;
mod push;

use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde_json::Value as Json;
use tokio::runtime::Runtime;

use super::storage::identity::Results;
use super::storage::signature::{Signer, Trust};
use crate::base::Digest;
pub use entry::Entry;
pub use push::Pushed;

/// How often a transfer that was cut or came out wrong is started anew.
const ATTEMPTS: u32 = 4;
/// Records are small; what is larger is none, and would fill the memory.
const MOST_RECORD: u64 = 256 << 20;
/// Transfers at the same time.
const AT_ONCE: usize = 4;
/// A remote that failed so often is not asked any more in this run.
const PATIENCE: usize = 3;

/// What happens while bytes travel: an event name and its fields.
pub type Emit<'a> = &'a (dyn Fn(&str, Json) + Sync);

/// Why a remote gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It has no such thing.
    #[error("{0} is not there")]
    Missing(String),
    /// It gave bytes that are not what they should be.
    #[error("{0}")]
    Wrong(String),
    /// Nobody who is trusted signed it.
    #[error("{0}")]
    Untrusted(String),
    /// It failed, or refused.
    #[error("{0}")]
    Failed(String),
    /// Nobody answered at its address, from the first request on.
    #[error("nobody answers: {0}")]
    Unreachable(String),
    /// The run was stopped.
    #[error("stopped on request")]
    Stopped,
    /// The store on this machine could not be read or written.
    #[error("{0}")]
    Local(#[from] std::io::Error),
}

/// A remote store.
pub struct Remote {
    address: String,
    /// Asked until it has answered once: it does not wait long.
    first: Box<dyn ObjectStore>,
    objects: Box<dyn ObjectStore>,
    /// It has answered.
    reached: AtomicBool,
    prefix: Path,
    /// It can be read only.
    read_only: bool,
    runtime: OnceLock<Runtime>,
    failures: AtomicUsize,
    /// Signs what is pushed.
    signer: Option<Signer>,
    /// Whose results are believed; all without.
    trust: Option<Trust>,
}

/// A result as a remote has it.
pub struct Offer {
    /// The entry.
    pub entry: Entry,
    /// Its artifacts by field.
    pub results: Results,
    /// Who signed it, as the list of trusted keys calls them.
    pub signed_by: Option<String>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Remote({})", self.address)
    }
}

impl Remote {
    /// Returns the address that it was opened by.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Says whether it failed so often that asking is a waste of time.
    fn given_up(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= PATIENCE
    }

    /// Returns who of those on the list signed an entry; nothing without a list.
    fn vouched(&self, entry: &Entry) -> Result<Option<String>, RemoteError> {
        let Some(trust) = &self.trust else { return Ok(None) };
        trust.who(&entry.signatures).map(|name| Some(name.to_owned())).map_err(RemoteError::Untrusted)
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, RemoteError>>) -> Result<T, RemoteError> {
        if self.runtime.get().is_none() {
            let made = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            // Whoever comes second drops a runtime that has not begun.
            let _ = self.runtime.set(made);
        }
        match self.runtime.get() {
            Some(runtime) => runtime.block_on(work),
            None => Err(RemoteError::Failed("no runtime".into())),
        }
    }

    fn record_path(&self, key: Digest) -> Path {
        let hex = key.hex();
        self.prefix.clone().join("records").join(&hex[..2]).join(format!("{}.json", &hex[2..]))
    }

    fn blob_path(&self, digest: Digest) -> Path {
        self.below("blobs", digest)
    }

    fn tree_path(&self, digest: Digest) -> Path {
        self.below("trees", digest)
    }

    fn below(&self, folder: &str, digest: Digest) -> Path {
        let hex = digest.hex();
        self.prefix.clone().join(folder).join(&hex[..2]).join(&hex[2..])
    }

    /// Returns who is asked now.
    fn answering(&self) -> &dyn ObjectStore {
        if self.reached.load(Ordering::Relaxed) { self.objects.as_ref() } else { self.first.as_ref() }
    }

    /// Tells from an answer whether the remote is there.
    fn answered<T>(&self, answer: object_store::Result<T>) -> Result<T, RemoteError> {
        match answer {
            Err(e) if !self.reached.load(Ordering::Relaxed) && unheard(&e) => {
                Err(RemoteError::Unreachable(shorten(&e)))
            }
            // Neither a server that stumbles nor a gatekeeper is the remote itself.
            Err(e) if !matches!(e, object_store::Error::NotFound { .. }) => Err(failed(e)),
            answer => {
                self.reached.store(true, Ordering::Relaxed);
                answer.map_err(failed)
            }
        }
    }

    /// Reads an entry; nothing if there is none.
    async fn entry(&self, key: Digest, emit: Emit<'_>) -> Result<Option<Entry>, RemoteError> {
        let mut attempt = 0;
        loop {
            let read = async {
                let found = self.answered(self.answering().get(&self.record_path(key)).await)?;
                if found.meta.size > MOST_RECORD {
                    return Err(RemoteError::Wrong(format!("the record has {} bytes", found.meta.size)));
                }
                let bytes = found.bytes().await.map_err(failed)?;
                Entry::parse(&bytes, key).map_err(RemoteError::Wrong)
            };
            match read.await {
                Ok(entry) => return Ok(Some(entry)),
                Err(RemoteError::Missing(_)) => return Ok(None),
                Err(e) => again(&mut attempt, e, &format!("record {}", key.short()), emit).await?,
            }
        }
    }
}

/// Waits before another attempt, longer each time, and says so; gives the error back after the last one.
async fn again(attempt: &mut u32, e: RemoteError, what: &str, emit: Emit<'_>) -> Result<(), RemoteError> {
    // Told once, not again for each attempt that comes to the same.
    if let (0, RemoteError::Wrong(why) | RemoteError::Untrusted(why)) = (*attempt, &e) {
        emit("remote_refused", serde_json::json!({ "what": what, "message": why }));
    }
    *attempt += 1;
    if *attempt >= ATTEMPTS
        || matches!(
            e,
            RemoteError::Missing(_)
                | RemoteError::Unreachable(_)
                | RemoteError::Untrusted(_)
                | RemoteError::Local(_)
                | RemoteError::Stopped
        )
    {
        return Err(e);
    }
    tokio::time::sleep(Duration::from_millis(50 << *attempt)).await;
    Ok(())
}

fn failed(e: object_store::Error) -> RemoteError {
    match e {
        object_store::Error::NotFound { path, .. } => RemoteError::Missing(path),
        other => RemoteError::Failed(shorten(&other)),
    }
}

/// Says whether a request came to nobody: no name, no connection, no answer.
fn unheard(e: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(at) = cause {
        if let Some(e) = at.downcast_ref::<HttpError>() {
            return matches!(e.kind(), HttpErrorKind::Connect | HttpErrorKind::Timeout);
        }
        cause = at.source();
    }
    false
}

/// The causes of an error, each once: the library repeats them in one another.
fn shorten(e: &dyn std::error::Error) -> String {
    let mut out = e.to_string();
    let mut cause = e.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !out.contains(&text) {
            out = format!("{out}: {text}");
        }
        cause = inner.source();
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}
