//! Tiny random models in Hugging Face layout, written without the tensor library: a Qwen2.5-VL, the same with a value head, a BERT.

use std::collections::BTreeMap;
use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Map, Value as Json, json};

use crate::base::OpError;
use crate::plan::memory::shape::{self, Weights};
use crate::plan::{Graph, NodeId};

/// Names in the order of their ids, after the 256 bytes.
const SPECIAL: [&str; 8] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
];
/// Width of both towers, and of the encoder.
const WIDTH: u64 = 48;
/// Arguments that take an encoder of texts.
const ENCODERS: [&str; 2] = ["embed", "e"];

/// Says whether a model encodes texts, by who reads it.
pub(super) fn is_encoder(graph: &Graph, id: NodeId) -> bool {
    let mut readers = graph.dag.node_weights().filter_map(|n| Some((n, n.inputs.iter().find(|i| i.node == id)?)));
    readers.any(|(node, input)| ENCODERS.contains(&input.slot.as_str()) || node.op.starts_with("embed."))
}

/// Writes a model and says what it is.
pub(super) fn write(folder: &Path, encoder: bool, reward: bool) -> Result<String, OpError> {
    std::fs::create_dir_all(folder)?;
    let json = |name: &str, value: Json| std::fs::write(folder.join(name), value.to_string());
    json("tokenizer.json", tokenizer())?;
    json(
        "tokenizer_config.json",
        json!({ "pad_token": SPECIAL[0], "eos_token": SPECIAL[2], "model_max_length": 4096 }),
    )?;
    let mut noise = ChaCha8Rng::seed_from_u64(7);
    let (config, weights) = if encoder { bert() } else { qwen()? };
    json("config.json", config)?;
    save(&folder.join("model.safetensors"), &weights, &mut noise)?;
    if encoder {
        return Ok("a tiny random encoder".to_owned());
    }
    json("generation_config.json", json!({ "do_sample": false }))?;
    json(
        "preprocessor_config.json",
        json!({ "min_pixels": 3136, "max_pixels": 12_845_056, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2 }),
    )?;
    if !reward {
        return Ok("a tiny random model".to_owned());
    }
    let head = Weights::from([
        ("v_head.summary.weight".to_owned(), vec![1, WIDTH]),
        ("v_head.summary.bias".to_owned(), vec![1]),
    ]);
    save(&folder.join("value_head.safetensors"), &head, &mut noise)?;
    Ok("a tiny random reward model".to_owned())
}

fn id(name: &str) -> usize {
    256 + SPECIAL.iter().position(|s| *s == name).unwrap_or(0)
}

fn qwen() -> Result<(Json, Weights), OpError> {
    let config = json!({
        "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl", "hidden_size": WIDTH, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 1, "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "rope_scaling": { "type": "mrope", "mrope_section": [2, 3, 3] }, "max_position_embeddings": 131_072,
        "tie_word_embeddings": true, "torch_dtype": "float32", "vocab_size": 256 + SPECIAL.len(), "initializer_range": 0.02,
        "bos_token_id": id("<|endoftext|>"), "eos_token_id": id("<|im_end|>"), "vision_start_token_id": id("<|vision_start|>"),
        "vision_end_token_id": id("<|vision_end|>"), "vision_token_id": id("<|vision_pad|>"), "image_token_id": id("<|image_pad|>"),
        "video_token_id": id("<|video_pad|>"),
        "vision_config": {
            "model_type": "qwen2_5_vl", "depth": 2, "hidden_size": WIDTH, "intermediate_size": 96, "num_heads": 3, "in_chans": 3, "patch_size": 14,
            "temporal_patch_size": 2, "spatial_merge_size": 2, "window_size": 112, "fullatt_block_indexes": [1], "tokens_per_second": 2,
            "hidden_act": "silu", "out_hidden_size": WIDTH,
        },
    });
    let mut weights = shape::by_config(&config).ok_or_else(|| OpError::new("E0612", "the tiny model has no shape"))?;
    // As the hub has it: a convolution's kernel.
    if let Some(kernel) = weights.get_mut("visual.patch_embed.proj.weight") {
        *kernel = vec![WIDTH, 3, 2, 14, 14];
    }
    Ok((config, weights))
}

fn bert() -> (Json, Weights) {
    let vocab = 256 + SPECIAL.len() as u64;
    let config = json!({
        "architectures": ["BertModel"], "model_type": "bert", "hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 1,
        "num_attention_heads": 3, "max_position_embeddings": 512, "type_vocab_size": 2, "vocab_size": vocab, "pad_token_id": id("<|endoftext|>"),
        "layer_norm_eps": 1e-12, "hidden_act": "gelu",
    });
    let mut out = Weights::new();
    let mut add = |name: &str, shape: &[u64]| {
        out.insert(name.to_owned(), shape.to_vec());
    };
    add("embeddings.word_embeddings.weight", &[vocab, WIDTH]);
    add("embeddings.position_embeddings.weight", &[512, WIDTH]);
    add("embeddings.token_type_embeddings.weight", &[2, WIDTH]);
    let mut pair = |name: &str, shape: &[u64]| {
        add(&format!("{name}.weight"), shape);
        add(&format!("{name}.bias"), &shape[..1]);
    };
    pair("embeddings.LayerNorm", &[WIDTH]);
    for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
        pair(&format!("encoder.layer.0.{name}"), &[WIDTH, WIDTH]);
    }
    pair("encoder.layer.0.attention.output.LayerNorm", &[WIDTH]);
    pair("encoder.layer.0.intermediate.dense", &[96, WIDTH]);
    pair("encoder.layer.0.output.dense", &[WIDTH, 96]);
    pair("encoder.layer.0.output.LayerNorm", &[WIDTH]);
    (config, out)
}

/// Writes weights in f32: norms 1, biases 0, the rest evenly from -0.05 to 0.05.
fn save(path: &Path, weights: &Weights, noise: &mut ChaCha8Rng) -> Result<(), OpError> {
    let (mut header, mut bytes) = (Map::new(), Vec::new());
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    for (name, shape) in weights {
        let start = bytes.len();
        for _ in 0..shape.iter().product::<u64>() {
            let value = match (shape.len(), name.ends_with(".bias")) {
                (1, true) => 0.0,
                (1, false) => 1.0,
                _ => (noise.next_u32() as f32 / u32::MAX as f32 - 0.5) * 0.1,
            };
            bytes.extend(value.to_le_bytes());
        }
        header.insert(name.clone(), json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, bytes.len()] }));
    }
    let mut head = Json::from(header).to_string();
    while head.len() % 8 != 0 {
        head.push(' ');
    }
    let mut file = (head.len() as u64).to_le_bytes().to_vec();
    file.extend(head.as_bytes());
    file.extend(bytes);
    std::fs::write(path, file)?;
    Ok(())
}

/// One token for each byte, and the special ones.
fn tokenizer() -> Json {
    // The letters that stand for bytes in byte-level vocabularies: printable ones for themselves, the others from U+0100 on.
    let printable = |b: u32| (33..=126).contains(&b) || (161..=172).contains(&b) || (174..=255).contains(&b);
    let mut next = 256;
    let mut vocab: BTreeMap<String, usize> = BTreeMap::new();
    for byte in 0..256_u32 {
        let letter = if printable(byte) { byte } else { next };
        next += u32::from(letter == next);
        vocab.insert(char::from_u32(letter).map(String::from).unwrap_or_default(), byte as usize);
    }
    let added = |name: &&str| {
        json!({
            "id": id(name), "content": name, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    let level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": SPECIAL.iter().map(added).collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": level, "post_processor": null, "decoder": level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": [],
        },
    })
}
