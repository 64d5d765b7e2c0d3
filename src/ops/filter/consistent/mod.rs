//! `filter.consistent`: rows by whether their text fits their pictures.

#[cfg(feature = "torch")]
mod clip;
#[cfg(feature = "torch")]
mod labels;
#[cfg(feature = "torch")]
mod model;

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Looks, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static CONSISTENT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps rows by how well a text fits the row's pictures, from 0% to 100%. With a vision-language model in `by`: the geometric mean
## of the probabilities that it gives the text's tokens after the pictures and `given`, in its chat template.
## A row in scope without a picture or video is dropped: there is nothing that its text could fit.
## Sources: Hessel et al. 2021, CLIPScore; Zhai et al. 2023, Sigmoid Loss for Language Image Pre-Training.
op filter.consistent(
  d: Dataset[{ ..r }],
  ## The pictures.
  images: Col,
  ## The text.
  text: Col,
  ## The model that judges.
  by: Model? = none,
  ## model: probability of the text under a vision-language model. clip: an encoder of pictures and texts, the mean over the row's pictures; of SigLIP its
  ## probability that they belong together, of CLIP `2.5·cos`, at most 1; what exceeds its positions (64 or 77 tokens) is cut. labels: the cosine, not
  ## below 0, of the text and the names in `labels` under a sentence encoder; it knows of the pictures only what the names say.
  ## auto: what `by` is made for.
  backend: enum { auto, model, clip, labels } = "auto",
  ## What the user says before the text, joined with newlines; for backend model.
  given: Cols = [],
  ## Names of what the pictures show, a text or a list of them, as annotations or `model.classify` give them; for backend labels.
  labels: Col? = none,
  ## A range of shares, or `top(n)`: the n highest.
  keep: Keep[Ratio] = 30%..,
  ## `top` takes its rows in equal shares from every group of rows that agree on these columns.
  within: Cols = [],
) -> Dataset[{ consistency: Ratio, ..r }]"#,
        version: 2,
        takes_where: true,
        class: Class::Numeric,
        pool: Pool::Engine,
        looks: Looks::At(&["system", "images", "image", "video"]),
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    images: String,
    text: String,
    backend: Backend,
    given: Vec<String>,
    #[serde(default)]
    labels: Option<String>,
    #[serde(flatten)]
    selection: super::scored::Selection,
}

#[cfg(feature = "torch")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Backend {
    Auto,
    Model,
    Clip,
    Labels,
}

/// A score for each chosen row, or why it has none.
#[cfg(feature = "torch")]
type Scores = Vec<Result<f64, String>>;

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use super::scored;

    let args: Args = cx.args()?;
    let backend = backend(cx, args.backend)?;
    let table = cx.table("d")?;
    scored::keep(cx, &table, "consistency", &args.selection, scored::Best::Highest, None, |cx, chosen| match backend {
        Backend::Clip => clip::scores(cx, &args, &table, chosen),
        Backend::Labels => labels::scores(cx, &args, &table, chosen),
        Backend::Auto | Backend::Model => model::scores(cx, &args, &table, chosen),
    })
}

/// Returns what judges: what was asked for, else what the model in `by` is made for.
#[cfg(feature = "torch")]
fn backend(cx: &Context, asked: Backend) -> Result<Backend, OpError> {
    let Some(by) = cx.inputs.get("by") else {
        let (what, such) = match asked {
            Backend::Auto | Backend::Model => ("a vision-language model", "Qwen/Qwen2.5-VL-3B-Instruct"),
            Backend::Clip => ("a CLIP or SigLIP model", "google/siglip-base-patch16-224"),
            Backend::Labels => ("a sentence encoder", "sentence-transformers/all-MiniLM-L6-v2"),
        };
        return Err(OpError::new(
            "E0211",
            format!("filter.consistent judges by {what}, and the argument `by` is missing"),
        )
        .help(format!("give one: `by: model.hf(\"{such}\")`; its weights must be on this machine")));
    };
    Ok(match (asked, by.meta["family"].as_str().unwrap_or("")) {
        (Backend::Auto, "clip" | "siglip") => Backend::Clip,
        (Backend::Auto, "bert" | "roberta" | "xlm-roberta") => Backend::Labels,
        (Backend::Auto, _) => Backend::Model,
        (asked, _) => asked,
    })
}
