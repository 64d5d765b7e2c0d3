//! A GGUF file as a folder in Hugging Face layout: configuration, tokenizer, and weights in a type that is trained on.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, View, serialize_to_file};
use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::data::formats::gguf::{Gguf, Tensor, Value};

/// Writes `config.json`, `model.safetensors`, `tokenizer.json` and its companions to `folder`; the tokenizer's files are copied from
/// `tokenizer` where one is given.
///
/// # Errors
/// `E0503` for an architecture or a tokenizer that is not read, naming it.
pub fn write(file: &Gguf, folder: &Path, tokenizer: Option<&Path>, dtype: Dtype) -> Result<(), OpError> {
    std::fs::create_dir_all(folder)?;
    let shape = Shape::of(file)?;
    save(folder, "config.json", &shape.config(file, dtype))?;
    match tokenizer {
        None => write_tokenizer(file, folder)?,
        Some(other) => {
            for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"] {
                if other.join(name).is_file() {
                    std::fs::copy(other.join(name), folder.join(name))?;
                }
            }
        }
    }
    let failed = OnceLock::new();
    let mut views = Vec::new();
    for (name, tensor) in &file.tensors {
        let hub = hub_name(name).ok_or_else(|| {
            odd(&format!("its tensor `{name}` has no counterpart in a model of family `{}`", shape.family))
        })?;
        let heads = match name.rsplit('.').nth(1) {
            _ if shape.family != "llama" => None,
            Some("attn_q") => Some(shape.heads),
            Some("attn_k") => Some(shape.kv_heads),
            _ => None,
        };
        views.push((hub, Unpacked { file, name, tensor, heads, dtype, failed: &failed }));
    }
    let metadata = Some(HashMap::from([("format".to_owned(), "pt".to_owned())]));
    let path = folder.join("model.safetensors");
    serialize_to_file(views, metadata, &path).map_err(|e| OpError::new("E0612", format!("{}: {e}", path.display())))?;
    failed.into_inner().map_or(Ok(()), Err)
}

/// What a file says of the decoder.
struct Shape {
    family: String,
    heads: usize,
    kv_heads: usize,
}

impl Shape {
    fn of(file: &Gguf) -> Result<Self, OpError> {
        let family = file.text("general.architecture").unwrap_or("").to_owned();
        if !["llama", "qwen2"].contains(&family.as_str()) {
            return Err(odd(&format!("its architecture is `{family}`; `llama` and `qwen2` are read")));
        }
        if file.tensors.contains_key("rope_freqs.weight") {
            return Err(odd("its rotary frequencies are scaled (`rope_freqs.weight`), and GGUF does not say how"));
        }
        let count = |key: &str| {
            let found = file.number(&format!("{family}.{key}")).filter(|n| *n >= 1.0);
            found.map(|n| n as usize).ok_or_else(|| odd(&format!("its metadata has no `{family}.{key}`")))
        };
        let heads = count("attention.head_count")?;
        let kv_heads = count("attention.head_count_kv").unwrap_or(heads);
        if count("embedding_length")? % heads != 0 {
            return Err(odd("its width is no multiple of its attention heads"));
        }
        Ok(Self { heads, kv_heads, family })
    }

    fn config(&self, file: &Gguf, dtype: Dtype) -> Json {
        let family = &self.family;
        let int = |key: &str| file.number(&format!("{family}.{key}")).map(|n| n as u64);
        // The file keeps f32: 1e-5 would else read 9.999999747378752e-6.
        let float =
            |key: &str| file.number(&format!("{family}.{key}")).and_then(|x| (x as f32).to_string().parse().ok());
        let id = |key: &str| file.number(&format!("tokenizer.ggml.{key}_token_id")).map(|n| n as u64);
        let vocab = file.tensors.get("token_embd.weight").map(|t| t.shape[0]);
        let architecture = if family == "llama" { "LlamaForCausalLM" } else { "Qwen2ForCausalLM" };
        json!({
            "architectures": [architecture], "model_type": family, "torch_dtype": dtype_name(dtype),
            "hidden_size": int("embedding_length"), "intermediate_size": int("feed_forward_length"),
            "num_hidden_layers": int("block_count"), "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
            "vocab_size": vocab, "max_position_embeddings": int("context_length"),
            "rms_norm_eps": float("attention.layer_norm_rms_epsilon"), "rope_theta": float("rope.freq_base").unwrap_or(1e4),
            "hidden_act": "silu", "tie_word_embeddings": !file.tensors.contains_key("output.weight"),
            "bos_token_id": id("bos"), "eos_token_id": id("eos"), "pad_token_id": id("padding"),
        })
    }
}

