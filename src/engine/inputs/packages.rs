//! Fetches packages with `git` and keeps them by the digest of what they hold, so that an import reads what the lock pins or nothing.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use semver::Version;

use crate::base::package::{self, Address, Pin, Place};
use crate::base::{Digest, phrase};

/// Where the repositories of the hub are, unless `RBPIPE_HUB` names another place.
const HUB: &str = "https://github.com";
/// A connection that moves less than a byte a second for this many seconds is dead.
const PATIENCE: &str = "30";
/// Versions that a message names.
const SHOWN: usize = 8;

/// What was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// What to pin.
    pub pin: Pin,
    /// How many files it has.
    pub files: usize,
}

/// Why a package could not be fetched, and what to do.
#[derive(Debug)]
pub struct Failed {
    /// What happened.
    pub message: String,
    /// The next step.
    pub help: String,
    /// What came is not what the lock pins.
    pub drift: bool,
}

impl Failed {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into(), drift: false }
    }
}

/// Fetches a package into `cache`: the commit that `pin` names, else the one that the address means now. What is there already is fetched again
/// only if its bytes are not those of its name.
///
/// # Errors
/// There is no `git`, no such repository, revision or version, or what came is not what `pin` says.
pub fn fetch(cache: &Path, address: &Address, pin: Option<&Pin>) -> Result<Fetched, Failed> {
    let url = url(address);
    let (revision, version) = match pin {
        Some(pin) => (pin.revision.clone(), pin.version.clone()),
        None => resolve(address, &url)?,
    };
    let broken = |e: io::Error| {
        Failed::new(format!("cannot keep `{}`: {e}", address.name), "`RBPIPE_CACHE` chooses another folder")
    };
    let tmp = cache.join("tmp");
    std::fs::create_dir_all(&tmp).map_err(broken)?;
    let work = tempfile::Builder::new().prefix("package-").tempdir_in(&tmp).map_err(broken)?;
    let tree = work.path().join("tree");
    check_out(&url, &revision, &work.path().join("git"), &tree)?;
    let held = Held::of(&tree).map_err(|e| {
        let help = "a package is made of plain files; ask its author to replace links by what they point to";
        Failed::new(format!("`{}` cannot be kept: {e}", address.name), help)
    })?;
    let digest = held.digest.hex();
    if let Some(pin) = pin.filter(|pin| pin.digest != digest) {
        let message = format!(
            "commit {revision} of `{}` holds other bytes than the lock pins ({}… instead of {}…)",
            address.name,
            &digest[..12],
            pin.digest.get(..12).unwrap_or(&pin.digest)
        );
        let help = format!("ask who changed it; `rbpipe lock … --update {}` accepts what is there now", address.name);
        return Err(Failed { drift: true, ..Failed::new(message, help) });
    }
    keep(cache, &tree, &held).map_err(broken)?;
    Ok(Fetched { pin: Pin { digest, revision, version }, files: held.files.len() })
}

/// Takes a package that was unpacked into `tree`, on the file system of `cache`, if it holds what `digest` says.
///
/// # Errors
/// It does not, or it cannot be kept.
pub fn take(cache: &Path, tree: &Path, digest: &str) -> io::Result<()> {
    let held = Held::of(tree)?;
    if held.digest.hex() != digest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("package {digest} is damaged")));
    }
    keep(cache, tree, &held)
}

/// Returns the files of a package, by their way from its folder.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    list(folder, Path::new(""), &mut files)?;
    files.sort();
    Ok(files)
}

/// Moves a package to its place, read-only.
fn keep(cache: &Path, tree: &Path, held: &Held) -> io::Result<()> {
    let folder = package::folder(cache, &held.digest.hex());
    std::fs::create_dir_all(folder.parent().unwrap_or(cache))?;
    if folder.exists() && Held::of(&folder).map_or(true, |there| there.digest != held.digest) {
        let aside = tempfile::Builder::new().prefix("damaged-").tempdir_in(cache.join("tmp"))?;
        std::fs::rename(&folder, aside.path().join("package"))?;
    }
    if folder.exists() {
        return Ok(());
    }
    for file in &held.files {
        std::fs::set_permissions(tree.join(file), std::fs::Permissions::from_mode(0o444))?;
    }
    match std::fs::rename(tree, &folder) {
        // Another run may have been faster: what it put there has the same bytes.
        Err(e) if !folder.exists() => Err(e),
        _ => Ok(()),
    }
}

