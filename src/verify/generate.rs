//! Batches made from conversations and pictures, and greedy generation, against the goldens.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;
use tch::{Device, Kind, Tensor, no_grad};

use super::compare::Rows;
use super::forward::{ints as tensor_ints, json, take};
use super::pixels::{picture, pictures, video};
use super::text::ints;
use crate::base::OpError;
use crate::model::collate::{IGNORE, Padding, Pixels, Sample, collate};
use crate::model::encode::{SftOptions, encode_sft};
use crate::model::kv_cache::KvCache;
use crate::model::template::{Message, Part, expand, render};
use crate::model::{Decoding, Processor, QwenVl, Tokenizer, generate, score_options, weights};

/// Runs these checks.
pub(super) fn check(dir: &Path, device: Device) -> Result<Rows, OpError> {
    let mut rows = Rows::default();
    let model = QwenVl::load(&dir.join("model"), device, Kind::Float)?;
    let tokenizer = Tokenizer::load(&dir.join("model"))?;
    let processor = Processor::load(&dir.join("model"))?;
    let golden = weights::read(&dir.join("processor.safetensors"))?;
    let images = (0..pictures(&golden))
        .map(|i| Ok(Arc::new(processor.image(&picture(dir, &format!("img{i}.png"))?)?)))
        .collect::<Result<Vec<_>, OpError>>()?;
    let film = Arc::new(video(dir, &processor, &golden)?);
    let counts: Vec<i64> = images.iter().map(|p| processor.tokens(p)).collect();

    let content = vec![Part::Image, Part::Image, Part::Text("a".into()), Part::Image];
    let text = render(&[Message { role: "user".into(), content }], true);
    let ours = tokenizer.ids(&expand(&text, &counts, &[])?)?;
    rows.equal("processor.three.input_ids", &ours, &tensor_ints(&take(&golden, "three.input_ids")?));

    let cases = json(&dir.join("encode.json"))?["sft_encode"].as_array().cloned().unwrap_or_default();
    let plain: Vec<_> =
        cases.iter().filter(|c| c["options"].as_object().is_some_and(serde_json::Map::is_empty)).collect();
    let mut samples = Vec::new();
    for (i, case) in plain.iter().enumerate() {
        let messages: Vec<(String, String)> =
            serde_json::from_value::<Vec<std::collections::BTreeMap<String, String>>>(case["messages"].clone())?
                .into_iter()
                .map(|m| (m["role"].clone(), m["content"].clone()))
                .collect();
        let named = |key: &str| case[key].as_array().into_iter().flatten().filter_map(Json::as_str);
        let numbers = named("images").filter_map(|name| name.strip_prefix("img")?.strip_suffix(".png")?.parse().ok());
        let shown: Vec<usize> = numbers.collect();
        let pictures: Vec<Arc<Pixels>> = shown.iter().map(|&i| Arc::clone(&images[i])).collect();
        let shown: Vec<i64> = shown.iter().map(|&i| counts[i]).collect();
        let videos: Vec<Arc<Pixels>> = named("video").next().map(|_| Arc::clone(&film)).into_iter().collect();
        let video_counts: Vec<i64> = videos.iter().map(|v| processor.tokens(v)).collect();
        let encoded = encode_sft(&tokenizer, &messages, &shown, &video_counts, &SftOptions::default())?;
        samples.push(Sample {
            name: i.to_string(),
            ids: encoded.ids,
            labels: encoded.labels,
            images: pictures,
            videos,
            teaches: false,
        });
    }
    let batches = weights::read(&dir.join("batch.safetensors"))?;
    for k in 0..2 {
        let batch = collate(&model.config, &[&samples[2 * k], &samples[2 * k + 1]], Padding::right(tokenizer.pad_id))?;
        let get = |name: &str| take(&batches, &format!("mb{k}.{name}"));
        for (name, ours) in [
            ("input_ids", &batch.input_ids),
            ("attention_mask", &batch.attention_mask),
            ("labels", &batch.labels),
            ("position_ids", &batch.position_ids),
        ] {
            rows.close(&format!("batch.mb{k}.{name}"), ours, &get(name)?, 0.0, 0.0);
        }
        rows.equal(&format!("batch.mb{k}.rope_deltas"), &batch.rope_deltas, &tensor_ints(&get("rope_deltas")?));
    }
    replies(&mut rows, dir, &model, &tokenizer, &samples)?;
    Ok(rows)
}

