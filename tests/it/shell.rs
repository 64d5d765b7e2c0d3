//! Lines of a shell, and programs of Debian's packages that are unpacked into a folder of the build and not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a line; returns what it said, or what it complained about.
pub fn shell(line: &str) -> Result<String, String> {
    let out = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
}

/// Returns the folder in which these packages lie unpacked. Nothing of the system changes, and nobody needs to be root.
pub fn unpacked(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let root = folder.join("root");
    if folder.join("ready").exists() {
        return Ok(root);
    }
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&root).map_err(|e| e.to_string())?;
    let fetch = format!("cd {} && apt-get -qq download {}", folder.display(), packages.join(" "));
    // A fresh container has no lists of packages yet; only root may fetch them.
    shell(&format!("{fetch} || {{ apt-get -qq update && {fetch}; }}"))?;
    shell(&format!("cd {} && for p in *.deb; do dpkg -x $p root || exit 1; done", folder.display()))?;
    fs::write(folder.join("ready"), "").map_err(|e| e.to_string())?;
    Ok(root)
}
