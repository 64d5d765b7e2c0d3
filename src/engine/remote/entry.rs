//! What a remote or a bundle keeps of a result: the record, and every blob that it needs with its size.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::base::Digest;
use crate::engine::artifact::FileRef;
use crate::engine::storage::reach::Reach;
use crate::engine::storage::record::Record;
use crate::engine::storage::signature::{Signature, Signer};
use crate::engine::storage::store::Store;

/// The layout that this build reads and writes.
const FORMAT: u32 = 1;

/// A shared result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    format: u32,
    /// What was made.
    pub record: Record,
    /// All blobs that it needs: artifacts, their files, and the pictures that rows name.
    pub blobs: Vec<FileRef>,
    /// The machine that shared it. For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Who vouches for it; each fits.
    #[serde(skip)]
    pub signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    checksum: Digest,
    entry: Json,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<Signature>,
}

impl Entry {
    /// Describes a record of a store; nothing if a byte that it needs is not there.
    pub fn of(store: &Store, reach: &mut Reach, record: &Record) -> Option<Self> {
        if !is_whole(record, store) {
            return None;
        }
        let names = reach.record(record);
        let mut sizes: BTreeMap<Digest, u64> = BTreeMap::new();
        for digest in names.all() {
            match std::fs::metadata(store.path(*digest)) {
                Ok(metadata) => sizes.insert(*digest, metadata.len()),
                Err(_) if names.certain.contains(digest) => return None,
                Err(_) => None,
            };
        }
        let blobs = sizes.into_iter().map(|(digest, bytes)| FileRef { digest, bytes, attached: false }).collect();
        Some(Self { format: FORMAT, record: record.clone(), blobs, host: None, signatures: Vec::new() })
    }

    /// Says whether a store, which has the blobs by now, can make the results of them.
    pub fn is_whole(&self, store: &Store) -> bool {
        is_whole(&self.record, store)
    }

    /// Counts the bytes of its blobs that a store lacks.
    pub fn bytes_lacking(&self, store: &Store) -> u64 {
        self.blobs.iter().filter(|blob| !store.holds(**blob)).map(|blob| blob.bytes).sum()
    }

    /// Returns its bytes, with a checksum and, where somebody signs it, one signature more.
    pub fn seal(&self, signer: Option<&Signer>) -> serde_json::Result<Vec<u8>> {
        let entry = serde_json::to_value(self)?;
        let checksum = Digest::of_json(&entry);
        let mut signatures = self.signatures.clone();
        signatures.extend(signer.map(|s| s.sign(checksum)).filter(|new| !self.signatures.contains(new)));
        serde_json::to_vec(&Sealed { checksum, entry, signatures })
    }

    /// Says whether its bytes are whole and of a layout that only a newer build reads.
    pub fn is_newer(bytes: &[u8]) -> bool {
        let sealed: Option<Sealed> = serde_json::from_slice(bytes).ok();
        let whole = sealed.filter(|sealed| Digest::of_json(&sealed.entry) == sealed.checksum);
        whole.is_some_and(|sealed| sealed.entry["format"].as_u64() > Some(u64::from(FORMAT)))
    }

    /// Reads the entry of a key.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(bytes: &[u8], key: Digest) -> Result<Self, String> {
        let sealed: Sealed = serde_json::from_slice(bytes).map_err(|e| format!("the record is damaged: {e}"))?;
        if Digest::of_json(&sealed.entry) != sealed.checksum {
            return Err("the record is damaged: its checksum differs".into());
        }
        if sealed.entry["format"] != FORMAT {
            return Err(format!("the record has format {}, this build reads {FORMAT}", sealed.entry["format"]));
        }
        let mut entry: Self =
            serde_json::from_value(sealed.entry).map_err(|e| format!("the record is damaged: {e}"))?;
        if let Some(wrong) = sealed.signatures.iter().find(|s| !s.fits(sealed.checksum)) {
            return Err(format!("the signature of {} is not one over this record", wrong.key));
        }
        entry.signatures = sealed.signatures;
        if entry.record.key != key {
            return Err(format!("the record belongs to another key, {}", entry.record.key.short()));
        }
        Ok(entry)
    }
}

/// Says whether a store has all results of a record.
fn is_whole(record: &Record, store: &Store) -> bool {
    record.outputs.values().all(|digest| store.artifact(*digest).is_some())
}
