//! Folders in Hugging Face layout: finding them and taking their files into the store.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::base::world::OsWorld;
use crate::engine::inputs::models::files;
use crate::engine::{Artifact, Context, Kind, Output, Outputs};
use crate::plan::{Repository, hub};

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
    let wanted = revision.unwrap_or("main");
    let repository = Repository { name: name.to_owned(), revision: revision.map(str::to_owned) };
    let folder = hub::model(&OsWorld, &repository);
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(OpError::new(
        "E0501",
        format!("model `{name}` ({wanted}) is not in the local hub cache: looked for {}", folder.display()),
    )
    .help(format!("fetch it once with `hf download {name}`, or point $HF_HOME at the cache that has it")))
}
