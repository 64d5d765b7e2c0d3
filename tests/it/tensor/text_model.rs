//! Decoders of text, Llama and Qwen2, against transformers: logits, greedy replies, chat templates.

use std::path::{Path, PathBuf};

use rbpipe::model::chat::Turn;
use rbpipe::model::collate::{IGNORE, Padding, Sample, collate};
use rbpipe::model::encode::{SftOptions, encode_sft};
use rbpipe::model::{Config, Decoding, QwenVl, Tokenizer, generate, weights};
use serde_json::{Value as Json, json};
use tch::{Device, Kind, Tensor, no_grad};

/// Llama with stretched frequencies, Qwen2 with tied embeddings, Llama with plain ones.
const NAMES: [&str; 3] = ["llama", "qwen2", "plain"];

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/text")
}

fn model(folder: &Path) -> QwenVl {
    rbpipe::model::set_threads(1);
    QwenVl::load(folder, Device::Cpu, Kind::Float).unwrap()
}

fn prompt(ids: &[i64]) -> Sample {
    Sample { name: "p".into(), ids: ids.to_vec(), labels: vec![IGNORE; ids.len()], ..Sample::default() }
}

fn logits(model: &QwenVl, ids: &[i64]) -> Tensor {
    let batch = collate(&model.config, &[&prompt(ids)], Padding::right(0)).unwrap();
    no_grad(|| model.logits(&model.forward_hidden(&batch).unwrap()).get(0).narrow(0, 0, ids.len() as i64))
}

#[test]
fn logits_and_greedy_replies_are_those_of_transformers() {
    for name in NAMES {
        let model = model(&goldens().join(name));
        let golden = weights::read(&goldens().join(format!("{name}.safetensors"))).unwrap();
        let ids = Vec::<i64>::try_from(&golden["ids"]).unwrap();
        let far = (logits(&model, &ids) - &golden["logits"]).abs().max().double_value(&[]);
        assert!(far < 1e-4, "{name}: logits are {far} off");
        let reply = generate(&model, &[prompt(&ids)], &Decoding::greedy(12, Vec::new(), 0), |_| {}).unwrap();
        assert_eq!(reply[0].ids, Vec::<i64>::try_from(&golden["greedy"]).unwrap(), "{name}");
        let again = tempfile::tempdir().unwrap();
        model.save(again.path(), &goldens().join(name)).unwrap();
        let same = logits(&self::model(again.path()), &ids);
        assert!(same.equal(&logits(&model, &ids)), "{name}: saved and loaded, it says something else");
    }
}

#[test]
fn conversations_read_as_the_model_was_taught() {
    for name in NAMES {
        let folder = goldens().join(name);
        let tokenizer = Tokenizer::load(&folder).unwrap();
        let chat = &tokenizer.chat;
        let cases: Vec<Json> = serde_json::from_slice(&std::fs::read(folder.join("chats.json")).unwrap()).unwrap();
        for case in cases {
            let talk: Vec<(String, String)> = serde_json::from_value(case["messages"].clone()).unwrap();
            let system = talk.iter().find(|m| m.0 == "system").map(|m| m.1.as_str());
            let rest: Vec<_> = talk.iter().filter(|m| m.0 != "system").collect();
            let turns: Vec<Turn> = rest
                .chunks(2)
                .map(|pair| Turn { role: "user".into(), text: pair[0].1.clone(), reply: pair[1].1.clone() })
                .collect();
            let mut said = chat.said(system, &turns).unwrap();
            let whole: String = said.iter().flat_map(|s| s.source.iter().chain([&s.target])).cloned().collect();
            assert_eq!(whole, case["whole"], "{name}");
            said.last_mut().unwrap().target.clear();
            let prompt: String = said.iter().flat_map(|s| s.source.iter().chain([&s.target])).cloned().collect();
            assert_eq!(prompt, case["prompt"], "{name}");
            let encoded = encode_sft(&tokenizer, &talk, &[], &[], &SftOptions::default()).unwrap();
            let learned: Vec<i64> = encoded.labels.iter().copied().filter(|l| *l != IGNORE).collect();
            let replies = talk.iter().filter(|m| m.0 == "assistant").map(|m| m.1.clone());
            let close = chat.close().unwrap();
            assert_eq!(
                tokenizer.text(&learned, false).unwrap(),
                replies.map(|r| r + &close).collect::<String>(),
                "{name}"
            );
            assert!(tokenizer.stops.contains(&tokenizer.closing().unwrap().unwrap()), "{name}");
        }
    }
}

#[test]
fn a_template_that_refuses_is_quoted() {
    let chat = Tokenizer::load(&goldens().join("qwen2")).unwrap().chat;
    let turn = Turn { role: "user".into(), text: "!".into(), reply: String::new() };
    let why = chat.said(None, &[turn]).unwrap_err().message;
    assert!(why.contains("refuses the conversation") && why.contains("no shouting"), "{why}");
}

#[test]
fn odd_configurations_are_named() {
    let plain: Json = serde_json::from_slice(&std::fs::read(goldens().join("plain/config.json")).unwrap()).unwrap();
    let why = |key: &str, value: Json| {
        let mut config = plain.clone();
        config[key] = value;
        Config::from_json(&config).unwrap_err().message
    };
    let cases = [
        why("model_type", json!("mamba")),
        why("attention_bias", json!(true)),
        why("use_sliding_window", json!(true)),
        why("head_dim", json!(16)),
        why("num_key_value_heads", json!(3)),
        why("rope_scaling", json!({ "rope_type": "yarn", "factor": 4.0 })),
        why("rope_scaling", json!({ "rope_type": "llama3", "factor": 4.0 })),
        why("num_attention_heads", json!(0)),
    ];
    insta::assert_snapshot!(cases.join("\n"), @"
    config.json: `model_type` is `mamba`; known are `qwen2_5_vl`, `qwen2` and `llama`
    config.json: `attention_bias` is true, which is not supported
    config.json: `use_sliding_window` is true, which is not supported
    config.json: `head_dim` is 16, and 4 heads of it are not hidden_size 32
    config.json: `num_attention_heads` 4 does not divide 32 or is no multiple of num_key_value_heads 3
    config.json: `rope_scaling` is of type `yarn`; `default` and `llama3` are supported
    config.json: `rope_scaling.low_freq_factor` is missing
    config.json: `head_dim` is 8, and 0 heads of it are not hidden_size 32
    ");
}
