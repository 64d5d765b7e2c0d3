//! `data.as_sft`: preference pairs as rows for supervised training.

use std::sync::Arc;

use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static AS_SFT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Makes rows for supervised training of preference pairs: the prompt becomes the instruction, one of the answers the output.
op data.as_sft(
  pairs: Dataset[{ prompt: Str, chosen: Str, rejected: Str, ..r }],
  ## The answer to learn.
  answer: Col = .chosen,
) -> Dataset[{ prompt: Str, chosen: Str, rejected: Str, instruction: Str, output: Str, ..r }]"#,
        effect: Effect::RowMap,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    answer: String,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    rows::each(cx, "pairs", |_, pairs| {
        let (prompt, answer) = (Arc::clone(pairs.column("prompt")?), Arc::clone(pairs.column(&args.answer)?));
        pairs.with_column("instruction", prompt)?.with_column("output", answer)
    })
}
