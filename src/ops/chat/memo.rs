//! Answers by the identity of their question, so that a run that goes on asks nothing twice.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::request::{Endpoint, Part, Question, Reply};
use crate::base::Digest;

/// Returns a remembered answer; one that was not written whole counts as none.
pub fn recall(memo: &Path, key: Digest) -> Option<Reply> {
    let record: Json = serde_json::from_slice(&std::fs::read(place(memo, key)).ok()?).ok()?;
    let count = |name: &str| record[name].as_u64().unwrap_or(0);
    Some(Reply {
        text: record["reply"].as_str()?.to_owned(),
        tokens: count("tokens"),
        prompt_tokens: count("prompt_tokens"),
        completion_tokens: count("completion_tokens"),
        truncated: record["truncated"].as_bool().unwrap_or(false),
        refused: record["refused"].as_bool().unwrap_or(false),
        likely: serde_json::from_value(record["likely"].clone()).ok().flatten(),
    })
}

/// Writes an answer under its question's identity, whole or not at all.
pub fn remember(memo: &Path, key: Digest, question: &Question, endpoint: &Endpoint, reply: &Reply) -> io::Result<()> {
    let target = place(memo, key);
    let folder = target.parent().unwrap_or(memo);
    std::fs::create_dir_all(folder)?;
    let text = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Picture(picture) => format!("<{}>", picture.digest),
    };
    let mut record = json!({
        "model": endpoint.model,
        "question": question.parts.iter().map(text).collect::<String>(),
        "reply": reply.text,
        "tokens": reply.tokens,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "truncated": reply.truncated,
        "refused": reply.refused,
    });
    if let Some(likely) = &reply.likely {
        record["likely"] = json!(likely);
    }
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(record.to_string().as_bytes())?;
    file.persist(target).map_err(|e| e.error)?;
    Ok(())
}

fn place(memo: &Path, key: Digest) -> PathBuf {
    let hex = key.hex();
    memo.join(&hex[..2]).join(format!("{}.json", &hex[2..]))
}
