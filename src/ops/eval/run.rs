//! `eval.run`: a model answers a benchmark, in process or at a server.

use super::args::Args;
use super::served;
use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Class, Effect, OpSpec, Pool};

/// The operator.
pub static RUN: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Asks a model every question of a benchmark and scores the replies. A fused model decides per question whether its expert is
## heard. Failed and unreadable replies score 0 and stay in the denominator. The model runs in the engine's process; `with { serve }`
## starts a server for it (`vllm`, `sglang`, `transformers`), and a `model.server` is asked where it is. Each answer of a server is
## kept, so that a run that was stopped asks nothing twice.
op eval.run(
  m: Model,
  ## The benchmark.
  on: Benchmark,
  ## 0 is greedy.
  temperature: Float in 0.0.. = 0.0,
  top_p: Float in 0.0..1.0 = 1.0,
  ## Default: the benchmark's, else 128.
  max_tokens: Tokens? in 1tok.. = none,
  ## More pictures in one question are an error.
  max_images: Int in 0.. = 32,
  ## Pixels of a picture before the model's own processor.
  pixels: Range[Pixels] = 1_024px..589_824px,
  ## Only the first questions.
  rows: Rows? = none,
  ## For temperatures above 0.
  seed: Int = 0,
  ## How often each question is asked.
  epochs: Int in 1.. = 1,
  ## Also asks for the probability of each option where a question has options: what calibration is measured by. In process one more
  ## pass of the model over each question; of a server the log-probabilities of the first word of its reply.
  confidence: Bool = false,
) -> Score"#,
        version: 5,
        class: Class::Numeric,
        effect: Effect::Score,
        pool: Pool::Engine,
        with: &[
            "serve",
            "gpus",
            "gpu_mem",
            "at_most",
            "spend",
            "money",
            "price_in",
            "price_out",
            "micro_batch",
            "attention",
            "workers",
        ],
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    if args.backend.is_some() { served::run(cx, &args) } else { in_process(cx, &args) }
}

#[cfg(not(feature = "torch"))]
fn in_process(_: &Context, _: &Args) -> Result<Outputs, OpError> {
    Err(OpError::new("E0612", "this build has no tensor engine").help("`rbpipe engine install` builds it"))
}

#[cfg(feature = "torch")]
fn in_process(cx: &mut Context, args: &Args) -> Result<Outputs, OpError> {
    use super::asked::{ask, save};
    use super::local;
    use crate::eval::score;

    let (model, bench, coords, decoding) = args.asked_for(cx)?;
    let folder = cx.folder_of(&model, "model")?;
    let mut speaker = local::open(cx, &model, &folder, (args.pixels.from, args.pixels.to))?;
    let questions = args.rows.unwrap_or(usize::MAX);
    let answers = ask(cx, &bench, speaker.as_mut(), &decoding, &coords, questions, args.epochs, args.max_images)?;
    let scores = score::score(&bench, answers, coords, cx.store)?;
    save(cx, &bench, &scores, &serde_json::json!({ "decoding": decoding }))
}
