//! The tokenizer of a model folder, with the ids that end a reply or fill a row.

use std::path::Path;

use serde_json::Value as Json;

use super::chat::Chat;
use crate::base::OpError;

/// A tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// How conversations become text.
    pub chat: Chat,
    /// Fills padded positions.
    pub pad_id: i64,
    /// Ids that end a reply.
    pub stops: Vec<i64>,
}

impl Tokenizer {
    /// Loads `tokenizer.json` of a folder; its own truncation and padding are switched off.
    ///
    /// # Errors
    /// `E0501` when it is absent, `E0503` when it cannot be read.
    pub fn load(dir: &Path) -> Result<Self, OpError> {
        let path = dir.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(|e| OpError::new("E0501", format!("{}: {e}", path.display())))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes)
            .map_err(|e| OpError::new("E0503", format!("{}: {e}", path.display())))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| OpError::new("E0503", format!("{}: {e}", path.display())))?;
        let settings: Json = std::fs::read(dir.join("tokenizer_config.json"))
            .ok()
            .and_then(|b| serde_json::from_slice(&b).ok())
            .unwrap_or(Json::Null);
        let named = |key: &str| {
            let token = settings.get(key)?;
            token.as_str().or_else(|| token.get("content")?.as_str()).map(str::to_owned)
        };
        let id = |token: &str| inner.token_to_id(token).map(i64::from);
        let pad = named("pad_token").and_then(|t| id(&t)).or_else(|| id("<|endoftext|>")).or_else(|| id("[PAD]"));
        let eos = named("eos_token").and_then(|t| id(&t));
        let mut stops: Vec<i64> = eos.into_iter().chain(id("<|im_end|>")).chain(id("<|endoftext|>")).collect();
        let chat = Chat::load(dir, &settings, named("bos_token"), named("eos_token"))?;
        stops.extend(ends(dir));
        stops.sort_unstable();
        stops.dedup();
        Ok(Self { pad_id: pad.unwrap_or(0), stops, inner, chat })
    }

    /// Returns the token that ends a reply in a conversation.
    ///
    /// # Errors
    /// As [`Self::ids`].
    pub fn closing(&self) -> Result<Option<i64>, OpError> {
        Ok(self.ids(&self.chat.close()?)?.first().copied())
    }

    /// Returns the ids of a text; special tokens written out in it become their ids, none are added.
    ///
    /// # Errors
    /// `E0612` when the tokenizer refuses the text.
    pub fn ids(&self, text: &str) -> Result<Vec<i64>, OpError> {
        self.encode(text, false)
    }

    /// Returns for each id of a text where it ends, in bytes.
    ///
    /// # Errors
    /// As [`Self::ids`].
    pub fn ends(&self, text: &str) -> Result<Vec<usize>, OpError> {
        let encoding = self.inner.encode(text, false).map_err(|e| OpError::new("E0612", format!("tokenizer: {e}")))?;
        Ok(encoding.get_offsets().iter().map(|&(_, end)| end).collect())
    }

    /// Returns the ids of a text with the tokenizer's own first and last tokens, at most `max` of them.
    ///
    /// # Errors
    /// As [`Self::ids`].
    pub fn framed(&self, text: &str, max: usize) -> Result<Vec<i64>, OpError> {
        let ids = self.encode(text, true)?;
        if ids.len() <= max {
            return Ok(ids);
        }
        // The last id is the closing special token: it stays, as with the tokenizer's own truncation.
        let last = ids[ids.len() - 1];
        Ok(ids.into_iter().take(max.saturating_sub(1)).chain([last]).collect())
    }

    /// Returns the text of ids, with or without special tokens.
    ///
    /// # Errors
    /// `E0612` when an id is out of range.
    pub fn text(&self, ids: &[i64], skip_special: bool) -> Result<String, OpError> {
        let ids: Vec<u32> = ids.iter().filter_map(|&i| u32::try_from(i).ok()).collect();
        self.inner.decode(&ids, skip_special).map_err(|e| OpError::new("E0612", format!("tokenizer: {e}")))
    }

    /// Returns the id of a token.
    pub fn id(&self, token: &str) -> Option<i64> {
        self.inner.token_to_id(token).map(i64::from)
    }

    fn encode(&self, text: &str, special: bool) -> Result<Vec<i64>, OpError> {
        let encoding =
            self.inner.encode_fast(text, special).map_err(|e| OpError::new("E0612", format!("tokenizer: {e}")))?;
        Ok(encoding.get_ids().iter().map(|&i| i64::from(i)).collect())
    }
}

/// Returns the ids that `generation_config.json` of a folder names as ends of a reply.
fn ends(dir: &Path) -> Vec<i64> {
    let bytes = std::fs::read(dir.join("generation_config.json")).unwrap_or_default();
    let json: Json = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
    match &json["eos_token_id"] {
        Json::Array(ids) => ids.iter().filter_map(Json::as_i64).collect(),
        id => id.as_i64().into_iter().collect(),
    }
}
