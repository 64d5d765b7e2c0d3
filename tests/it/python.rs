//! Environments of Python with packages from PyPI, kept between runs of the tests.

use std::path::PathBuf;
use std::process::Command;

use crate::installed::kept;

/// Returns the Python of an environment with these packages, made where it is not there yet; nothing where there is no Python or no registry.
pub fn environment(name: &str, packages: &[&str]) -> Option<PathBuf> {
    const PYTHON: &str = "bin/python";
    let run = |command: &mut Command| command.output().is_ok_and(|out| out.status.success());
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"];
    let folder = kept(name, |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))
            && run(Command::new(folder.join(PYTHON)).args(pip).args(packages))
    })?;
    Some(folder.join(PYTHON))
}
