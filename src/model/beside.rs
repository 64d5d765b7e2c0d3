//! Parts of a model whose weights lie in files of their own, beside its own weights.

/// One such part.
pub struct Beside {
    /// Its file in the model's folder.
    pub file: &'static str,
    /// How the names of its weights start.
    pub prefix: &'static str,
}

impl Beside {
    /// Says whether a weight is one of its own.
    pub fn has(&self, name: &str) -> bool {
        name.starts_with(self.prefix)
    }
}

/// The gate of the high-risk features.
pub const AMPLIFIER: Beside = Beside { file: "amplifier.safetensors", prefix: "amplifier." };
/// The head of a reward model, as LLaMA-Factory and Skywork-VL-Reward lay it down.
pub const VALUE_HEAD: Beside = Beside { file: "value_head.safetensors", prefix: "v_head." };
