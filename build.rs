//! Tells the linker where libtorch lies, so that `rbpipe-engine` finds it again when it runs, builds the C faces of its process groups and of
//! layers with a backward of their own, collects the examples of the operators, and has `rbpipe` linked to a fixed address.

use std::path::{Path, PathBuf};
use std::process::Command;

const SHIM: &str = "src/dist/shim";
const FUSED: &str = "src/model/shim";

fn main() {
    for name in ["LIBTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    examples();
    println!("cargo:rerun-if-changed={SHIM}");
    println!("cargo:rerun-if-changed={FUSED}");
    let feature = |name: &str| std::env::var_os(format!("CARGO_FEATURE_{name}")).is_some();
    if !feature("TORCH") {
        fixed_address();
        return;
    }
    let named = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let libtorch = named("LIBTORCH");
    if let Some(libtorch) = &libtorch {
        // The old kind of run path: libtorch's own libraries look for theirs through it.
        for kind in ["bins", "tests"] {
            let lib = libtorch.join("lib");
            println!("cargo:rustc-link-arg-{kind}=-Wl,--disable-new-dtags,-rpath,{}", lib.display());
        }
    }
    if !feature("TORCH_STUB") {
        let home = named("LIBTORCH_INCLUDE").or(libtorch).unwrap_or_else(|| PathBuf::from("/usr"));
        let include = home.join("include");
        groups(&include);
        let mut tensors = shim(&include);
        tensors.opt_level(2);
        for part in ["fused", "few_rows", "matrix", "memory"] {
            tensors.file(format!("{FUSED}/{part}.cpp"));
        }
        tensors.compile("rbpipe-fused");
    }
}

/// Links `rbpipe` so that nothing in it is relocated when it starts, which takes a third of its start; see `docs/decisions/a-fixed-address.md`.
fn fixed_address() {
    let is = |name: &str, value: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).is_ok_and(|v| v == value);
    let is_static = std::env::var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|v| v.split(',').any(|f| f == "crt-static"));
    if is("OS", "linux") && is("ENV", "gnu") && !is_static {
        println!("cargo:rustc-link-arg-bin=rbpipe=-no-pie");
    }
}

/// Compiles the C face of c10d; with CUDA's headers beside libtorch, NCCL's half as a library of its own, which is loaded when a GPU is asked for.
fn groups(include: &Path) {
    let mut c10d = shim(include);
    c10d.file(format!("{SHIM}/c10d.cpp")).compile("rbpipe-c10d");
    let nccl = nccl(include).unwrap_or_default();
    println!("cargo:rustc-env=RBPIPE_NCCL={}", nccl.display());
}

fn shim(include: &Path) -> cc::Build {
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".into());
    let mut build = cc::Build::new();
    build.cpp(true).std("c++20").pic(true).warnings(false).opt_level(1).debug(false);
    build.include(SHIM).include(include).include(include.join("torch/csrc/api/include"));
    build.define("_GLIBCXX_USE_CXX11_ABI", abi.as_str());
    build
}

/// Builds the library for NCCL where libtorch has a CUDA half and the headers of CUDA and NCCL lie beside it, as `rbpipe engine install --cuda` puts
/// them. Returns its path.
fn nccl(include: &Path) -> Option<PathBuf> {
    let torch = include.parent()?;
    let nvidia = torch.parent()?.join("nvidia");
    let headers = [nvidia.join("cu13/include"), nvidia.join("cu13/include/cccl"), nvidia.join("nccl/include")];
    if !torch.join("lib/libtorch_cuda.so").is_file() || !headers[0].join("cuda_runtime_api.h").is_file() {
        return None;
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR")?).join("librbpipe-nccl.so");
    let mut build = shim(include);
    build.includes(headers.iter().filter(|p| p.is_dir()));
    let mut command: Command = build.get_compiler().to_command();
    command.arg("-shared").arg("-o").arg(&out).arg(format!("{SHIM}/nccl.cpp"));
    command.arg(format!("-L{}", torch.join("lib").display()));
    command.args([
        "-Wl,--no-as-needed",
        "-ltorch_cuda",
        "-ltorch_cpu",
        "-lc10_cuda",
        "-lc10",
        "-Wl,--allow-shlib-undefined",
    ]);
    let built = command.status().is_ok_and(|status| status.success());
    if !built {
        println!("cargo:warning=the library for NCCL does not build: several GPUs cannot train together");
    }
    built.then_some(out)
}

/// Writes a list of all recipes in `recipes/operators` by the operator that each is named after, with their texts.
fn examples() {
    let folder =
        std::path::Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("recipes/operators");
    println!("cargo:rerun-if-changed={}", folder.display());
    let entries = std::fs::read_dir(&folder).expect("the examples are in the repository");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut recipes: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "rb2")).collect();
    recipes.sort();
    let line = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        format!("({name:?}, include_str!({:?})),\n", path.display().to_string())
    };
    let text = format!("&[\n{}]\n", recipes.iter().map(line).collect::<String>());
    let out = std::path::Path::new(&std::env::var_os("OUT_DIR").expect("cargo sets it")).join("examples.rs");
    std::fs::write(out, text).expect("a writable folder");
}
