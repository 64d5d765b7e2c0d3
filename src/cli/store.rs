//! The store and the remote that the command line or the environment names.

use std::path::{Path, PathBuf};

use super::Exit;
use crate::base::world;
use crate::engine::Store;
use crate::engine::remote::Remote;
use crate::engine::storage::files::FileIndex;
use crate::engine::storage::read_ahead;

/// Opens the remote that is named, else the one in `RBPIPE_REMOTE`, else none; says why it cannot.
pub(super) fn remote(named: Option<&str>) -> Result<Option<Remote>, Exit> {
    named.map(str::to_owned).or_else(remote_of_environment).map(|address| remote_at(&address)).transpose()
}

/// Opens the remote at an address; says why it cannot.
pub(super) fn remote_at(address: &str) -> Result<Remote, Exit> {
    Remote::open(address).map_err(|why| {
        eprintln!("error: {why}");
        Exit::Usage
    })
}

/// Returns the address in `RBPIPE_REMOTE`.
pub(super) fn remote_of_environment() -> Option<String> {
    std::env::var("RBPIPE_REMOTE").ok().filter(|v| !v.trim().is_empty())
}

/// Returns the folder of the store: `RBPIPE_CACHE`, else `~/.cache/rbpipe`.
pub(super) fn folder() -> PathBuf {
    world::cache(&|name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from))
}

/// Opens the store; says why it cannot.
pub(super) fn open() -> Result<(Store, FileIndex), Exit> {
    let folder = folder();
    match Store::open(&folder) {
        Ok(store) => {
            let files = FileIndex::open(&store);
            Ok((store, files))
        }
        Err(e) => {
            eprintln!("error: cannot open the cache `{}`: {e}; `RBPIPE_CACHE` chooses another", folder.display());
            Err(Exit::Refused)
        }
    }
}

/// Opens the store, if there is one, and begins to read what the last run of a recipe used. To be called before the recipe is compiled.
pub(super) fn open_ahead(recipe: &Path) -> Option<(Store, FileIndex)> {
    let folder = folder();
    let store = folder.join("runs").is_dir().then(|| Store::open(folder).ok())??;
    read_ahead::read_ahead(&store, recipe);
    let files = FileIndex::open(&store);
    Some((store, files))
}

/// Keeps the digests of files for the next command.
pub(super) fn keep_index(files: &FileIndex, store: &Store) {
    if let Err(e) = files.save(store) {
        eprintln!("warning: cannot remember digests of files: {e}");
    }
}
