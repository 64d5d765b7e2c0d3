//! `train.sft`: supervised fine-tuning.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Effect, OpSpec, Pool};
use crate::torch_run;

use super::signature::{WITH, shared};

/// The operator.
pub static SFT: Builtin = Builtin {
    spec: OpSpec {
        signature: concat!(
            r#"
## Fine-tunes a vision-language model on instruction and reply; the loss is the cross-entropy of the reply's tokens, in nats.
##
## A row's prompt is `instruction`, then `input` on a new line if there is one; its pictures and video come first unless the text
## places them with `<image>` or `<video>`. Rows of `messages` (`role` system, user, assistant or tool, and `content`) are whole
## conversations, and every assistant's reply is learned. Reads `images` or `image`, `video`, `system` where the rows have them. The result holds
## the model in Hugging Face layout and `training/` with the log in the format of LLaMA-Factory, a richer one, and the loss plot.
## A run that is stopped goes on from its last checkpoint, on a CPU bit for bit.
##
## Source: mission 2; LLaMA-Factory stage sft with template qwen2_vl; transformers 4.57.6 Trainer. See `engine verify`.
op train.sft(
  m: Model,
  ## Rows to learn from.
  data: Dataset[{ instruction: Str, output: Str, ..r } | { messages: [{ role: Str, content: Str, ..any }], ..r }],"#,
            shared!(),
            r#"
  ## Several rows per sequence. Attention and positions stay within each row, so the result is the same.
  packing: Bool = false,
  ## Mean over all labelled tokens of the step; or over the tokens of each row and then over rows, so that a letter weighs as much as a plan;
  ## or per micro-batch and then over micro-batches, as LLaMA-Factory does.
  loss: enum { token_mean, row_mean, micro_mean } = "token_mean",
  ## Rows per micro-batch; needed by `micro_mean`, whose result depends on it.
  per_device: Int? in 1.. = none,
  ## Loss on the last reply of a conversation only; what is too long is cut from its beginning. Rows of instruction and output have
  ## one turn, so nothing changes for them.
  history: Bool = false,
  ## Part of each target spread evenly over the vocabulary.
  smoothing: Float in 0.0..1.0 = 0.0,
  ## Which rows follow each other: any, or up to eight on the same pictures. A step then reads a picture once for all its rows,
  ## which is several times as fast; its rows are less mixed.
  order: enum { rows, pictures } = "rows",
  ## Column with a list of texts, one per image token of the row (28 x 28 pixels, row by row); empty for none. Each image token
  ## then predicts the tokens of its text, in any order, through the ordinary output layer: dense supervision for pre-training.
  cells: Col? = none,
  ## Weight of the mean cross-entropy over the tokens of picture cells.
  cells_weight: Float = 1.0,
  ## Text blocks after which cells are read; all if absent. With tied embeddings, the blocks after it find a named object by
  ## comparing a word with the cells.
  cells_after: Int? = none,
  ## Column with phrases of the prompt, each with a label: `[{ phrase, label }]`; empty for none. The last token of a phrase, where it first
  ## stands after the pictures, then predicts the tokens of its label, in any order, through the output layer. With the names of
  ## objects and the cells that they are in, the model learns early which name means which place.
  phrases: Col? = none,
  ## Weight of the mean cross-entropy over the tokens of labels.
  phrases_weight: Float = 1.0,
  ## Text blocks after which phrases are read, more than `cells_after`; all if absent.
  phrases_after: Int? = none,
) -> Model"#
        ),
        version: 5,
        class: Class::Sampled,
        effect: Effect::Train,
        pool: Pool::Engine,
        with: WITH,
        shows_media: true,
        looks: super::signature::LOOKS,
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    #[serde(flatten)]
    shared: super::arguments::Shared,
    packing: bool,
    loss: String,
    per_device: Option<usize>,
    history: bool,
    smoothing: f64,
    cells: Option<String>,
    cells_weight: f64,
    cells_after: Option<usize>,
    phrases: Option<String>,
    phrases_weight: f64,
    phrases_after: Option<usize>,
    order: String,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use super::session::{Learns, Session};
    use crate::train::rows::Columns;
    use crate::train::sft::{Auxiliary, Scaling, Sft, Weighting};

    let args: Args = cx.args()?;
    args.shared.check()?;
    let scaling = match (args.loss.as_str(), args.per_device) {
        ("micro_mean", Some(rows)) if rows > 0 => Scaling::MicroMean(rows),
        ("micro_mean", _) => {
            return Err(OpError::new("E0211", "loss: \"micro_mean\" needs `per_device`, the rows per micro-batch")
                .help("add `per_device: 4`, or use `loss: \"token_mean\"`, which does not depend on it"));
        }
        ("row_mean", _) => Scaling::RowMean,
        _ => Scaling::TokenMean,
    };
    let learns = if args.history { Learns::LastReplies } else { Learns::Replies };
    let session = Session::open(cx, &args.shared, learns)?;
    let blocks = session.model.blocks.len();
    for (name, after) in [("cells_after", args.cells_after), ("phrases_after", args.phrases_after)] {
        if let Some(after) = after.filter(|after| !(1..=blocks).contains(after)) {
            return Err(OpError::new("E0214", format!("{name}: {after}, but the model has {blocks} text blocks")));
        }
    }
    let columns = Columns { cells: args.cells.as_deref(), phrases: args.phrases.as_deref(), ..Columns::sft() };
    let data = session.sft(cx, &args.shared, &columns)?;
    let objective = Sft {
        config: &session.model.config,
        rows: data.rows,
        held_out: data.held_out,
        gallery: &data.gallery,
        weighting: Weighting {
            scaling,
            smoothing: args.smoothing,
            cells: Auxiliary { weight: args.cells_weight, after: args.cells_after },
            phrases: Auxiliary { weight: args.phrases_weight, after: args.phrases_after },
        },
        by_picture: args.order == "pictures",
        layout: session.layout(cx, args.packing.then_some(args.shared.cutoff)),
        device: session.place.device,
    };
    let per_device = args.per_device.filter(|_| matches!(scaling, Scaling::MicroMean(_))).unwrap_or(1);
    let trained = session.train(cx, &args.shared, per_device, session.held(), &objective)?;
    drop(objective);
    session.publish(cx, trained)
}
