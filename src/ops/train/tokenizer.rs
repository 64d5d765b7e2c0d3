//! `train.tokenizer`: a small byte-level BPE tokenizer with Qwen's rules and special tokens.

use std::collections::HashSet;
use std::str::FromStr;

use serde_json::{Value as Json, json};
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::models::{ModelWrapper, TrainerWrapper};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Model, Tokenizer};

use crate::base::OpError;
use crate::data::cell::Cell;
use crate::engine::{Builtin, Context, Kind, Output, Outputs};
use crate::spec::{Effect, Looks, OpSpec};

/// The operator.
pub static TOKENIZER: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Trains a byte-level BPE tokenizer with the rules of Qwen2.5: its split pattern, NFC, single digits, and its 22 special tokens
## as the last ids. The result is a folder in Hugging Face layout that `model.random` takes.
##
## Ties between equally frequent pairs go to the smaller ids, so the same texts give the same tokenizer.
## Source: Sennrich et al. 2016; the trainer of the `tokenizers` crate.
op train.tokenizer(
  d: Dataset[{ ..r }],
  ## Columns whose texts are learned from.
  on: Cols,
  ## Number of ids in all: 256 bytes, merges, 22 special tokens.
  vocab: Int = 4096,
) -> File"#,
        effect: Effect::Reduce,
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: Some(run),
};

/// Qwen's special tokens in the order of their ids; the flag says whether decoding skips them.
pub const SPECIAL: [(&str, bool); 22] = [
    ("<|endoftext|>", true),
    ("<|im_start|>", true),
    ("<|im_end|>", true),
    ("<|object_ref_start|>", true),
    ("<|object_ref_end|>", true),
    ("<|box_start|>", true),
    ("<|box_end|>", true),
    ("<|quad_start|>", true),
    ("<|quad_end|>", true),
    ("<|vision_start|>", true),
    ("<|vision_end|>", true),
    ("<|vision_pad|>", true),
    ("<|image_pad|>", true),
    ("<|video_pad|>", true),
    ("<tool_call>", false),
    ("</tool_call>", false),
    ("<|fim_prefix|>", false),
    ("<|fim_middle|>", false),
    ("<|fim_suffix|>", false),
    ("<|fim_pad|>", false),
    ("<|repo_name|>", false),
    ("<|file_sep|>", false),
];

const SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The chat template of Qwen2.5-VL (Apache-2.0), as its repositories ship it.
pub const CHAT_TEMPLATE: &str = include_str!("chat_template.jinja");

#[derive(serde::Deserialize)]
struct Args {
    on: Vec<String>,
    vocab: usize,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let least = 256 + SPECIAL.len();
    if args.vocab < least {
        let message = format!("vocab: {} is too small: 256 bytes and 22 special tokens need {least} ids", args.vocab);
        return Err(OpError::new("E0214", message));
    }
    let table = cx.table("d")?;
    let columns = args.on.iter().map(|name| table.column(name)).collect::<Result<Vec<_>, _>>()?;
    let mut texts = Vec::with_capacity(table.rows() * columns.len());
    for row in 0..table.rows() {
        texts.extend(columns.iter().map(|c| Cell::read(c.as_ref(), row).text().into_owned()));
    }
    let tokenizer = train(&texts, args.vocab - SPECIAL.len()).map_err(|e| OpError::new("E0612", e.to_string()))?;
    let folder = cx.scratch.join("tokenizer");
    write(&tokenizer, &folder)?;
    cx.counts.insert("texts".into(), texts.len() as u64);
    cx.counts.insert("ids".into(), tokenizer.get_vocab_size(true) as u64);
    let meta = json!({ "what": "tokenizer", "ids": tokenizer.get_vocab_size(true) });
    Ok(vec![(String::new(), Output::Folder { kind: Kind::File, meta, path: "tokenizer".into(), attached: None })])
}

/// Learns `ids` tokens from `texts` and adds the special ones.
pub fn train(texts: &[String], ids: usize) -> tokenizers::Result<Tokenizer> {
    let byte_level = |prefix: bool| json!({ "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": false, "use_regex": false });
    let empty = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": { "type": "NFC" },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": SPLIT }, "behavior": "Isolated", "invert": false },
            byte_level(false),
        ] },
        "post_processor": byte_level(false),
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "vocab": {}, "merges": [] },
    });
    let mut tokenizer = Tokenizer::from_str(&empty.to_string())?;
    let alphabet: HashSet<char> = ByteLevel::alphabet().into_iter().collect();
    let trainer =
        BpeTrainer::builder().vocab_size(ids).min_frequency(2).initial_alphabet(alphabet).show_progress(false).build();
    tokenizer.train(&mut TrainerWrapper::from(trainer), texts.iter())?;
    let tokens: Vec<AddedToken> =
        SPECIAL.iter().map(|&(text, special)| AddedToken::from(text, special).normalized(false)).collect();
    tokenizer.add_tokens(tokens)?;
    Ok(tokenizer)
}

/// Writes the tokenizer with its companions as `transformers` saves them.
pub fn write(tokenizer: &Tokenizer, folder: &std::path::Path) -> Result<(), OpError> {
    std::fs::create_dir_all(folder)?;
    let failed = |e: tokenizers::Error| OpError::new("E0612", format!("{}: {e}", folder.display()));
    tokenizer.save(folder.join("tokenizer.json"), true).map_err(failed)?;
    let model: &ModelWrapper = tokenizer.get_model();
    model.save(folder, None).map_err(failed)?;
    let id = |text: &str| tokenizer.token_to_id(text).unwrap_or_default();
    let decoder: serde_json::Map<String, Json> = SPECIAL
        .iter()
        .map(|&(text, special)| {
            let token = json!({ "content": text, "lstrip": false, "normalized": false, "rstrip": false, "single_word": false, "special": special });
            (id(text).to_string(), token)
        })
        .collect();
    let ids: serde_json::Map<String, Json> =
        SPECIAL.iter().map(|&(text, _)| (text.to_owned(), json!(id(text)))).collect();
    let additional: Vec<&str> = SPECIAL[1..14].iter().map(|s| s.0).collect();
    let config = json!({
        "add_bos_token": false, "add_prefix_space": false, "added_tokens_decoder": decoder, "additional_special_tokens": additional,
        "bos_token": null, "clean_up_tokenization_spaces": false, "eos_token": "<|im_end|>", "errors": "replace",
        "model_max_length": 131_072, "pad_token": "<|endoftext|>", "split_special_tokens": false,
        "tokenizer_class": "Qwen2Tokenizer", "unk_token": null,
    });
    let map =
        json!({ "additional_special_tokens": additional, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>" });
    let pretty = |value: &Json| serde_json::to_vec_pretty(value);
    std::fs::write(folder.join("tokenizer_config.json"), pretty(&config)?)?;
    std::fs::write(folder.join("special_tokens_map.json"), pretty(&map)?)?;
    std::fs::write(folder.join("added_tokens.json"), pretty(&Json::Object(ids))?)?;
    std::fs::write(folder.join("chat_template.jinja"), CHAT_TEMPLATE)?;
    Ok(())
}
