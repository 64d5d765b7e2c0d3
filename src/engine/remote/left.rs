//! Results that were left in a remote, as this store remembers them: a later run that leaves them there as well need not ask.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Entry, Offer, Remote};
use crate::base::{Digest, OpError};
use crate::engine::artifact::Artifact;
use crate::engine::crash::step;
use crate::engine::storage::store::Store;

/// What is remembered of one.
#[derive(Serialize, Deserialize)]
struct Left {
    /// Where it is.
    address: String,
    /// The entry with its checksum and signatures, as a remote holds it.
    entry: String,
    results: BTreeMap<String, Artifact>,
}

impl Remote {
    /// Returns what was left in this remote under a key and believed; nothing where that is not remembered, or would not be believed now.
    pub fn recall(&self, store: &Store, key: Digest) -> Option<Offer> {
        let place = place(store, key);
        let left: Left = serde_json::from_slice(&std::fs::read(&place).ok()?).ok()?;
        let entry = Entry::parse(left.entry.as_bytes(), key).ok().filter(|_| left.address == self.address)?;
        let signed_by = self.vouched(&entry).ok()?;
        let digest = |field: &String| left.results.get(field).map(Artifact::digest);
        if !entry.record.outputs.iter().all(|(field, output)| digest(field) == Some(*output)) {
            return None;
        }
        // Whoever uses it keeps it from the collector.
        let _ = std::fs::File::open(&place).and_then(|file| file.set_modified(SystemTime::now()));
        let results =
            left.results.into_iter().filter_map(|(f, a)| Some((f.clone(), (*entry.record.outputs.get(&f)?, a))));
        Some(Offer { results: results.collect(), entry, signed_by })
    }

    /// Remembers what is left there.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn remember(&self, store: &Store, offer: &Offer) -> Result<(), OpError> {
        let entry = String::from_utf8(offer.entry.seal(None)?).map_err(|e| OpError::new("E0612", e.to_string()))?;
        let results = offer.results.iter().map(|(field, (_, artifact))| (field.clone(), artifact.clone())).collect();
        let left = Left { address: self.address.clone(), entry, results };
        let place = place(store, offer.entry.record.key);
        let folder = place.parent().unwrap_or(store.root());
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(&left)?)?;
        file.persist(&place).map_err(|e| e.error)?;
        step();
        Ok(())
    }
}

/// Forgets what is remembered under a key: its bytes are here, or nowhere.
pub(in crate::engine) fn forget(store: &Store, key: Digest) {
    let _ = std::fs::remove_file(place(store, key));
}

fn place(store: &Store, key: Digest) -> PathBuf {
    let hex = key.hex();
    store.root().join("left").join(&hex[..2]).join(format!("{}.json", &hex[2..]))
}
