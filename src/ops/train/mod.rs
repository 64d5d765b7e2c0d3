//! Operators that train models and tokenizers.

#[cfg(feature = "torch")]
mod amplify;
pub(super) mod arguments;
pub mod dpo;
pub mod logps;
#[cfg(feature = "torch")]
mod machine;
#[cfg(feature = "torch")]
mod session;
pub mod sft;
pub mod tokenizer;
