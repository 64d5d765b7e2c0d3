//! `eval.run`: a model answers a benchmark, in process.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Effect, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static RUN: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Asks a model every question of a benchmark and scores the replies. A fused model decides per question whether its expert is
## heard. Failed and unreadable replies score 0 and stay in the denominator.
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
) -> Score"#,
        version: 2,
        class: Class::Numeric,
        effect: Effect::Score,
        pool: Pool::Engine,
        with: &["serve", "gpus", "gpu_mem", "at_most", "spend", "micro_batch", "attention", "workers"],
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    temperature: f64,
    top_p: f64,
    max_tokens: Option<u32>,
    max_images: usize,
    pixels: Pixels,
    rows: Option<usize>,
    seed: u64,
    epochs: u32,
}

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Pixels {
    from: Option<u64>,
    to: Option<u64>,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use crate::eval::{Benchmark, Decoding, score};
    use crate::ops::eval::asked::{ask, coords, decoding_of, save};
    use crate::ops::eval::local;

    let args: Args = cx.args()?;
    if let Some(serve) = cx.with["serve"].as_str().filter(|s| *s != "inproc") {
        return Err(OpError::new("E0612", format!("`serve: \"{serve}\"`: asking a server is not there yet"))
            .help("leave `serve` out, or write `serve: \"inproc\"`: the model then runs in the engine's own process"));
    }
    let model = cx.input("m")?.clone();
    let bench = Benchmark::load(cx.store, cx.input("on")?)?;
    let coords = coords(&model.meta, (args.pixels.from.unwrap_or(1), args.pixels.to.unwrap_or(u64::MAX)));
    let (max_tokens, stop) = decoding_of(&bench.declare, args.max_tokens);
    let (temperature, top_p, seed) = (args.temperature, args.top_p, args.seed);
    let decoding = Decoding { max_tokens, temperature, top_p, top_k: 0, seed, stop };
    let folder = cx.folder_of(&model, "model")?;
    let mut speaker = local::open(cx, &model, &folder, (args.pixels.from, args.pixels.to))?;
    let questions = args.rows.unwrap_or(usize::MAX);
    let answers = ask(cx, &bench, speaker.as_mut(), &decoding, &coords, questions, args.epochs, args.max_images)?;
    let scores = score::score(&bench, answers, coords, cx.store)?;
    save(cx, &bench, &scores, &serde_json::json!({ "decoding": decoding }))
}
