//! What the tests install from registries, kept between their runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Returns the folder that `install` has filled, now or in an earlier run; nothing where it cannot.
pub fn kept(name: &str, install: impl FnOnce(&Path) -> bool) -> Option<PathBuf> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !folder.join("ready").exists() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        if !install(&folder) {
            return None;
        }
        fs::write(folder.join("ready"), "").unwrap();
    }
    Some(folder)
}