/// Says whether a package that lies in `folder` holds what its name says. One that does counts as used: `cache gc` looks at the time of the folder.
pub fn is_whole(folder: &Path) -> bool {
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let whole = Held::of(folder).is_ok_and(|held| held.digest.hex() == name);
    if whole {
        // Another user's package keeps its time; it is fetched again should it go.
        let _ = std::fs::File::open(folder).and_then(|f| f.set_modified(SystemTime::now()));
    }
    whole
}

fn url(address: &Address) -> String {
    match &address.place {
        Place::Git { url, .. } => url.clone(),
        Place::Hub { repository, .. } => {
            let hub = std::env::var("RBPIPE_HUB").ok().filter(|hub| !hub.trim().is_empty());
            format!("{}/{repository}.git", hub.as_deref().unwrap_or(HUB).trim_end_matches('/'))
        }
    }
}

/// Asks the repository which commit the address means, and which version that is.
fn resolve(address: &Address, url: &str) -> Result<(String, Option<Version>), Failed> {
    match &address.place {
        Place::Git { revision, .. } => {
            if revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit()) {
                return Ok((revision.to_lowercase(), None));
            }
            let refs = refs(url)?;
            // A tag before a branch of the same name, as `git` does; an annotated tag stands for its commit.
            let ways = [
                format!("refs/tags/{revision}^{{}}"),
                format!("refs/tags/{revision}"),
                format!("refs/heads/{revision}"),
                revision.clone(),
            ];
            match ways.iter().find_map(|way| refs.iter().find(|(name, _)| name == way)) {
                Some((_, commit)) => Ok((commit.clone(), None)),
                None => {
                    let names = refs.iter().filter_map(|(name, _)| {
                        name.strip_prefix("refs/tags/").or_else(|| name.strip_prefix("refs/heads/"))
                    });
                    let help = match phrase::nearest(revision, names.filter(|n| !n.ends_with("^{}"))) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "give a tag, a branch, or a commit with all its 40 digits".to_owned(),
                    };
                    Err(Failed::new(format!("`{url}` has no revision `{revision}`"), help))
                }
            }
        }
        Place::Hub { range, .. } => {
            let mut versions: Vec<(Version, String)> = Vec::new();
            for (name, commit) in refs(url)? {
                let Some(tag) = name.strip_prefix("refs/tags/") else { continue };
                let tag = tag.strip_suffix("^{}").unwrap_or(tag);
                if let Ok(version) = Version::parse(tag.strip_prefix('v').unwrap_or(tag)) {
                    // The commit of an annotated tag comes after the tag itself.
                    versions.retain(|(known, _)| *known != version);
                    versions.push((version, commit));
                }
            }
            versions.sort();
            match versions.iter().rev().find(|(version, _)| range.matches(version)) {
                Some((version, commit)) => Ok((commit.clone(), Some(version.clone()))),
                None if versions.is_empty() => {
                    let help =
                        "its author publishes one with a tag such as `v1.0.0`; `git:URL@REVISION` imports any commit";
                    Err(Failed::new(format!("`{url}` has no versions"), help))
                }
                None => {
                    let there: Vec<String> = versions.iter().rev().take(SHOWN).map(|(v, _)| v.to_string()).collect();
                    Err(Failed::new(
                        format!("no version of `{url}` is in `{range}`"),
                        format!("there is {}", phrase::quoted(&there)),
                    ))
                }
            }
        }
    }
}

