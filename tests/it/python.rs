//! Environments of Python with packages from PyPI, kept between runs of the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Returns the Python of an environment with these packages, made where it is not there yet; nothing where there is no Python or no registry.
pub fn environment(name: &str, packages: &[&str]) -> Option<PathBuf> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = folder.join("bin/python");
    if folder.join("ready").exists() {
        return Some(python);
    }
    let _ = fs::remove_dir_all(&folder);
    let run = |command: &mut Command| command.output().is_ok_and(|out| out.status.success());
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"];
    let made = run(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        && run(Command::new(&python).args(pip).args(packages));
    made.then(|| {
        fs::write(folder.join("ready"), "").unwrap();
        python
    })
}
