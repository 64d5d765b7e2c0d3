//! Collects garbage in a remote. Results that are wanted, or were pushed of late, stay with all that they need; the rest goes, records first.
//!
//! Whoever pushes may rely on bytes that are there already. So a collection says that it goes on (`gc/running`), waits until those who had not seen that are
//! through with their record, and only then looks what is named; who pushes meanwhile waits before the record, and then looks again for every byte.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions};

use super::{Emit, Entry, MOST_RECORD, Remote, RemoteError, again, failed};
use crate::base::Digest;
use crate::engine::storage::gc::{Account, count, span};

/// Records that are read at the same time.
const READ_AT_ONCE: usize = 16;
/// A collection that said nothing for so long is no more.
const STALE: Duration = Duration::from_secs(600);
/// How often it says that it goes on, and how often those look who wait.
const BEAT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);

/// What stays in a remote.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// What was pushed, or pushed again, within this time stays.
    pub keep: Duration,
    /// Bytes that no record names stay until they are this old: a push may be on its way to name them.
    pub grace: Duration,
    /// How long a push needs at most from its last look to its record.
    pub settle: Duration,
    /// Delete; otherwise only say what would be deleted.
    pub apply: bool,
}

impl Remote {
    /// Deletes what nobody needs: `roots` are the keys of results that stay however old they are, each with the reason.
    ///
    /// # Errors
    /// It is read-only, cannot be reached or listed, holds what a newer rbpipe wrote, or somebody else collects there. What was deleted before was garbage
    /// all the same.
    pub fn collect(
        &self,
        policy: &Policy,
        roots: &BTreeMap<Digest, String>,
        emit: Emit,
    ) -> Result<Account, RemoteError> {
        if self.read_only {
            return Err(RemoteError::Failed(format!("`{}` can only be read", self.address)));
        }
        self.run(async {
            let now = if policy.apply { self.begin(policy.settle).await? } else { SystemTime::now() };
            let done = self.sweep(policy, roots, now, emit).await;
            if policy.apply {
                let ended = self.objects.delete(&self.running()).await;
                done.and_then(|account| ended.map(|()| account).map_err(failed))
            } else {
                done
            }
        })
    }