/// Returns what a repository names, with the commits.
fn refs(url: &str) -> Result<Vec<(String, String)>, Failed> {
    let text = git(None, &["ls-remote", "--", url], url)?;
    let pair = |line: &str| line.split_once('\t').map(|(commit, name)| (name.to_owned(), commit.to_owned()));
    Ok(text.lines().filter_map(pair).collect())
}

/// Puts the files of one commit into `tree`, without any history and without what this user's settings would make of them.
fn check_out(url: &str, commit: &str, repository: &Path, tree: &Path) -> Result<(), Failed> {
    let lost = |e: io::Error| Failed::new(format!("cannot write `{}`: {e}", tree.display()), "make room there");
    std::fs::create_dir_all(tree).map_err(lost)?;
    let place = repository.to_string_lossy();
    git(None, &["init", "--quiet", "--bare", "--", &place], url)?;
    // Servers of some age hand out named commits only: then all that is named is fetched.
    if git(Some(repository), &["fetch", "--quiet", "--depth=1", "--no-tags", "--", url, commit], url).is_err() {
        git(Some(repository), &["fetch", "--quiet", "--", url, "+refs/*:refs/fetched/*"], url)?;
    }
    let work = format!("--work-tree={}", tree.display());
    let plain = ["-c", "core.autocrlf=false", "-c", "core.symlinks=true", "-c", "core.attributesFile=/dev/null"];
    let filters = ["-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false"];
    let mut args: Vec<&str> = plain.into_iter().chain(filters).collect();
    args.extend([work.as_str(), "checkout", "--quiet", "--force", commit, "--", "."]);
    git(Some(repository), &args, url).map(|_| ())
}

/// Runs `git`, which asks nobody for anything, and returns what it says.
fn git(repository: Option<&Path>, args: &[&str], url: &str) -> Result<String, Failed> {
    let mut command = Command::new("git");
    command.args(["-c", "http.lowSpeedLimit=1", "-c"]).arg(format!("http.lowSpeedTime={PATIENCE}"));
    command.args(["-c", "protocol.ext.allow=never"]);
    if let Some(repository) = repository {
        command.arg("--git-dir").arg(repository);
    }
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"] {
        command.env_remove(name);
    }
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_LFS_SKIP_SMUDGE", "1").env("LC_ALL", "C");
    if std::env::var_os("GIT_SSH_COMMAND").is_none() {
        command.env("GIT_SSH_COMMAND", format!("ssh -oBatchMode=yes -oConnectTimeout={PATIENCE}"));
    }
    let out = command.args(args).stdin(Stdio::null()).output().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Failed::new("there is no `git` here", "packages are fetched with it: install `git`"),
        _ => Failed::new(format!("cannot start `git`: {e}"), "packages are fetched with it"),
    })?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let told = said.lines().map(str::trim).filter(|l| l.starts_with("fatal: ") || l.starts_with("error: ")).next_back();
    let why = told.or_else(|| said.lines().next_back()).unwrap_or("it did not say why").trim().to_owned();
    let help = "`git ls-remote` with that address has to work in this shell; keys and tokens are those of `git`";
    Err(Failed::new(format!("cannot fetch `{url}`: git says \"{why}\""), help))
}

/// What a folder holds.
struct Held {
    files: Vec<PathBuf>,
    digest: Digest,
}

impl Held {
    /// Reads all files below a folder.
    fn of(folder: &Path) -> io::Result<Self> {
        let (files, mut hasher) = (files(folder)?, blake3::Hasher::new());
        hasher.update(b"rbpipe/package/v1");
        for file in &files {
            let (name, content) = (file.to_string_lossy(), std::fs::read(folder.join(file))?);
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(&Digest::of(&content).0);
        }
        Ok(Self { files, digest: Digest(*hasher.finalize().as_bytes()) })
    }
}

fn list(root: &Path, below: &Path, out: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(below))? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, below.join(entry.file_name()));
        if kind.is_dir() {
            list(root, &path, out)?;
        } else if kind.is_file() {
            out.push(path);
        } else {
            return Err(io::Error::other(format!("`{}` is a link or no file", path.display())));
        }
    }
    Ok(())
}
