//! Folders in Hugging Face layout: finding them and taking their files into the store.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::engine::{Artifact, Context, Kind, Output, Outputs};

/// File kinds that belong to a model; weights in other formats, READMEs and logs stay out of its identity.
const KINDS: [&str; 5] = ["json", "safetensors", "txt", "jinja", "model"];

/// Takes the model files of `folder` into the store and returns the model artifact.
///
/// # Errors
/// `E0501` when the folder or its `config.json` is absent, `E0503` when the config is no JSON.
pub fn take(cx: &Context, folder: &Path, extra: Json) -> Result<Outputs, OpError> {
    let config_path = folder.join("config.json");
    let text = std::fs::read_to_string(&config_path).map_err(|e| {
        OpError::new("E0501", format!("no model in Hugging Face layout: {}: {e}", config_path.display()))
            .help("the folder must hold config.json, *.safetensors and tokenizer.json")
    })?;
    let config: Json =
        serde_json::from_str(&text).map_err(|e| OpError::new("E0503", format!("{}: {e}", config_path.display())))?;
    let mut meta = json!({ "family": config.get("model_type").and_then(Json::as_str).unwrap_or("unknown") });
    if let (Some(meta), Json::Object(extra)) = (meta.as_object_mut(), extra) {
        meta.extend(extra);
    }
    let mut artifact = Artifact { kind: Kind::Model, meta, files: Default::default() };
    for (name, path) in files(folder)? {
        artifact.files.insert(name, cx.store.put_file(&path)?);
    }
    if !artifact.files.keys().any(|name| name.ends_with(".safetensors")) {
        return Err(OpError::new("E0501", format!("no *.safetensors in {}", folder.display())).help(
            "weights in other formats are not read: convert them with `save_pretrained(safe_serialization=True)`",
        ));
    }
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}

/// Returns the model files under `folder` by relative name, sorted.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, OpError> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(inner) = open.pop() {
        for entry in std::fs::read_dir(folder.join(&inner))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let relative = inner.join(&name);
            let path = entry.path();
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                if name != "training" && relative.components().count() < 3 {
                    open.push(relative);
                }
            } else if KINDS.iter().any(|kind| path.extension().is_some_and(|e| e == *kind)) {
                found.push((relative.to_string_lossy().into_owned(), path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the folder that a model's name stands for: a path when it starts with `.` or `/`, else a snapshot in the hub cache.
///
/// # Errors
/// `E0501` naming the exact place that was looked at.
pub fn resolve(cx: &Context, name: &str, revision: Option<&str>) -> Result<PathBuf, OpError> {
    if name.starts_with('.') || name.starts_with('/') {
        let folder = cx.folder.join(name);
        if !folder.is_dir() {
            return Err(OpError::new("E0501", format!("model folder {} is not there", folder.display()))
                .help("paths start from the recipe's folder"));
        }
        return Ok(folder);
    }
    let repository = hub().join(format!("models--{}", name.replace('/', "--")));
    let wanted = revision.unwrap_or("main");
    let commit = std::fs::read_to_string(repository.join("refs").join(wanted))
        .map_or_else(|_| wanted.to_owned(), |text| text.trim().to_owned());
    let folder = repository.join("snapshots").join(&commit);
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(OpError::new(
        "E0501",
        format!("model `{name}` ({wanted}) is not in the local hub cache: looked for {}", folder.display()),
    )
    .help(format!("fetch it once with `hf download {name}`, or point $HF_HOME at the cache that has it")))
}

/// Returns the hub cache as `huggingface_hub` finds it.
fn hub() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    var("HF_HUB_CACHE")
        .or_else(|| var("HF_HOME").map(|home| home.join("hub")))
        .unwrap_or_else(|| var("HOME").unwrap_or_default().join(".cache/huggingface/hub"))
}
