//! The template `qwen2_vl`: prompts and replies to ids, block by block.

use std::path::Path;

use tokenizers::Tokenizer;

use crate::base::OpError;

/// What the system says when nobody says otherwise.
const SYSTEM: &str = "You are a helpful assistant.";

/// A tokenizer with the rules of LLaMA-Factory's template `qwen2_vl`.
pub struct Text {
    tokenizer: Tokenizer,
    /// Fills rows.
    pub pad: i64,
}

impl Text {
    /// Reads `tokenizer.json` of a model folder.
    ///
    /// # Errors
    /// `E0501` when it is absent, `E0503` when it cannot be read or lacks Qwen's special tokens.
    pub fn open(folder: &Path) -> Result<Self, OpError> {
        let path = folder.join("tokenizer.json");
        if !path.is_file() {
            return Err(OpError::new("E0501", format!("{} is not there", path.display())));
        }
        let tokenizer =
            Tokenizer::from_file(&path).map_err(|e| OpError::new("E0503", format!("{}: {e}", path.display())))?;
        let pad = tokenizer.token_to_id("<|endoftext|>");
        let pad = pad.ok_or_else(|| OpError::new("E0503", format!("{}: no token <|endoftext|>", path.display())))?;
        Ok(Self { tokenizer, pad: i64::from(pad) })
    }

    /// Returns the ids of system block and user block, each tokenised by itself, up to where the reply begins.
    pub fn prompt(&self, system: Option<&str>, content: &str) -> Result<Vec<i64>, String> {
        let mut ids = self.ids(&format!("<|im_start|>system\n{}<|im_end|>\n", system.unwrap_or(SYSTEM)))?;
        ids.extend(self.ids(&format!("<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n"))?);
        Ok(ids)
    }

    /// Returns the ids of a reply with its end mark and the newline after it.
    pub fn reply(&self, text: &str) -> Result<Vec<i64>, String> {
        self.ids(&format!("{text}<|im_end|>\n"))
    }

    /// Returns the tokens of a text by itself.
    pub fn ids(&self, text: &str) -> Result<Vec<i64>, String> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(|e| e.to_string())?;
        Ok(encoding.get_ids().iter().map(|&id| i64::from(id)).collect())
    }
}
