//! Gets libtorch from PyPI and builds `rbpipe-engine` against it. Nothing of Python runs but `pip download`.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::base::OpError;

/// The release that the engine is built against.
const VERSION: &str = "2.13.0";

/// What is fetched: package and the sha256 of its wheel.
const WHEELS: &[(&str, &str)] = &[
    ("torch==2.13.0", "796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b"),
    ("nvidia-cuda-runtime==13.5.37", "df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d"),
    ("nvidia-cuda-cupti==13.5.25", "9dcca41c12a734192b14e7128ae116bc9ce1b9da686e2ebf48ae7a4415f76650"),
];

/// What is taken out of the wheels: `libtorch_cpu.so` of this release refers to two CUDA libraries, also where no GPU is.
const FILES: &[&str] = &[
    "torch/version.py",
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
];

/// Folders and beginnings of names that are taken as a whole.
const PREFIXES: &[&str] = &["torch/include/", "torch/lib/libgomp", "torch.libs/libgomp"];

/// Returns the folder that `LIBTORCH` has to name, if libtorch is there.
pub(super) fn installed() -> Option<PathBuf> {
    let named = std::env::var_os("LIBTORCH").filter(|v| !v.is_empty()).map(PathBuf::from);
    [named, Some(home().join("torch"))].into_iter().flatten().find(|p| p.join("lib/libtorch_cpu.so").is_file())
}

/// Libtorch lies beside the default cache, whatever `RBPIPE_CACHE` says: it belongs to the machine, not to a project.
fn home() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    home.join(".cache/rbpipe").join(format!("libtorch-{VERSION}"))
}

/// Fetches libtorch unless it is there. Returns the folder for `LIBTORCH`.
pub(super) fn fetch(notice: &dyn Fn(String)) -> Result<PathBuf, OpError> {
    if let Some(found) = installed() {
        return Ok(found);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(OpError::new("E0612", "libtorch can be fetched for Linux on x86_64 only")
            .help("get libtorch 2.13.0 from pytorch.org and set `LIBTORCH` to its folder"));
    }
    let home = home();
    let parent = home.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let work = tempfile::Builder::new().prefix("libtorch-").tempdir_in(parent)?;
    let staged = work.path().join("libtorch");
    for (package, sha256) in WHEELS {
        notice(format!("fetching {package} from PyPI"));
        let wheel = download(package, sha256, work.path())?;
        notice(format!("unpacking {package}"));
        unpack(&wheel, &staged)?;
        fs::remove_file(&wheel)?;
    }
    // The wheel's own `libtorch.so` insists on CUDA; what the engine needs of it is all in `libtorch_cpu.so`.
    std::os::unix::fs::symlink("libtorch_cpu.so", staged.join("torch/lib/libtorch.so"))?;
    match fs::rename(&staged, &home) {
        Ok(()) => {}
        Err(_) if installed().is_some() => {}
        Err(e) => return Err(OpError::new("E0612", format!("cannot put libtorch to `{}`: {e}", home.display()))),
    }
    Ok(home.join("torch"))
}

fn download(package: &str, sha256: &str, folder: &Path) -> Result<PathBuf, OpError> {
    let dest = folder.join("wheels");
    fs::create_dir_all(&dest)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]);
    pip.args(["--quiet", "--python-version", "3.12", "--implementation", "cp"]);
    for platform in ["2_28", "2_25", "2_17"] {
        pip.args(["--platform", &format!("manylinux_{platform}_x86_64")]);
    }
    pip.args(["--platform", "manylinux2014_x86_64", "--dest"]).arg(&dest).arg(package);
    let out = pip.output().map_err(|e| {
        OpError::new("E0612", format!("`python3 -m pip` does not start: {e}")).help("libtorch is fetched with pip")
    })?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        let last = said.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("no message").to_owned();
        return Err(OpError::new("E0612", format!("pip cannot fetch {package}: {last}")).class("flaky"));
    }
    let wheel = fs::read_dir(&dest)?
        .flatten()
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "whl"))
        .ok_or_else(|| OpError::new("E0612", format!("pip fetched nothing for {package}")))?;
    let found = sha256_of(&wheel)?;
    if found != sha256 {
        let message = format!("{package} has sha256 {found}, not {sha256}: it is not the wheel that was checked");
        return Err(OpError::new("E0503", message));
    }
    Ok(wheel)
}

fn sha256_of(path: &Path) -> Result<String, OpError> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
    }
    Ok(hasher.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

fn unpack(wheel: &Path, to: &Path) -> Result<(), OpError> {
    let bad = |e: zip::result::ZipError| OpError::new("E0503", format!("`{}`: {e}", wheel.display()));
    let mut archive = zip::ZipArchive::new(fs::File::open(wheel)?).map_err(bad)?;
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).map_err(bad)?;
        let Some(name) = entry.enclosed_name() else { continue };
        let text = name.to_string_lossy().into_owned();
        let wanted = FILES.contains(&text.as_str()) || PREFIXES.iter().any(|p| text.starts_with(p));
        if !wanted || entry.is_dir() {
            continue;
        }
        let target = match text.strip_prefix("torch.libs/") {
            Some(library) => to.join("torch/lib").join(library),
            None => to.join(&name),
        };
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = fs::File::create(&target)?;
        std::io::copy(&mut entry, &mut file)?;
        file.flush()?;
    }
    Ok(())
}

/// Builds the engine in the source checkout that this program came from. Returns the binary.
pub(super) fn build(libtorch: &Path, notice: &dyn Fn(String)) -> Result<PathBuf, OpError> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !checkout.join("Cargo.toml").is_file() {
        return Err(OpError::new("E0612", "the sources of this program are not on this machine")
            .help("set `RBPIPE_ENGINE` to an `rbpipe-engine` of the same version"));
    }
    notice(
        "building rbpipe-engine (some minutes, once): cargo build --release --features torch --bin rbpipe-engine"
            .into(),
    );
    let status = Command::new("cargo")
        .args(["build", "--release", "--features", "torch", "--bin", "rbpipe-engine"])
        .current_dir(checkout)
        .env("LIBTORCH", libtorch)
        // What cargo prints is its progress; standard output belongs to whoever called us.
        .stdout(std::process::Stdio::null())
        .status()
        .map_err(|e| OpError::new("E0612", format!("`cargo` does not start: {e}")))?;
    let binary = built();
    if !status.success() || !binary.is_file() {
        return Err(OpError::new("E0612", "rbpipe-engine does not build").help("the compiler's messages stand above"));
    }
    Ok(binary)
}

/// Returns where a build of the source checkout puts the engine.
pub(super) fn built() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").filter(|v| !v.is_empty()).map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    target.join("release/rbpipe-engine")
}
