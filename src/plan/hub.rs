//! Where repositories of the Hugging Face hub lie on this machine. Nothing is fetched.

use std::path::{Path, PathBuf};

use super::graph::Repository;
use crate::base::World;

/// The variable that names the folder with datasets of the hub.
pub const MIRROR: &str = "RBPIPE_HF_MIRROR";

/// Returns the folder of a model in the cache as `huggingface_hub` keeps it, whether it is there or not.
pub fn model(world: &dyn World, repository: &Repository) -> PathBuf {
    let folder = cache(world).join(format!("models--{}", repository.name.replace('/', "--")));
    let wanted = repository.revision.as_deref().unwrap_or("main");
    let commit =
        world.read(&folder.join("refs").join(wanted)).map_or_else(|_| wanted.to_owned(), |text| text.trim().to_owned());
    folder.join("snapshots").join(commit)
}

/// Returns where a dataset, or a file of one, lies in the mirror.
pub fn rows(world: &dyn World, name: &str) -> PathBuf {
    // Without a mirror it is nowhere: the name of the variable says what is missing.
    let mirror = world.env(MIRROR).filter(|v| !v.is_empty()).unwrap_or_else(|| format!("${MIRROR}"));
    Path::new(&mirror).join(name)
}

fn cache(world: &dyn World) -> PathBuf {
    let var = |name: &str| world.env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    var("HF_HUB_CACHE")
        .or_else(|| var("HF_HOME").map(|home| home.join("hub")))
        .unwrap_or_else(|| var("HOME").unwrap_or_default().join(".cache/huggingface/hub"))
}
