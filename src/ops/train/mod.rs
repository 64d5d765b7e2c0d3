//! Operators that train models and tokenizers.

mod arguments;
pub mod tokenizer;
