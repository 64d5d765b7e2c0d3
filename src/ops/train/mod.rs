//! Operators that train models and tokenizers.

pub mod tokenizer;
