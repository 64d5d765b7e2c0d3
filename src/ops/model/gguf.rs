//! `model.gguf`: a model from a GGUF file.

use std::path::Path;

use safetensors::Dtype;
use serde_json::{Value as Json, json};

use super::{folder, unpacked};
use crate::base::OpError;
use crate::data::formats::gguf::Gguf;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static GGUF: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## A language model from a GGUF file of llama.cpp: its packed weights are unpacked to plain numbers, which can be trained on. They are
## what the packing left of them, not the numbers that the model was published with. Families `llama` and `qwen2`.
op model.gguf(
  ## The file, relative to the recipe.
  path: Str,
  ## Folder with tokenizer.json; the file's own tokenizer if absent.
  tokenizer: Str? = none,
  ## Type of the unpacked weights.
  dtype: enum { f16, bf16, f32 } = "f16",
) -> Model"#,
        effect: Effect::Source,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    path: String,
    tokenizer: Option<String>,
    dtype: String,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let tokenizer = args.tokenizer.map(|t| cx.folder.join(t));
    if let Some(tokenizer) = tokenizer.as_ref().filter(|t| !t.join("tokenizer.json").is_file()) {
        return Err(OpError::new("E0501", format!("{} has no tokenizer.json", tokenizer.display())));
    }
    let dtype = match args.dtype.as_str() {
        "bf16" => Dtype::BF16,
        "f32" => Dtype::F32,
        _ => Dtype::F16,
    };
    take(cx, &cx.folder.join(&args.path), tokenizer.as_deref(), dtype, json!({}))
}

/// Unpacks a file and takes the model into the store.
///
/// # Errors
/// As [`Gguf::open`] and [`unpacked::write`].
pub fn take(cx: &Context, path: &Path, tokenizer: Option<&Path>, dtype: Dtype, meta: Json) -> Result<Outputs, OpError> {
    let folder = cx.scratch.join("model");
    unpacked::write(&Gguf::open(path)?, &folder, tokenizer, dtype)?;
    folder::take(cx, &folder, meta)
}
