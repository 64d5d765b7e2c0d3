//! Rows of JSON files: one object per line, or one array of objects; plain, gzip or zstd.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value as Json;

use super::load::RawRow;
use crate::base::OpError;

/// Returns the files that a path names: itself, or the matches of a glob in sorted order.
///
/// # Errors
/// `E0501` when there is none.
pub fn files(folder: &Path, path: &str) -> Result<Vec<PathBuf>, OpError> {
    let whole = folder.join(path);
    let missing = || OpError::new("E0501", format!("{} does not exist", whole.display()));
    if whole.exists() || !path.contains(['*', '?', '[', '{']) {
        return if whole.is_file() { Ok(vec![whole]) } else { Err(missing()) };
    }
    let text = whole.to_string_lossy().into_owned();
    let pattern = globset::GlobBuilder::new(&text).literal_separator(true).build();
    let pattern = pattern.map_err(|e| OpError::new("E0501", format!("{text}: {e}")))?.compile_matcher();
    let base = whole.ancestors().find(|a| !a.to_string_lossy().contains(['*', '?', '[', '{'])).unwrap_or(folder);
    let mut found = Vec::new();
    let mut folders = vec![base.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).map_err(|e| OpError::new("E0501", format!("{}: {e}", next.display())))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if pattern.is_match(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    if found.is_empty() { Err(missing()) } else { Ok(found) }
}

/// Opens a file to be read from its start, unpacking `.gz` and `.zst`.
pub fn open(path: &Path) -> Result<Box<dyn Read + Send>, OpError> {
    let failed = |e| unreadable(path, &e);
    let file = File::open(path).map_err(failed)?;
    unpacked(file, path).map_err(failed)
}

/// Returns what is packed in an open file, by its name's ending: `.gz`, `.tgz` or `.zst`.
pub fn unpacked(file: impl Read + Send + 'static, path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let plain: Box<dyn Read + Send> = match path.extension().and_then(|e| e.to_str()) {
        Some("gz" | "tgz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some("zst") => Box::new(zstd::Decoder::new(file)?),
        _ => Box::new(file),
    };
    Ok(plain)
}

/// Reads a file whole, unpacking `.gz` and `.zst`.
pub fn read(path: &Path) -> Result<Vec<u8>, OpError> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
    Ok(bytes)
}

/// Says that a file cannot be read.
pub(super) fn unreadable(path: &Path, e: &std::io::Error) -> OpError {
    let code = if e.kind() == std::io::ErrorKind::NotFound { "E0501" } else { "E0503" };
    OpError::new(code, format!("{}: {e}", path.display()))
}

/// A file without a byte is what a broken copy leaves: a bad row.
pub(super) fn empty(name: &str) -> RawRow {
    RawRow { place: format!("{name}:1"), value: Err("the file is empty".to_owned()) }
}

/// Reads the rows of a file; `name` is what places are called by.
pub fn rows(path: &Path, name: &str) -> Result<Vec<RawRow>, OpError> {
    let bytes = read(path)?;
    if bytes.is_empty() {
        return Ok(vec![empty(name)]);
    }
    Ok(parse(&bytes, name))
}

/// Parses the bytes of a file. Blank lines are no rows; a byte order mark is skipped; text that is no UTF-8 makes its line a bad row.
pub fn parse(bytes: &[u8], name: &str) -> Vec<RawRow> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.trim_ascii_start().starts_with(b"[") {
        return array(bytes, name);
    }
    let lines: Vec<(usize, &[u8])> = bytes
        .split(|&b| b == b'\n')
        .enumerate()
        .map(|(i, line)| (i + 1, line.trim_ascii()))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    lines
        .par_iter()
        .with_min_len(64)
        .map(|&(number, line)| RawRow { place: format!("{name}:{number}"), value: one(line) })
        .collect()
}

/// Parses a line.
pub(super) fn one(line: &[u8]) -> Result<Json, String> {
    let text =
        std::str::from_utf8(line).map_err(|e| format!("byte {} of the line is no UTF-8", e.valid_up_to() + 1))?;
    serde_json::from_str(text).map_err(|e| {
        // Only the column means something: every line was parsed alone.
        let what = e.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        format!("no JSON: {what} at column {}", e.column())
    })
}

fn array(bytes: &[u8], name: &str) -> Vec<RawRow> {
    match serde_json::from_slice::<Vec<Json>>(bytes) {
        Ok(items) => {
            let rows = items.into_iter().enumerate();
            rows.map(|(i, value)| RawRow { place: format!("{name}[{i}]"), value: Ok(value) }).collect()
        }
        Err(e) => vec![RawRow { place: format!("{name}:{}", e.line()), value: Err(format!("no JSON array: {e}")) }],
    }
}
