//! Where a user's command runs: a folder with copies of its files, and an environment with nothing in it by accident.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value as Json};

use super::args::Args;
use super::rows_out::Pictures;
use crate::base::{Digest, OpError};
use crate::engine::Context;
use crate::engine::storage::files;
use crate::spec::user_op;

/// What is taken over from the environment of rbpipe: where programs and libraries are found, and whose home it is.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "JAVA_HOME",
    "NODE_PATH",
    "SSL_CERT_FILE",
];

/// Makes a folder with the operator's files and the pictures that its rows name.
///
/// # Errors
/// `E0501` when a file is gone.
pub(super) fn folder(cx: &Context, args: &Args, name: &str, pictures: &Pictures) -> Result<PathBuf, OpError> {
    let place = cx.scratch.join(name);
    fs::create_dir_all(place.join("tmp"))?;
    for named in args.files.iter().chain(&args.env) {
        let found = files::expand(&cx.folder.join(named)).map_err(|e| OpError::new("E0501", e.to_string()))?;
        for file in found {
            let below = file.strip_prefix(&cx.folder).unwrap_or(Path::new(named));
            let target = place.join(below);
            fs::create_dir_all(target.parent().unwrap_or(&place))?;
            fs::copy(&file, &target)?;
            // Whether a script was made executable is in no key, so it must not matter.
            fs::set_permissions(&target, fs::Permissions::from_mode(0o755))?;
        }
    }
    for (path, digest) in pictures {
        let target = place.join(path);
        fs::create_dir_all(target.parent().unwrap_or(&place))?;
        let digest = Digest::parse(digest).ok_or_else(|| OpError::new("E0503", format!("`{digest}` is no digest")))?;
        symlink(cx.store.path(digest), target)?;
    }
    Ok(place)
}

/// Returns the command as it is started in a folder; `processes` is how many of it share the machine.
pub(super) fn command(cx: &Context, args: &Args, place: &Path, processes: usize) -> Command {
    let first = &args.command[0];
    let program = if first.contains('/') { place.join(first) } else { PathBuf::from(first) };
    let mut command = Command::new(program);
    command.args(&args.command[1..]).current_dir(place).env_clear();
    command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    let threads = if args.whole() { cx.threads } else { (cx.threads / processes).max(1) };
    let fixed: BTreeMap<&str, String> = BTreeMap::from([
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("TZ", "UTC".to_owned()),
        ("PYTHONHASHSEED", "0".to_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ("TMPDIR", place.join("tmp").display().to_string()),
        ("OMP_NUM_THREADS", if args.whole() { threads } else { 1 }.to_string()),
        ("CUDA_VISIBLE_DEVICES", args.gpus.join(",")),
        (user_op::ENV_IO, args.format.word().to_owned()),
        (user_op::ENV_ARGS, Json::Object(plain(&args.args)).to_string()),
    ]);
    command.envs(fixed);
    if args.seeded {
        command.env(user_op::ENV_SEED, cx.seed.to_string());
    }
    for (name, value) in &args.args {
        if let Some(text) = value["secret"].as_str().and_then(|secret| cx.secrets.get(secret)) {
            command.env(format!("{}{}", user_op::ENV_SECRET, name.to_uppercase()), text);
        }
    }
    command
}

/// The arguments that are no secrets.
fn plain(args: &Map<String, Json>) -> Map<String, Json> {
    args.iter().filter(|(_, v)| v.get("secret").is_none()).map(|(k, v)| (k.clone(), v.clone())).collect()
}
