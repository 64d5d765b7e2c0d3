//! Tokenizer, chat text, LLaMA-Factory encodings and size rules against the goldens.

use std::path::Path;

use serde_json::Value as Json;

use super::compare::Rows;
use super::forward::json;
use crate::base::OpError;
use crate::model::Tokenizer;
use crate::model::encode::{SftOptions, encode_sft, infer_lengths};
use crate::model::processor::{PixelLimits, regular_sizes, smart_resize};
use crate::model::template::{Message, Part, render};

/// Runs these checks.
pub(super) fn check(dir: &Path) -> Result<Rows, OpError> {
    let mut rows = Rows::default();
    let tokenizer = Tokenizer::load(&dir.join("model"))?;
    let golden = json(&dir.join("encode.json"))?;
    let cases = |key: &str| golden[key].as_array().cloned().unwrap_or_default();
    let (mut ids, mut wanted) = (Vec::new(), Vec::new());
    for case in cases("tokenize") {
        let ours = tokenizer.ids(&text(&case["text"]))?;
        ids.push((ours.clone(), tokenizer.text(&ours, false)?));
        wanted.push((ints(&case["ids"]), text(&case["decoded"])));
    }
    rows.equal("tokenize", &ids, &wanted);

    let (mut ours, mut wanted) = (Vec::new(), Vec::new());
    for case in cases("chat_template") {
        let messages: Vec<Message> = case["messages"].as_array().into_iter().flatten().map(message).collect();
        ours.push(render(&messages, case["add_generation_prompt"].as_bool().unwrap_or(false)));
        wanted.push(text(&case["text"]));
    }
    rows.equal("chat_template", &ours, &wanted);

    for (i, case) in cases("sft_encode").iter().enumerate() {
        let messages: Vec<(String, String)> = case["messages"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|m| (text(&m["role"]), text(&m["content"])))
            .collect();
        let given = &case["options"];
        let options = SftOptions {
            cutoff: given["cutoff"].as_u64().map_or(usize::MAX, |c| c as usize),
            mask_history: given["mask_history"].as_bool().unwrap_or(false),
            train_on_prompt: given["train_on_prompt"].as_bool().unwrap_or(false),
            system: given["system"].as_str().map(str::to_owned),
        };
        let counts = |key: &str| ints(&case["expanded_counts"][key]);
        let encoded = encode_sft(&tokenizer, &messages, &counts("image"), &counts("video"), &options)?;
        rows.equal(
            &format!("sft_encode.{i}"),
            &(encoded.ids, encoded.labels),
            &(ints(&case["input_ids"]), ints(&case["labels"])),
        );
    }
    tables(&mut rows, dir)?;
    Ok(rows)
}

fn tables(rows: &mut Rows, dir: &Path) -> Result<(), OpError> {
    let golden = json(&dir.join("tables.json"))?;
    let table =
        |name: &str| -> Vec<Vec<i64>> { serde_json::from_value(golden[name]["rows"].clone()).unwrap_or_default() };
    let fixed = |name: &str, width: usize, rule: &dyn Fn(&[usize]) -> (i64, i64)| {
        let golden = table(name);
        let ours: Vec<Vec<i64>> = golden
            .iter()
            .map(|row| {
                let given: Vec<usize> = row[..width].iter().map(|&x| x as usize).collect();
                let (a, b) = rule(&given);
                row[..width].iter().copied().chain([a, b]).collect()
            })
            .collect();
        (ours, golden)
    };
    let pair = |size: Result<(usize, usize), OpError>| size.map_or((-1, -1), |(a, b)| (a as i64, b as i64));
    let (ours, golden) = fixed("smart_resize", 5, &|r| pair(smart_resize(r[0], r[1], r[2], r[3], r[4])));
    rows.equal("tables.smart_resize", &ours, &golden);
    let (ours, golden) = fixed("lf_regularize_size", 4, &|r| {
        pair(regular_sizes(r[0], r[1], PixelLimits { max: r[2], min: r[3] }).map(|sizes| sizes[4]))
    });
    rows.equal("tables.lf_regularize_size", &ours, &golden);
    let (ours, golden) = fixed("lf_infer_seqlen", 3, &|r| pair(Ok(infer_lengths(r[0], r[1], r[2]))));
    rows.equal("tables.lf_infer_seqlen", &ours, &golden);
    Ok(())
}

/// Reads a message whose content is text or a list of typed parts.
pub(super) fn message(json: &Json) -> Message {
    let role = text(&json["role"]);
    let Some(parts) = json["content"].as_array() else { return Message::text(&role, &text(&json["content"])) };
    let content = parts
        .iter()
        .map(|p| match p["type"].as_str() {
            Some("image") => Part::Image,
            Some("video") => Part::Video,
            _ => Part::Text(text(&p["text"])),
        })
        .collect();
    Message { role, content }
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or("").to_owned()
}

/// Reads a list of integers.
pub(super) fn ints(json: &Json) -> Vec<i64> {
    serde_json::from_value(json.clone()).unwrap_or_default()
}
