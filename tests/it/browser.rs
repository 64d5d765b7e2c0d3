//! A real browser without a window, where one is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The browser's program.
pub struct Browser(PathBuf);

/// What the browser made of a page.
pub struct Seen {
    /// The document after its scripts ran.
    pub dom: String,
    /// Lines of the console.
    pub console: Vec<String>,
}

impl Browser {
    /// Finds Chromium in the PATH; says loudly that a test is not done without it.
    pub fn find() -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
        let found = names.iter().flat_map(|n| folders.iter().map(move |f| f.join(n))).find(|p| p.is_file());
        if found.is_none() {
            eprintln!("SKIPPED: no Chromium in the PATH, so the page was not opened (apt-get install -y chromium)");
        }
        found.map(Self)
    }

    /// Opens a file and waits for its scripts.
    pub fn open(&self, page: &Path) -> Seen {
        let profile = tempfile::tempdir().unwrap();
        let out = Command::new(&self.0)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
            .args(["--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("file://{}", page.display()))
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{log}");
        Seen {
            dom: String::from_utf8_lossy(&out.stdout).into_owned(),
            console: log.lines().filter(|l| l.contains(":CONSOLE")).map(str::to_owned).collect(),
        }
    }
}
