//! The outside world of the language rooms behind one trait, so that tests and editors can replace it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything that reading a recipe may ask of the outside.
pub trait World: Sync {
    /// Reads a text file.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// Says whether a file or folder is there.
    fn exists(&self, path: &Path) -> bool;
    /// Reads an environment variable.
    fn env(&self, name: &str) -> Option<String>;
}

/// The real one.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsWorld;

impl World for OsWorld {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
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

    fn exists(&self, path: &Path) -> bool {
        self.texts.contains_key(path) || OsWorld.exists(path)
    }

    fn env(&self, name: &str) -> Option<String> {
        OsWorld.env(name)
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

    fn exists(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }
}
