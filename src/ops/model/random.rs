//! `model.random`: a model with fresh weights.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Effect, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static RANDOM: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## A Qwen2.5-VL with fresh weights, as `transformers` initialises it: matrices from N(0, d²) where d is `initializer_range` of the
## config (0.02 if it names none), norms 1, biases 0.
op model.random(
  ## A `config.json`: its path relative to the recipe, or its text. Vocabulary size and special ids come from the tokenizer where
  ## the config leaves them out.
  config: Str,
  ## Folder with tokenizer.json and its companions: a path, or the result of `train.tokenizer`.
  tokenizer: Str | File,
  ## Type of the weights.
  dtype: enum { f32, bf16 } = "f32",
) -> Model"#,
        class: Class::Sampled,
        effect: Effect::Source,
        pool: Pool::Engine,
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    config: String,
    tokenizer: serde_json::Value,
    dtype: String,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use crate::engine::{Kind as ArtifactKind, Output};
    use crate::model::{Config, QwenVl};
    use serde_json::{Value as Json, json};
    use tch::{Device, Kind};

    let args: Args = cx.args()?;
    let tokenizer = match &args.tokenizer {
        Json::String(path) => cx.folder.join(path),
        _ => cx.folder_of(cx.input("tokenizer")?, "tokenizer")?,
    };
    let text = if args.config.trim_start().starts_with('{') {
        args.config.clone()
    } else {
        let path = cx.folder.join(&args.config);
        std::fs::read_to_string(&path).map_err(|e| OpError::new("E0501", format!("{}: {e}", path.display())))?
    };
    let mut config: Json = serde_json::from_str(&text).map_err(|e| OpError::new("E0503", format!("config: {e}")))?;
    let loaded = tokenizers::Tokenizer::from_file(tokenizer.join("tokenizer.json"))
        .map_err(|e| OpError::new("E0501", format!("{}: {e}", tokenizer.join("tokenizer.json").display())))?;
    fill(&mut config, &loaded)?;
    let kind = if args.dtype == "bf16" { Kind::BFloat16 } else { Kind::Float };
    let model = QwenVl::random(Config::from_json(&config)?, Device::Cpu, kind, cx.seed as i64);

    let source = cx.scratch.join("source");
    std::fs::create_dir_all(&source)?;
    for entry in std::fs::read_dir(&tokenizer)? {
        let entry = entry?;
        if entry.path().is_file() {
            std::fs::copy(entry.path(), source.join(entry.file_name()))?;
        }
    }
    let eos = loaded.token_to_id("<|im_end|>");
    let pad = loaded.token_to_id("<|endoftext|>");
    let generation = json!({ "eos_token_id": [eos, pad], "pad_token_id": pad, "do_sample": false });
    let processor = json!({
        "min_pixels": 3136, "max_pixels": 12_845_056, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
        "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73], "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
        "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor",
    });
    for (name, value) in
        [("config.json", &config), ("generation_config.json", &generation), ("preprocessor_config.json", &processor)]
    {
        let path = source.join(name);
        if name == "config.json" || !path.exists() {
            std::fs::write(path, serde_json::to_vec_pretty(value)?)?;
        }
    }
    model.save(&cx.scratch.join("model"), &source)?;
    cx.counts.insert("parameters".into(), model.params.counts().0 as u64);
    let meta = json!({ "family": "qwen2_5_vl", "coord_space": "auto", "parameters": model.params.counts().0 });
    Ok(vec![(String::new(), Output::Folder { kind: ArtifactKind::Model, meta, path: "model".into(), attached: None })])
}

/// Sets what the config leaves out and the tokenizer knows: vocabulary size (a multiple of 64) and special ids.
#[cfg(feature = "torch")]
fn fill(config: &mut serde_json::Value, tokenizer: &tokenizers::Tokenizer) -> Result<(), OpError> {
    let Some(map) = config.as_object_mut() else {
        return Err(OpError::new("E0503", "config: not a JSON object"));
    };
    let ids = tokenizer.get_vocab_size(true);
    let given = map.get("text_config").and_then(|t| t.get("vocab_size")).or_else(|| map.get("vocab_size"));
    match given.and_then(serde_json::Value::as_u64) {
        Some(rows) if (rows as usize) < ids => {
            return Err(OpError::new(
                "E0503",
                format!("config: vocab_size {rows} is less than the tokenizer's {ids} ids"),
            ));
        }
        Some(_) => {}
        None => {
            map.insert("vocab_size".into(), ids.next_multiple_of(64).into());
        }
    }
    let named = [
        ("bos_token_id", "<|endoftext|>"),
        ("eos_token_id", "<|im_end|>"),
        ("vision_start_token_id", "<|vision_start|>"),
        ("vision_end_token_id", "<|vision_end|>"),
        ("vision_token_id", "<|vision_pad|>"),
        ("image_token_id", "<|image_pad|>"),
        ("video_token_id", "<|video_pad|>"),
    ];
    for (key, token) in named {
        let known = tokenizer.token_to_id(token);
        if let (false, Some(id)) = (map.contains_key(key), known) {
            map.insert(key.into(), id.into());
        }
    }
    Ok(())
}
