//! What of this machine and of the libraries can move the last bits of a computed number.

use std::fs;
use std::sync::LazyLock;

use serde_json::{Map, Value as Json, json};

/// The version of libtorch that computes.
pub const LIBTORCH: &str = "2.13.0";

/// Sets of instructions that libraries of tensors choose their kernels by.
const SETS: &[&str] =
    &["avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "amx_bf16", "sve"];

/// Returns the class of this machine's hardware and the builds of the libraries, which are part of every key of a recipe with `strict_numerics`.
/// A GPU is known by what its driver says.
pub fn class() -> &'static Map<String, Json> {
    static CLASS: LazyLock<Map<String, Json>> = LazyLock::new(|| {
        let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let first = |names: &[&str]| {
            let mut lines = told.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(name, _)| names.contains(&name.trim())).map(|(_, value)| value.trim())
        };
        let has = first(&["flags", "Features"]).unwrap_or_default();
        let sets: Vec<&str> =
            SETS.iter().copied().filter(|set| has.split_whitespace().any(|flag| flag == *set)).collect();
        let class = [
            ("processor", json!(first(&["model name", "CPU part"]).unwrap_or(std::env::consts::ARCH))),
            ("instructions", json!(sets)),
            ("gpus", json!(gpus())),
            ("rbpipe", json!(env!("CARGO_PKG_VERSION"))),
            ("libtorch", json!(LIBTORCH)),
        ];
        class.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    });
    &CLASS
}

/// The kinds of GPU that the driver tells of, each once.
fn gpus() -> Vec<String> {
    let model = |entry: fs::DirEntry| {
        let told = fs::read_to_string(entry.path().join("information")).ok()?;
        Some(told.lines().find_map(|line| line.strip_prefix("Model:"))?.trim().to_owned())
    };
    let cards = fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let mut kinds: Vec<String> = cards.filter_map(model).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}
