//! `filter.reward`: rows by the score of a reward model.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Looks, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static REWARD: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps rows by the raw score of a multimodal reward model: its value head at the last token of the whole conversation.
## Scores are comparable for one prompt only; `top(n)` over different prompts ranks them nevertheless, as the field does.
op filter.reward(
  d: Dataset[{ ..r }],
  ## The reward model.
  by: Model[reward],
  ## What the user says, joined with newlines.
  prompt: Cols = [.instruction, .input],
  ## What the model said.
  reply: Col = .output,
  ## A range of scores, or `top(n)`.
  keep: Keep[Float],
  ## `top` takes its rows in equal shares from every group of rows that agree on these columns.
  within: Cols = [],
) -> Dataset[{ reward: Float, ..r }]"#,
        version: 2,
        takes_where: true,
        class: Class::Numeric,
        pool: Pool::Engine,
        shows_media: true,
        looks: Looks::At(&["system", "images", "image", "video"]),
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    prompt: Vec<String>,
    reply: String,
    #[serde(flatten)]
    selection: super::scored::Selection,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use crate::model::RewardHead;
    use crate::train::encoder::Limits;
    use crate::train::rows::{Columns, read};
    use crate::train::scorer::Scorer;

    let args: Args = cx.args()?;
    let table = cx.table("d")?;
    let folder = cx.folder_of(cx.input("by")?, "model")?;
    let head = RewardHead::load(&folder, tch::Device::Cpu)?;
    let scorer = Scorer::open(&folder, Limits::default(), cx.threads)?;
    let prompt: Vec<&str> = args.prompt.iter().map(String::as_str).collect();
    let rows = read(&table, &Columns::of(prompt, vec![&args.reply]))?;
    let total = table.rows() as u64;
    super::scored::keep(cx, &table, "reward", &args.selection, super::scored::Best::Highest, None, |cx, chosen| {
        let rows: Vec<_> = chosen.iter().map(|&i| rows[i].clone()).collect();
        let scored = scorer.rewards(&head, &rows, cx.store, &|done| cx.progress(done as u64, total, "rows"))?;
        Ok(scored.into_iter().map(|row| row.and_then(|v| v.first().copied().ok_or("no reply".to_owned()))).collect())
    })
}
