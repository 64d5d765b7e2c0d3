//! Reads what the last run of a recipe used while the recipe is still being compiled, so that a run with nothing to do does not wait for the disk.

use std::path::Path;

use super::ahead::Found;
use super::store::Store;
use super::{journal, record};

/// Fewer are read as fast when they are asked for.
const WORTH: usize = 64;

/// Begins to claim the records that the last run of a recipe used.
pub fn read_ahead(store: &Store, recipe: &Path) {
    let Some(last) = journal::runs(store, recipe).into_iter().next() else { return };
    let mine = store.clone();
    let reading = std::thread::Builder::new().name("ahead".into()).spawn(move || {
        let keys = journal::used(&last);
        if keys.len() < WORTH {
            return Found::new();
        }
        let mut found = Found::new();
        record::claim_many(&mine, &keys, &mut |key, claimed| drop(found.insert(key, claimed)));
        found
    });
    // Without a thread they are read when they are asked for.
    if let Ok(reading) = reading {
        store.ahead.expect(reading);
    }
}