fn replies(
    rows: &mut Rows,
    dir: &Path,
    model: &QwenVl,
    tokenizer: &Tokenizer,
    samples: &[Sample],
) -> Result<(), OpError> {
    let golden = json(&dir.join("generate.json"))?;
    for (name, numbers) in
        [("image", vec![0]), ("text", vec![2]), ("video", vec![3]), ("batch_left_padded", vec![0, 2, 1])]
    {
        let case = &golden[name];
        let mut prompts = Vec::new();
        for (row, &number) in numbers.iter().enumerate() {
            let mask = ints(&case["attention_mask"][row]);
            let ids: Vec<i64> = ints(&case["prompt_ids"][row])
                .into_iter()
                .zip(mask)
                .filter(|(_, m)| *m == 1)
                .map(|(id, _)| id)
                .collect();
            prompts.push(Sample { labels: vec![IGNORE; ids.len()], ids, ..samples[number].clone() });
        }
        let wanted: Vec<Vec<i64>> = serde_json::from_value(case["new_tokens"].clone())?;
        let most = wanted.iter().map(Vec::len).max().unwrap_or(0);
        let greedy = Decoding::greedy(most, Vec::new(), tokenizer.pad_id);
        let ours: Vec<Vec<i64>> = generate(model, &prompts, &greedy, |_| ())?.into_iter().map(|r| r.ids).collect();
        rows.equal(&format!("generate.{name}"), &ours, &wanted);
        if name == "image" {
            step_logits(rows, dir, model, &prompts[0], &wanted[0])?;
            options(rows, model, &prompts[0], &wanted[0])?;
        }
    }
    Ok(())
}

fn step_logits(rows: &mut Rows, dir: &Path, model: &QwenVl, prompt: &Sample, tokens: &[i64]) -> Result<(), OpError> {
    let golden = take(&weights::read(&dir.join("generate.safetensors"))?, "image.step_logits")?;
    let steps = golden.size()[0];
    let batch = collate(&model.config, &[prompt], Padding::left(0))?;
    let (mut cache, hidden) = KvCache::prefill(model, &batch, steps)?;
    let mut all = vec![hidden];
    for &token in &tokens[..steps as usize - 1] {
        all.push(cache.extend(model, &Tensor::from_slice(&[token]).view([1, 1])).select(1, 0));
    }
    rows.close("generate.image.step_logits", &no_grad(|| model.logits(&Tensor::cat(&all, 0))), &golden, 1e-4, 0.0);
    Ok(())
}

/// Scoring continuations with a shared prompt must equal one forward over prompt and continuation.
fn options(rows: &mut Rows, model: &QwenVl, prompt: &Sample, tokens: &[i64]) -> Result<(), OpError> {
    let options = [tokens[..5].to_vec(), tokens[5..8].to_vec(), tokens[8..9].to_vec()];
    let (mut ours, mut whole) = (Vec::new(), Vec::new());
    for (option, scored) in options.iter().zip(score_options(model, prompt, &options)?) {
        ours.extend(scored.tokens);
        let mut sample = prompt.clone();
        sample.ids.extend(option);
        sample.labels = vec![IGNORE; sample.ids.len()];
        let batch = collate(&model.config, &[&sample], Padding::left(0))?;
        let hidden = no_grad(|| model.forward_hidden(&batch))?.get(0);
        let start = prompt.ids.len() as i64 - 1;
        let logps = crate::model::reply::log_probabilities(model, &hidden.narrow(0, start, option.len() as i64));
        whole.extend(option.iter().enumerate().map(|(i, &id)| logps.double_value(&[i as i64, id])));
    }
    rows.close(
        "score_options (shared prompt = whole)",
        &Tensor::from_slice(&ours),
        &Tensor::from_slice(&whole),
        1e-5,
        1e-5,
    );
    Ok(())
}
