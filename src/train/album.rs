//! Pictures that several ranks read for each other: each reads its share once, writes it down, and all map what all wrote.
//!
//! On one machine the ranks' maps are the same memory, so that a picture is there once however many they are.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::examples::{Bytes, Packed};
use super::share::Share;
use crate::base::OpError;
use crate::dist::Group;

/// What a rank wrote of one of its pictures.
#[derive(Serialize, Deserialize)]
enum Entry {
    /// Its description, and where its bytes lie behind the index.
    Made { head: Packed, at: usize, len: usize },
    /// Why it cannot be used.
    Lost(String),
}

/// Returns all of `count` pictures in their order, given this rank's share of them: number `rank`, `rank + world`, and so on.
///
/// # Errors
/// When the folder, which all ranks see, cannot be written or read; class `peer` when another rank is gone.
pub fn exchanged(
    own: Vec<Result<Packed, String>>,
    count: usize,
    folder: &Path,
    group: &Group,
) -> Result<Vec<Result<Packed, String>>, OpError> {
    let Share { world, .. } = Share::of(group);
    if world == 1 {
        return Ok(own);
    }
    write(&file_of(folder, group.rank()), own)?;
    group.meet()?;
    let mut parts =
        (0..world).map(|rank| Ok(read(&file_of(folder, rank))?.into_iter())).collect::<Result<Vec<_>, OpError>>()?;
    let short = || OpError::new("E0612", "a rank wrote fewer pictures than are its share");
    (0..count).map(|number| parts[number % world].next().ok_or_else(short)).collect()
}

fn file_of(folder: &Path, rank: usize) -> PathBuf {
    folder.join(format!("pictures-{rank:04}.bin"))
}

/// Writes the length of the index, the index and the bytes of all pictures.
fn write(path: &Path, own: Vec<Result<Packed, String>>) -> Result<(), OpError> {
    let (mut entries, mut bodies, mut end) = (Vec::with_capacity(own.len()), Vec::new(), 0);
    for made in own {
        entries.push(match made {
            Ok(packed) => {
                let (head, bytes) = packed.apart();
                let (at, len) = (end, bytes.len());
                end += len;
                bodies.push(bytes);
                Entry::Made { head, at, len }
            }
            Err(why) => Entry::Lost(why),
        });
    }
    let index = serde_json::to_vec(&entries)?;
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(index.len() as u64).to_le_bytes())?;
    file.write_all(&index)?;
    bodies.iter().try_for_each(|bytes| file.write_all(bytes))?;
    Ok(file.into_inner().map_err(|e| e.into_error())?.sync_all()?)
}

fn read(path: &Path) -> Result<Vec<Result<Packed, String>>, OpError> {
    let bad = || OpError::new("E0503", format!("{}: cut short", path.display()));
    let map = Arc::new(mapped(&File::open(path)?)?);
    let (length, rest) = map.split_first_chunk::<8>().ok_or_else(bad)?;
    let length = u64::from_le_bytes(*length) as usize;
    let entries: Vec<Entry> = serde_json::from_slice(rest.get(..length).ok_or_else(bad)?)?;
    let whole = |entry: Entry| {
        Ok(match entry {
            Entry::Lost(why) => Err(why),
            Entry::Made { head, at, len } => {
                let start = 8 + length + at;
                map.get(start..start + len).ok_or_else(bad)?;
                Ok(head.with(Bytes::Mapped { map: Arc::clone(&map), at: start, len }))
            }
        })
    };
    entries.into_iter().map(whole).collect()
}

#[allow(unsafe_code)]
fn mapped(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: a file of this run's own folder, which is whole once all ranks have met and is not written again while they run.
    unsafe { Mmap::map(file) }
}
