//! Where repositories of the Hugging Face hub lie on this machine. Nothing is fetched.

use std::path::{Path, PathBuf};

use super::graph::Repository;
use crate::base::World;

/// The variable that names the folder with datasets of the hub.
pub const MIRROR: &str = "RBPIPE_HF_MIRROR";

/// Returns the folder of a model in the cache as `huggingface_hub` keeps it, whether it is there or not.
pub fn model(world: &dyn World, repository: &Repository) -> PathBuf {
    snapshot(world, "models", &repository.name, repository.revision.as_deref())
}

/// Returns the folder of a dataset, whether it is there or not: in the mirror, else in the cache as `huggingface_hub` keeps it.
pub fn dataset(world: &dyn World, name: &str, revision: Option<&str>) -> PathBuf {
    let mirror = world.env(MIRROR).filter(|v| !v.is_empty()).map(|mirror| Path::new(&mirror).join(name));
    match mirror.filter(|_| revision.is_none()) {
        Some(mirror) if world.exists(&mirror) => mirror,
        mirror => {
            let cached = snapshot(world, "datasets", name, revision);
            if world.exists(&cached) { cached } else { mirror.unwrap_or(cached) }
        }
    }
}

/// Returns where `OWNER/NAME`, or a file `OWNER/NAME/…` of a dataset, lies.
pub fn rows(world: &dyn World, name: &str) -> PathBuf {
    match name.match_indices('/').nth(1) {
        Some((at, _)) => dataset(world, &name[..at], None).join(&name[at + 1..]),
        None => dataset(world, name, None),
    }
}

fn snapshot(world: &dyn World, kind: &str, name: &str, revision: Option<&str>) -> PathBuf {
    let folder = cache(world).join(format!("{kind}--{}", name.replace('/', "--")));
    let wanted = revision.unwrap_or("main");
    let commit =
        world.read(&folder.join("refs").join(wanted)).map_or_else(|_| wanted.to_owned(), |text| text.trim().to_owned());
    folder.join("snapshots").join(commit)
}

fn cache(world: &dyn World) -> PathBuf {
    let var = |name: &str| world.env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    var("HF_HUB_CACHE")
        .or_else(|| var("HF_HOME").map(|home| home.join("hub")))
        .unwrap_or_else(|| var("HOME").unwrap_or_default().join(".cache/huggingface/hub"))
}
