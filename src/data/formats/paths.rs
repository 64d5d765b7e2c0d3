//! Files that a path names: itself, the matches of a glob, the shards of a range.

use std::path::{Path, PathBuf};

use super::jsonl;
use crate::base::OpError;

/// Most shards that one range may count.
const MOST_SHARDS: u64 = 1_000_000;

/// Returns the files that a path names: itself, the matches of a glob in sorted order, or `name-{000..127}.tar`, all of which must be there.
///
/// # Errors
/// `E0501` when one is not there.
pub fn files(folder: &Path, path: &str) -> Result<Vec<PathBuf>, OpError> {
    if folder.join(path).exists() {
        return jsonl::files(folder, path);
    }
    let mut found = Vec::new();
    for one in ranges(path) {
        found.extend(jsonl::files(folder, &one)?);
    }
    Ok(found)
}

/// Returns what people call a file: its path from the folder that [`files`] started at, where it lies below that.
pub fn name(folder: &Path, file: &Path) -> String {
    file.strip_prefix(folder).unwrap_or(file).to_string_lossy().into_owned()
}

/// Writes out each `{FIRST..LAST}` of a path, keeping leading zeros. A path without one stays as it is.
pub fn ranges(path: &str) -> Vec<String> {
    let mut from = 0;
    while let Some(open) = path[from..].find('{').map(|at| at + from) {
        let Some(close) = path[open..].find('}').map(|at| at + open) else { break };
        if let Some(numbers) = range(&path[open + 1..close]) {
            let rest = ranges(&path[close + 1..]);
            let whole = |n: &String| rest.iter().map(move |rest| format!("{n}{rest}")).collect::<Vec<_>>();
            let numbers: Vec<String> = numbers.map(|n| format!("{}{n}", &path[..open])).collect();
            return numbers.iter().flat_map(whole).collect();
        }
        from = close + 1;
    }
    vec![path.to_owned()]
}

fn range(text: &str) -> Option<impl Iterator<Item = String>> {
    let (first, last) = text.split_once("..")?;
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let (from, to) = (number(first)?, number(last)?);
    let width = if first.starts_with('0') || first.len() == last.len() { first.len() } else { 0 };
    (from <= to && to - from < MOST_SHARDS).then(|| (from..=to).map(move |n| format!("{n:0width$}")))
}