    async fn sweep(
        &self,
        policy: &Policy,
        roots: &BTreeMap<Digest, String>,
        now: SystemTime,
        emit: Emit<'_>,
    ) -> Result<Account, RemoteError> {
        // Records first: the blobs of one that comes in between are young.
        let records = self.listed("records", ".json").await?;
        let blobs = self.listed("blobs", "").await?;
        let trees = self.listed("trees", "").await?;
        let mut out = Account::default();
        let recent = format!("pushed within the last {}", span(policy.keep.max(policy.grace)));
        let reason = |key: &Digest, meta: &ObjectMeta| match roots.get(key) {
            Some(why) => Some(why.clone()),
            None => (age(meta, now) < policy.keep.max(policy.grace)).then(|| recent.clone()),
        };
        let (staying, going): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|(key, meta)| reason(key, meta).is_some());
        let read = staying
            .into_iter()
            .map(|(key, meta)| async move { Ok::<_, RemoteError>((key, self.named(key, emit).await?, meta)) });
        let read: Vec<(Digest, Option<Entry>, ObjectMeta)> =
            futures_util::stream::iter(read).buffer_unordered(READ_AT_ONCE).try_collect().await?;
        let mut live: BTreeMap<Digest, String> = BTreeMap::new();
        let mut doomed: Vec<(Path, u64, &str)> = Vec::new();
        for (key, entry, meta) in read {
            match entry {
                Some(entry) => {
                    count(&mut out.kept, "records", meta.size);
                    let why = reason(&key, &meta).unwrap_or_default();
                    for blob in &entry.blobs {
                        live.entry(blob.digest).or_insert_with(|| why.clone());
                    }
                }
                // Every reader refuses it.
                None if age(&meta, now) >= policy.grace => doomed.push((meta.location, meta.size, "damaged records")),
                None => count(&mut out.kept, "damaged records, still young", meta.size),
            }
        }
        doomed.extend(going.into_iter().map(|(_, meta)| (meta.location, meta.size, "records")));
        // A tree goes with its blob, or when there is none.
        for (digest, meta) in blobs.into_iter().chain(trees) {
            match live.get(&digest) {
                Some(why) => count(&mut out.kept, why, meta.size),
                None if age(&meta, now) < policy.grace => {
                    count(&mut out.kept, "younger than the grace period", meta.size)
                }
                None => doomed.push((meta.location, meta.size, "bytes that no record names which stays")),
            }
        }
        let mut beat = std::time::Instant::now();
        for (location, bytes, why) in doomed {
            if policy.apply {
                if beat.elapsed() > BEAT {
                    self.objects.put(&self.running(), Vec::new().into()).await.map_err(failed)?;
                    beat = std::time::Instant::now();
                }
                match self.objects.delete(&location).await {
                    Err(e) if !matches!(e, object_store::Error::NotFound { .. }) => return Err(failed(e)),
                    _ => {}
                }
            }
            count(&mut out.freed, why, bytes);
        }
        out.kept.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.bytes));
        out.freed.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.bytes));
        Ok(out)
    }

    /// Reads the entry of a record that stays; nothing if it is damaged.
    async fn named(&self, key: Digest, emit: Emit<'_>) -> Result<Option<Entry>, RemoteError> {
        let mut attempt = 0;
        loop {
            let read = async {
                let found = self.objects.get(&self.record_path(key)).await.map_err(failed)?;
                if found.meta.size > MOST_RECORD {
                    return Ok(None);
                }
                let bytes = found.bytes().await.map_err(failed)?;
                match Entry::parse(&bytes, key) {
                    Ok(entry) => Ok(Some(entry)),
                    // What it names is not known, so nothing can be called unneeded.
                    Err(why) if Entry::is_newer(&bytes) => {
                        Err(RemoteError::Local(std::io::Error::other(format!("record {}: {why}", key.short()))))
                    }
                    Err(_) => Ok(None),
                }
            };
            match read.await {
                // Another collector, or a rule of the bucket.
                Err(RemoteError::Missing(_)) => return Ok(None),
                Err(e) => again(&mut attempt, e, &format!("record {}", key.short()), emit).await?,
                done => return done,
            }
        }
    }

    fn running(&self) -> Path {
        self.prefix.clone().join("gc").join("running")
    }

    /// Says that a collection goes on; returns what time it is there once everybody who pushes has had time to see it.
    async fn begin(&self, settle: Duration) -> Result<SystemTime, RemoteError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(&self.running(), Vec::new().into(), options).await {
            Ok(_) => {}
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                if self.collected().await? {
                    let why = format!(
                        "somebody collects in `{}` already; one that died is passed over in ten minutes",
                        self.address
                    );
                    return Err(RemoteError::Failed(why));
                }
                self.objects.put(&self.running(), Vec::new().into()).await.map_err(failed)?;
            }
            Err(e) => return Err(failed(e)),
        }
        self.reached.store(true, std::sync::atomic::Ordering::Relaxed);
        let now = time(&self.objects.head(&self.running()).await.map_err(failed)?);
        tokio::time::sleep(settle).await;
        Ok(now)
    }

    /// Says whether a collection goes on.
    pub(super) async fn collected(&self) -> Result<bool, RemoteError> {
        match self.objects.head(&self.running()).await {
            Ok(meta) => Ok(age(&meta, SystemTime::now()) < STALE),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(failed(e)),
        }
    }

    /// Waits for the end of a collection. Says whether there was one.
    pub(super) async fn after_collection(&self) -> Result<bool, RemoteError> {
        let mut waited = false;
        while self.collected().await? {
            waited = true;
            tokio::time::sleep(LOOK).await;
        }
        Ok(waited)
    }
}

fn time(meta: &ObjectMeta) -> SystemTime {
    let millis = u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

/// How long ago an object was written; no time at all for one that is younger than now.
pub(super) fn age(meta: &ObjectMeta, now: SystemTime) -> Duration {
    now.duration_since(time(meta)).unwrap_or_default()
}
