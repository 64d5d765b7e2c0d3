//! Which results lie where recipes put them. The store knows the place of each output, and as long as the note beside it is there, its result is no garbage.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::note;
use super::store::Store;
use crate::base::Digest;
use crate::engine::machine;

/// How often a place that stays the same is marked as used.
const DAILY: Duration = Duration::from_secs(86_400);

/// The place of an output.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// The machine whose path it is.
    host: String,
    target: PathBuf,
    /// The key of what lies there.
    key: Digest,
    /// The file name of its recipe.
    recipe: String,
}

/// A result that an output holds.
#[derive(Debug)]
pub(super) struct Held {
    pub key: Digest,
    pub recipe: String,
}

/// Remembers where an output was put, or was found as it was put; `provenance` is what the note beside it says.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn remember(store: &Store, target: &Path, provenance: &Json) -> io::Result<()> {
    let text = |name: &str| provenance[name].as_str().unwrap_or_default();
    let Some(key) = Digest::parse(text("key")) else { return Ok(()) };
    let place = Place { host: machine::host(), target: target.to_path_buf(), key, recipe: text("recipe").to_owned() };
    let path = entry(store, &place);
    if read(&path).is_some_and(|there| there == place) {
        let fresh =
            fs::metadata(&path).and_then(|m| m.modified()).is_ok_and(|t| t.elapsed().is_ok_and(|age| age < DAILY));
        return if fresh { Ok(()) } else { super::gate::touch(&path) };
    }
    store.write_whole(&path, &serde_json::to_vec(&place)?)
}

fn entry(store: &Store, place: &Place) -> PathBuf {
    let name = Digest::of(format!("{} {}", place.host, place.target.display()).as_bytes());
    store.root().join("outputs").join(format!("{}.json", name.hex()))
}

fn read(path: &Path) -> Option<Place> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Returns the results that outputs hold, and the places of those that are gone. Of another machine's output that cannot be seen from here it counts whether it
/// was there since `line`.
pub(super) fn all(store: &Store, line: SystemTime) -> (Vec<Held>, Vec<PathBuf>) {
    let (mut held, mut gone) = (Vec::new(), Vec::new());
    for file in fs::read_dir(store.root().join("outputs")).into_iter().flatten().flatten() {
        let path = file.path();
        let Some(place) = read(&path) else { continue };
        let noted = note::noted(&place.target);
        let young = || file.metadata().and_then(|m| m.modified()).is_ok_and(|time| time >= line);
        if noted.is_none() && (place.host == machine::host() || !young()) {
            gone.push(path);
            continue;
        }
        // The note tells what lies there; the place, which key had the same bytes last.
        for key in noted.flatten().into_iter().chain([place.key]) {
            held.push(Held { key, recipe: place.recipe.clone() });
        }
    }
    (held, gone)
}