/// Returns the name on the hub of a tensor of GGUF.
fn hub_name(name: &str) -> Option<String> {
    let stem = match name {
        "token_embd.weight" => return Some("model.embed_tokens.weight".into()),
        "output_norm.weight" => return Some("model.norm.weight".into()),
        "output.weight" => return Some("lm_head.weight".into()),
        _ => name.strip_prefix("blk.")?,
    };
    let (block, part) = stem.split_once('.')?;
    let (part, kind) = part.rsplit_once('.')?;
    let hub = match part {
        "attn_norm" => "input_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    };
    Some(format!("model.layers.{block}.{hub}.{kind}"))
}

/// Rebuilds `tokenizer.json` from the tokens and merges of the file, with what says how it is used beside it.
fn write_tokenizer(file: &Gguf, folder: &Path) -> Result<(), OpError> {
    let model = file.text("tokenizer.ggml.model").unwrap_or("");
    if model != "gpt2" {
        return Err(odd(&format!("its tokenizer is of the kind `{model}`; only `gpt2`, byte-level BPE, is rebuilt"))
            .help("name a folder with tokenizer.json: `model.gguf(…, tokenizer: \"./tokenizer\")`"));
    }
    let texts = |key: &str| -> Vec<&str> { file.list(key).iter().filter_map(Value::text).collect() };
    let tokens = texts("tokenizer.ggml.tokens");
    let kinds = file.list("tokenizer.ggml.token_type");
    let (mut vocab, mut added) = (serde_json::Map::new(), Vec::new());
    for (id, token) in tokens.iter().enumerate() {
        vocab.insert((*token).to_owned(), id.into());
        // 3 = control, 4 = added by the model's makers.
        if let Some(Value::Int(kind @ (3 | 4))) = kinds.get(id) {
            added.push(json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                "special": *kind == 3,
            }));
        }
    }
    let merges: Vec<Json> = texts("tokenizer.ggml.merges")
        .iter()
        .filter_map(|pair| pair.split_once(' ').map(|(a, b)| json!([a, b])))
        .collect();
    let (normalizer, before) = splitting(file.text("tokenizer.ggml.pre").unwrap_or(""))?;
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": normalizer,
        "pre_tokenizer": before, "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    });
    save(folder, "tokenizer.json", &tokenizer)?;
    let id = |key: &str| file.number(&format!("tokenizer.ggml.{key}_token_id")).map(|n| n as usize);
    let token = |key: &str| id(key).and_then(|id| tokens.get(id)).copied();
    let settings = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false,
        "model_input_names": ["input_ids", "attention_mask"],
        "bos_token": token("bos"), "eos_token": token("eos"), "pad_token": token("padding"), "unk_token": token("unknown"),
        "chat_template": file.text("tokenizer.chat_template"),
        "model_max_length": file.number(&format!("{}.context_length", file.text("general.architecture").unwrap_or(""))).map(|n| n as u64),
    });
    save(folder, "tokenizer_config.json", &settings)?;
    let generation = json!({ "bos_token_id": id("bos"), "eos_token_id": id("eos"), "pad_token_id": id("padding") });
    save(folder, "generation_config.json", &generation)
}

/// Returns normaliser and pre-tokenizer of a way of splitting text, by the name that llama.cpp gives it.
fn splitting(name: &str) -> Result<(Json, Json), OpError> {
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
    let split = |pattern: &str| {
        let split =
            json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
        json!({ "type": "Sequence", "pretokenizers": [split, bytes] })
    };
    let words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|";
    let rest = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    Ok(match name {
        "smollm" => {
            let digits = json!({ "type": "Digits", "individual_digits": true });
            let bytes =
                json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
            (Json::Null, json!({ "type": "Sequence", "pretokenizers": [digits, bytes] }))
        }
        "qwen2" => (json!({ "type": "NFC" }), split(&format!("{words}\\p{{N}}{rest}"))),
        "llama-bpe" | "llama3" => (Json::Null, split(&format!("{words}\\p{{N}}{{1,3}}{rest}"))),
        "gpt-2" | "default" | "" => (
            Json::Null,
            json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true }),
        ),
        _ => {
            return Err(odd(&format!("its tokenizer splits text the way `{name}`, which is not rebuilt"))
                .help("name a folder with tokenizer.json: `model.gguf(…, tokenizer: \"./tokenizer\")`"));
        }
    })
}

/// A tensor that is unpacked when it is written.
struct Unpacked<'a> {
    file: &'a Gguf,
    name: &'a str,
    tensor: &'a Tensor,
    /// Heads whose rows lie in pairs, as llama.cpp's own rotation wants them.
    heads: Option<usize>,
    dtype: Dtype,
    /// Where it says that it could not be read: a view has no other way to.
    failed: &'a OnceLock<OpError>,
}

impl View for Unpacked<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut numbers = self.file.read(self.name).unwrap_or_else(|e| {
            let _ = self.failed.set(e);
            vec![0.0; self.tensor.len()]
        });
        if let Some(heads) = self.heads {
            numbers = halves(&numbers, heads, self.tensor.shape.iter().skip(1).product());
        }
        let bytes: Vec<u8> = match self.dtype {
            Dtype::BF16 => numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
            Dtype::F16 => numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
            _ => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.tensor.len() * if self.dtype == Dtype::F32 { 4 } else { 2 }
    }
}

/// Brings the rows of each head from pairs (0, k/2, 1, k/2 + 1, …) back into two halves.
fn halves(numbers: &[f32], heads: usize, width: usize) -> Vec<f32> {
    let rows = numbers.len() / width / heads;
    let mut out = Vec::with_capacity(numbers.len());
    for head in numbers.chunks_exact(rows * width) {
        for half in 0..2 {
            out.extend((0..rows / 2).flat_map(|i| &head[(2 * i + half) * width..][..width]));
        }
    }
    out
}

/// Returns the name of a type in `config.json`.
fn dtype_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::BF16 => "bfloat16",
        Dtype::F16 => "float16",
        _ => "float32",
    }
}

fn save(folder: &Path, name: &str, json: &Json) -> Result<(), OpError> {
    Ok(std::fs::write(folder.join(name), serde_json::to_vec_pretty(json)?)?)
}

fn odd(what: &str) -> OpError {
    OpError::new("E0503", format!("the GGUF file cannot be read as a model: {what}"))
}
