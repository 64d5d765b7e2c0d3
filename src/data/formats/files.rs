//! Rows of a file by its ending, and which files of a repository belong to a split.

use std::path::{Path, PathBuf};

use super::columnar::{self, Into};
use super::load::Feed;
use super::{csv, jsonl};
use crate::base::OpError;
use crate::data::blobs::Blobs;
use crate::spec::Type;

const ENDINGS: &[&str] = &["jsonl", "json", "ndjson", "csv", "tsv", "parquet", "arrow"];
/// Words by which files of other splits are known.
const SPLITS: &[&str] = &["train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval"];

/// Returns the ending that says what is in a file, past that of its packing.
pub(super) fn ending(path: &Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
    name.rsplit_once('.').map(|(_, ending)| ending.to_owned()).unwrap_or_default()
}

/// Reads the rows, some at a time, of a JSON, CSV, Parquet or Arrow file.
///
/// # Errors
/// `E0501` when it is missing, `E0503` when it is damaged or of another kind.
pub fn rows(
    path: &Path,
    name: &str,
    schema: &[(String, Type)],
    blobs: &dyn Blobs,
    feed: &mut Feed<'_>,
) -> Result<(), OpError> {
    match ending(path).as_str() {
        "jsonl" | "json" | "ndjson" => jsonl::feed(path, name, feed),
        "csv" => csv::rows(path, name, schema, ",", &[], feed),
        "tsv" => csv::rows(path, name, schema, "\t", &[], feed),
        "parquet" => columnar::parquet(path, name, Into { schema, blobs: Some(blobs), feed }),
        "arrow" => columnar::arrow(path, name, Into { schema, blobs: Some(blobs), feed }),
        _ => Err(OpError::new("E0503", format!("{}: no file with rows", path.display()))
            .help(format!("rows are read from files that end in .{}", ENDINGS.join(", .")))),
    }
}

/// Returns the files with rows in a folder, or the file itself, sorted.
///
/// # Errors
/// `E0501` when there is none.
pub fn with_rows(path: &Path) -> Result<Vec<PathBuf>, OpError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder);
        for entry in entries.map_err(|e| OpError::new("E0501", format!("{}: {e}", folder.display())))? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if ENDINGS.contains(&ending(&path).as_str()) {
                found.push(path);
            }
        }
    }
    found.sort();
    if found.is_empty() { Err(OpError::new("E0501", format!("no rows in {}", path.display()))) } else { Ok(found) }
}

/// Returns the files of a split of a repository: those that its README lists under `configs`, else those whose path has the split's name as a word;
/// all files for `train` where no path names any split.
///
/// # Errors
/// `E0501` when there is none, `E0503` when the README's list is not understood.
pub fn of_split(root: &Path, config: &str, split: &str) -> Result<Vec<PathBuf>, OpError> {
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap_or_default();
    if let Some(patterns) = listed(&readme, config, split)? {
        let mut found = Vec::new();
        for pattern in patterns {
            let matched = super::paths::files(root, &pattern)
                .or_else(|_| with_rows(&root.join(&pattern)))
                .map_err(|_| OpError::new("E0501", format!("the README lists `{pattern}`, which is not there")))?;
            found.extend(matched);
        }
        return Ok(found);
    }
    let folder = if config == "default" { root.to_owned() } else { root.join(config) };
    let all = with_rows(&folder)?;
    let words = |path: &Path| -> Vec<String> {
        let inside = path.strip_prefix(&folder).unwrap_or(path).to_string_lossy().to_lowercase();
        inside.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect()
    };
    let has = |path: &Path, wanted: &[&str]| words(path).iter().any(|word| wanted.contains(&word.as_str()));
    let named: Vec<PathBuf> = all.iter().filter(|path| has(path, &[split])).cloned().collect();
    match named.is_empty() {
        false => Ok(named),
        true if split == "train" && !all.iter().any(|path| has(path, SPLITS)) => Ok(all),
        true => Err(OpError::new("E0501", format!("no file of {} belongs to the split `{split}`", folder.display()))
            .help("name the files: `data.parquet(\"hf:OWNER/NAME/…\")`, or another `config`")),
    }
}

/// Reads `configs` of a README's front matter: the patterns of a split, none where there is no such list.
fn listed(readme: &str, config: &str, split: &str) -> Result<Option<Vec<String>>, OpError> {
    let Some(head) = readme.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---")).map(|(head, _)| head)
    else {
        return Ok(None);
    };
    let mut lines = head.lines().skip_while(|line| line.trim_end() != "configs:").skip(1).peekable();
    if lines.peek().is_none() {
        return Ok(None);
    }
    let strange = |line: &str| {
        OpError::new("E0503", format!("the README's list of files has the line {line:?}, which is not understood"))
            .help("name the files: `data.parquet(\"hf:OWNER/NAME/…\")`")
    };
    let bare = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    let (mut in_config, mut configs, mut in_split, mut data_dir) = (false, Vec::new(), true, String::new());
    let mut found: Vec<String> = Vec::new();
    for line in lines {
        if !line.starts_with([' ', '-']) && !line.trim().is_empty() {
            break;
        }
        let text = line.trim();
        let (item, text) = text.strip_prefix("- ").map_or((false, text), |rest| (true, rest.trim()));
        match text.split_once(':').map(|(key, value)| (key.trim(), bare(value))) {
            _ if text.is_empty() || text.starts_with('#') => {}
            Some(("config_name", name)) => {
                in_config = name == config;
                configs.push(name);
                in_split = true;
            }
            Some(("default" | "features" | "drop_labels" | "sep", _)) => {}
            Some(("data_dir", dir)) if in_config => data_dir = dir,
            Some(("data_files", value)) if in_config && !value.is_empty() => found.push(value),
            Some(("split", name)) => in_split = name == split,
            Some(("path", value)) if in_config && in_split && !value.is_empty() => found.push(value),
            Some(("path" | "data_files" | "data_dir", _)) => {}
            None if item => {
                if in_config && in_split {
                    found.push(bare(text));
                }
            }
            _ => return Err(strange(line)),
        }
    }
    if !configs.iter().any(|name| name == config) {
        let message = format!("the README knows no configuration `{config}`");
        return Err(OpError::new("E0501", message).help(format!("there are {}", configs.join(", "))));
    }
    if found.is_empty() {
        // A configuration that names a folder, or nothing, leaves its files to their names.
        return Ok((!data_dir.is_empty()).then(|| vec![data_dir]));
    }
    Ok(Some(found))
}
