//! Operators that train models and tokenizers.

#[cfg(feature = "torch")]
mod amplify;
#[cfg(feature = "torch")]
pub(super) mod arguments;
pub mod dpo;
pub mod logps;
#[cfg(feature = "torch")]
mod machine;
#[cfg(feature = "torch")]
mod preflight;
pub mod reward;
#[cfg(feature = "torch")]
mod session;
pub mod sft;
mod signature;
pub mod tokenizer;
