//! Gets libtorch from PyPI and builds `rbpipe-engine` against it. Nothing of Python runs but `pip download`.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::base::OpError;
use crate::engine::hardware::LIBTORCH;

/// Libtorch for one kind of machine: what is fetched and what of it is kept.
struct Build {
    /// Ends the name of its folder.
    suffix: &'static str,
    /// Package and the sha256 of its wheel.
    wheels: &'static [(&'static str, &'static str)],
    /// Files that are kept.
    files: &'static [&'static str],
    /// Folders and beginnings of names that are kept as a whole.
    prefixes: &'static [&'static str],
}

const TORCH: (&str, &str) = ("torch==2.13.0", "796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b");

/// `libtorch_cpu.so` of this release refers to two CUDA libraries, also where no GPU is.
const CPU: Build = Build {
    suffix: "",
    wheels: &[
        TORCH,
        ("nvidia-cuda-runtime==13.5.37", "df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d"),
        ("nvidia-cuda-cupti==13.5.25", "9dcca41c12a734192b14e7128ae116bc9ce1b9da686e2ebf48ae7a4415f76650"),
    ],
    files: &[
        "torch/version.py",
        "torch/lib/libtorch_cpu.so",
        "torch/lib/libc10.so",
        "nvidia/cu13/lib/libcudart.so.13",
        "nvidia/cu13/lib/libcupti.so.13",
    ],
    prefixes: &["torch/include/", "torch/lib/libgomp", "torch.libs/libgomp"],
};

/// The same wheel with its CUDA half, and the libraries that it names, as its metadata does; two more have headers that those of NCCL's half need.
const CUDA: Build = Build {
    suffix: "-cuda",
    wheels: &[
        TORCH,
        ("nvidia-cublas==13.1.1.3", "37936a16db8fe4ac1f065c2139360608a543a09275cb1a1af612e08cfa065436"),
        ("nvidia-cuda-cccl==13.0.85", "e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649"),
        ("nvidia-cuda-crt==13.0.88", "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4"),
        ("nvidia-cuda-cupti==13.0.85", "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"),
        ("nvidia-cuda-nvrtc==13.0.88", "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575"),
        ("nvidia-cuda-runtime==13.0.96", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
        ("nvidia-cudnn-cu13==9.20.0.48", "0c45dd8eeb50b603f07995b1b300c62ffe6a1980482b82b3bcf94a4ca9d49304"),
        ("nvidia-cufft==12.0.0.61", "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3"),
        ("nvidia-cufile==1.15.1.6", "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44"),
        ("nvidia-curand==10.4.0.35", "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc"),
        ("nvidia-cusolver==12.0.4.66", "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112"),
        ("nvidia-cusparse==12.6.3.3", "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b"),
        ("nvidia-cusparselt-cu13==0.8.1", "786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0"),
        ("nvidia-nccl-cu13==2.29.7", "edd81538446786ec3b73972543e53bb43bcaf0bfc8ef76cb679fcc390ffe136d"),
        ("nvidia-nvjitlink==13.5.37", "280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb"),
        ("nvidia-nvshmem-cu13==3.4.5", "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80"),
    ],
    files: &["torch/version.py"],
    prefixes: &[
        "torch/include/",
        "torch/lib/libtorch.so",
        "torch/lib/libtorch_cpu.so",
        "torch/lib/libtorch_cuda",
        "torch/lib/libtorch_nvshmem.so",
        "torch/lib/libc10",
        "torch/lib/libcaffe2_nvrtc.so",
        "torch/lib/libgomp",
        "torch.libs/libgomp",
        "nvidia/cu13/include/",
        "nvidia/cu13/lib/lib",
        "nvidia/cudnn/lib/",
        "nvidia/cusparselt/lib/",
        "nvidia/nccl/include/",
        "nvidia/nccl/lib/",
        "nvidia/nvshmem/lib/lib",
    ],
};

impl Build {
    /// Libtorch lies beside the default cache, whatever `RBPIPE_CACHE` says: it belongs to the machine, not to a project.
    fn home(&self) -> PathBuf {
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
        home.join(".cache/rbpipe").join(format!("libtorch-{LIBTORCH}{}", self.suffix))
    }

    fn keeps(&self, name: &str) -> bool {
        self.files.contains(&name) || self.prefixes.iter().any(|p| name.starts_with(p))
    }
}

/// Returns the folder that `LIBTORCH` has to name, if libtorch is there; one with CUDA before one without.
pub(super) fn installed() -> Option<PathBuf> {
    let named = std::env::var_os("LIBTORCH").filter(|v| !v.is_empty()).map(PathBuf::from);
    let homes = [CUDA.home().join("torch"), CPU.home().join("torch")];
    named.into_iter().chain(homes).find(|p| p.join("lib/libtorch_cpu.so").is_file())
}

/// Fetches libtorch unless it is there. Returns the folder for `LIBTORCH`.
pub(super) fn fetch(notice: &dyn Fn(String)) -> Result<PathBuf, OpError> {
    installed().map_or_else(|| fetched(&CPU, notice), Ok)
}

/// Fetches libtorch with CUDA, 2.4 GB, unless it is there. Returns the folder for `LIBTORCH`.
pub(super) fn fetch_cuda(notice: &dyn Fn(String)) -> Result<PathBuf, OpError> {
    let there = installed().filter(|p| p.join("lib/libtorch_cuda.so").is_file());
    there.map_or_else(|| fetched(&CUDA, notice), Ok)
}

fn fetched(build: &Build, notice: &dyn Fn(String)) -> Result<PathBuf, OpError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(OpError::new("E0612", "libtorch can be fetched for Linux on x86_64 only")
            .help("get libtorch 2.13.0 from pytorch.org and set `LIBTORCH` to its folder"));
    }
    let home = build.home();
    let parent = home.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let work = tempfile::Builder::new().prefix("libtorch-").tempdir_in(parent)?;
    let staged = work.path().join("libtorch");
    for (package, sha256) in build.wheels {
        notice(format!("fetching {package} from PyPI"));
        let wheel = download(package, sha256, work.path())?;
        notice(format!("unpacking {package}"));
        unpack(build, &wheel, &staged)?;
        fs::remove_file(&wheel)?;
    }
    // The wheel's own insists on CUDA; what the engine needs of it without is all in `libtorch_cpu.so`.
    if !build.keeps("torch/lib/libtorch.so") {
        std::os::unix::fs::symlink("libtorch_cpu.so", staged.join("torch/lib/libtorch.so"))?;
    }
    match fs::rename(&staged, &home) {
        Ok(()) => {}
        Err(_) if home.join("torch/lib/libtorch_cpu.so").is_file() => {}
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
    for platform in ["2_28", "2_27", "2_25", "2_18", "2_17", "2_12"] {
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

fn unpack(build: &Build, wheel: &Path, to: &Path) -> Result<(), OpError> {
    let bad = |e: zip::result::ZipError| OpError::new("E0503", format!("`{}`: {e}", wheel.display()));
    let mut archive = zip::ZipArchive::new(fs::File::open(wheel)?).map_err(bad)?;
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).map_err(bad)?;
        let Some(name) = entry.enclosed_name() else { continue };
        let text = name.to_string_lossy().into_owned();
        if !build.keeps(&text) || entry.is_dir() {
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
    let mut cargo = Command::new("cargo");
    // What `cargo run` tells its program would make crates look changed that look at it, and all that use them.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"].iter().any(|told| name.to_string_lossy().starts_with(told)) {
            cargo.env_remove(name);
        }
    }
    let status = cargo
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
