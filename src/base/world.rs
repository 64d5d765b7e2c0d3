//! The outside world of the language rooms behind one trait, so that tests and editors can replace it.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Seek as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Everything that reading a recipe may ask of the outside.
pub trait World: Sync {
    /// Reads a text file.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// Reads `len` bytes of a file from `from` on, fewer at its end: what stands before large tensors is read without them.
    fn bytes(&self, path: &Path, from: u64, len: u64) -> io::Result<Vec<u8>>;
    /// Says whether a file or folder is there.
    fn exists(&self, path: &Path) -> bool;
    /// Reads an environment variable.
    fn env(&self, name: &str) -> Option<String>;
    /// Names what lies in a folder, sorted; nothing if it cannot be read.
    fn list(&self, _folder: &Path) -> Vec<String> {
        Vec::new()
    }
}

/// The real one.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsWorld;

impl World for OsWorld {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn bytes(&self, path: &Path, from: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        file.seek(io::SeekFrom::Start(from))?;
        let mut out = Vec::new();
        file.take(len).read_to_end(&mut out)?;
        Ok(out)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Returns the user's folder of settings: `rbpipe` in `XDG_CONFIG_HOME`, else in `.config` of `HOME`. `named` reads an environment variable that is not empty.
pub fn settings(named: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let home = || named("HOME").unwrap_or_else(|| PathBuf::from(".")).join(".config");
    named("XDG_CONFIG_HOME").unwrap_or_else(home).join("rbpipe")
}

/// Returns the folder of the store and of what else is kept for later: `RBPIPE_CACHE`, else `rbpipe` in `XDG_CACHE_HOME`, else in `.cache` of `HOME`. `named` reads
/// an environment variable that is not empty.
pub fn cache(named: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let home = || named("HOME").unwrap_or_else(|| PathBuf::from(".")).join(".cache");
    named("RBPIPE_CACHE").unwrap_or_else(|| named("XDG_CACHE_HOME").unwrap_or_else(home).join("rbpipe"))
}

/// The texts of an editor over the files of the disk.
#[derive(Clone, Debug, Default)]
pub struct OverlayWorld {
    /// Path to text.
    pub texts: BTreeMap<PathBuf, Arc<str>>,
}

impl World for OverlayWorld {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.texts.get(path).map_or_else(|| OsWorld.read(path), |text| Ok(text.to_string()))
    }

    fn bytes(&self, path: &Path, from: u64, len: u64) -> io::Result<Vec<u8>> {
        OsWorld.bytes(path, from, len)
    }

    fn exists(&self, path: &Path) -> bool {
        self.texts.contains_key(path) || OsWorld.exists(path)
    }

    fn env(&self, name: &str) -> Option<String> {
        OsWorld.env(name)
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        OsWorld.list(folder)
    }
}

/// Files in memory, for tests.
#[derive(Clone, Debug, Default)]
pub struct MemoryWorld {
    /// Path to text.
    pub files: BTreeMap<PathBuf, String>,
}

impl World for MemoryWorld {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    fn bytes(&self, path: &Path, from: u64, len: u64) -> io::Result<Vec<u8>> {
        let text = self.read(path)?;
        Ok(text.bytes().skip(from as usize).take(len as usize).collect())
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let here = self.files.keys().filter(|p| p.parent() == Some(folder));
        here.filter_map(|p| Some(p.file_name()?.to_string_lossy().into_owned())).collect()
    }
}

/// Resolves `.` and `..` by text alone, so that one file has one path.
pub fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
