//! Pictures and videos of a benchmark: in a folder, by the names that rows give them, or in zips, all that are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use crate::base::OpError;
use crate::data::formats::jsonl;
use crate::data::pictures::media::{Media, Medium};
use crate::engine::Store;

/// Endings of files that are pictures or videos.
const ENDINGS: [&str; 12] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "mp4", "webm", "avi", "mkv"];

/// Reads what is to be found and returns the facts of each medium by its name, and how many names have none.
///
/// `media` names a folder or zips, relative to `folder`; a name made by `media.path` stands in no row, so zips are read whole.
///
/// # Errors
/// E0501 when neither a folder nor a zip is there.
pub(super) fn load(
    folder: &Path,
    media: Option<&str>,
    named: &BTreeSet<String>,
    store: &Store,
) -> Result<(Map<String, Json>, u64), OpError> {
    let mut found = Map::new();
    let mut absent = 0;
    let mut take = |media: &Media, names: &BTreeSet<String>| {
        for (name, medium) in media.load_all(names, store) {
            match medium {
                Ok(medium) => drop(found.insert(name, facts(&medium))),
                Err(_) => absent += 1, // Whether it is needed only `bench.sample` knows; it names the item then.
            }
        }
    };
    match media.map(|m| folder.join(m)) {
        None => take(&Media::open(folder)?, named),
        Some(place) if place.is_dir() => take(&Media::open(&place)?, named),
        Some(_) => {
            for zip in jsonl::files(folder, media.unwrap_or_default())? {
                let archive = Media::open(&zip)?;
                let all = entries(&zip)?;
                take(&archive, &all);
            }
        }
    }
    Ok((found, absent))
}

/// Returns all pictures and videos below a folder, by relative names.
pub(super) fn below(folder: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut out = BTreeSet::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(inside) = path.strip_prefix(folder) {
                out.extend(Some(inside.to_string_lossy().into_owned()).filter(|name| is_medium(name)));
            }
        }
    }
    Ok(out)
}

/// Says whether a text looks like the name of a picture or video.
pub(super) fn is_medium(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, e)| e).to_ascii_lowercase();
    name.len() < 400 && ENDINGS.contains(&ending.as_str()) && !name.contains('\n')
}

/// What a benchmark keeps of a medium.
pub(super) fn facts(found: &Medium) -> Json {
    json!({ "digest": found.digest, "media": found.media, "size": found.size })
}

fn entries(zip: &Path) -> Result<BTreeSet<String>, OpError> {
    let broken = |e: &dyn std::fmt::Display| OpError::new("E0503", format!("{}: {e}", zip.display()));
    let file = std::fs::File::open(zip).map_err(|e| broken(&e))?;
    let archive = zip::ZipArchive::new(file).map_err(|e| broken(&e))?;
    let names = archive.file_names().filter_map(Result::ok).filter(|n| is_medium(n));
    Ok(names.map(|n| n.into_owned()).collect())
}
