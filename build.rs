//! Tells the linker where libtorch lies, so that `rbpipe-engine` finds it again when it runs, and tests how much the build is optimised.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    if let Some(libtorch) = std::env::var_os("LIBTORCH") {
        let lib = std::path::Path::new(&libtorch).join("lib");
        // The old kind of run path: libtorch's own libraries look for theirs through it.
        for kind in ["bins", "tests"] {
            println!("cargo:rustc-link-arg-{kind}=-Wl,--disable-new-dtags,-rpath,{}", lib.display());
        }
    }
}
