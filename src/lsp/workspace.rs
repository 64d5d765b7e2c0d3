//! The recipes of a folder, opened in the editor or not: those that may use a name of one of them.

use std::fs;
use std::path::{Path, PathBuf};

/// Most files that are looked at; a folder with more is no folder of recipes.
const MOST_FILES: usize = 500;
/// Most folders that are looked into.
const MOST_FOLDERS: usize = 5_000;

/// Returns the `.rb2` files below some folders, sorted. Hidden folders, `target`, `node_modules` and outputs are left out.
pub fn recipes(roots: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = roots.to_vec();
    let mut seen = 0;
    while let Some(folder) = open.pop() {
        seen += 1;
        if seen > MOST_FOLDERS || found.len() >= MOST_FILES {
            break;
        }
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !left_out(&path) => open.push(path),
                Ok(kind) if kind.is_file() && path.extension().is_some_and(|e| e == "rb2") => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn left_out(folder: &Path) -> bool {
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with('.') || matches!(name.as_str(), "target" | "node_modules" | "out")
}
