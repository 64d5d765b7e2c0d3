//! Rows of JSON files: one object per line, or one array of objects; plain, gzip or zstd.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value as Json;

use super::blocks::Blocks;
use super::load::{self, Feed, RawRow};
use super::packed::unreadable;
use crate::base::OpError;
use crate::data::pictures::media::Members;

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

/// A file without a byte is what a broken copy leaves: a bad row.
pub(super) fn empty(name: &str) -> RawRow {
    RawRow { place: format!("{name}:1"), value: Err("the file is empty".to_owned()) }
}

/// Reads the rows of a file some at a time; `name` is what places are called by.
///
/// # Errors
/// `E0501` when it is missing, `E0503` when it cannot be read.
pub fn feed(path: &Path, name: &str, feed: &mut Feed<'_>) -> Result<(), OpError> {
    blocks(Blocks::open(path)?, path, name, feed)
}

/// Parses the bytes of a file. Blank lines are no rows; a byte order mark is skipped; text that is no UTF-8 makes its row a bad one.
pub fn parse(bytes: &[u8], name: &str) -> Result<Vec<RawRow>, OpError> {
    let source = Blocks::new(Box::new(io::Cursor::new(bytes.to_vec())));
    load::collected(|feed| blocks(source, Path::new(name), name, feed))
}

fn blocks(mut source: Blocks, path: &Path, name: &str, feed: &mut Feed<'_>) -> Result<(), OpError> {
    let mut count = 0;
    loop {
        let block = source.next().map_err(|e| unreadable(path, &e))?;
        if block.is_empty() {
            let nothing = count == 0 && block.items.is_none();
            return if nothing { feed(vec![empty(name)], Members::new()) } else { Ok(()) };
        }
        let bytes = &block.bytes[..];
        let Some(items) = &block.items else {
            let lines: Vec<(usize, &[u8])> = bytes.split(|&b| b == b'\n').enumerate().collect();
            let before = count;
            count += lines.len() - usize::from(lines.last().is_some_and(|(_, rest)| rest.is_empty()));
            let row = |&(i, line): &(usize, &[u8])| {
                let line = line.trim_ascii();
                let place = || format!("{name}:{}", before + i + 1);
                (!line.is_empty()).then(|| RawRow { place: place(), value: one(line) })
            };
            feed(lines.par_iter().with_min_len(64).filter_map(row).collect(), Members::new())?;
            continue;
        };
        let row = |(i, item): (usize, &Range<usize>)| RawRow {
            place: format!("{name}[{}]", count + i),
            value: one(bytes[item.clone()].trim_ascii()),
        };
        let mut rows: Vec<RawRow> = items.par_iter().enumerate().with_min_len(64).map(row).collect();
        count += rows.len();
        rows.extend(block.fault.map(|fault| RawRow { place: format!("{name}[{count}]"), value: Err(fault) }));
        feed(rows, Members::new())?;
    }
}

/// Puts neighbouring items into groups of some bytes each.
pub(super) fn grouped(items: &[Range<usize>], bytes: usize) -> Vec<&[Range<usize>]> {
    let mut groups = Vec::new();
    let mut from = 0;
    for (i, item) in items.iter().enumerate() {
        if item.end - items[from].start >= bytes || i + 1 == items.len() {
            groups.push(&items[from..=i]);
            from = i + 1;
        }
    }
    groups
}

/// Parses a row.
pub(super) fn one(line: &[u8]) -> Result<Json, String> {
    let text = std::str::from_utf8(line).map_err(|e| format!("byte {} of the row is no UTF-8", e.valid_up_to() + 1))?;
    serde_json::from_str(text).map_err(|e| {
        // Only the column means something: every row was parsed alone.
        let what = e.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        format!("no JSON: {what} at column {}", e.column())
    })
}
