//! `model.server`: a model behind a server that speaks OpenAI's protocol.

use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::engine::{Artifact, Builtin, Context, Kind, Output, Outputs};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static SERVER: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## A model behind a server that speaks OpenAI's protocol (vLLM, SGLang, llama.cpp, Ollama, a hosted one). It can be asked by `eval.run`,
## not trained. Its weights are not seen. What it says of itself is pinned in the lock; other weights of which it says nothing need another `revision`.
op model.server(
  ## `http://HOST:PORT`, with or without `/v1`.
  url: Str,
  ## Name of the model as the server knows it.
  name: Str,
  ## Sent as a bearer token.
  key: Secret? = none,
  ## Any text; another one stands for other weights.
  revision: Str? = none,
  ## How the model writes coordinates.
  coord_space: enum { auto, unit, norm1000, pixel_input, pixel_original } = "auto",
  ## The first coordinate is y.
  coord_order: enum { xy, yx } = "xy",
  ## What each reply begins with, as RoboBrain's `<think></think><answer>`; the model goes on from there. For servers that know
  ## `continue_final_message`, as vLLM and SGLang do.
  prefill: Str? = none,
  ## How it is made to answer. `listed`: by a JSON schema of what a question allows (a letter of its options, yes or no, a number), with a
  ## line that says so; what comes back is checked here too, and replies that do not fit are counted and read as any other.
  answers: enum { free, listed } = "free",
  ## Texts that end a reply, as `</answer>`, beside those of the benchmark.
  stop: [Str] = [],
  ## Money for a million tokens of the question and of the reply: the cost column of tables.
  price: { prompt: Float, reply: Float }? = none,
) -> Model[server]"#,
        version: 2,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    url: String,
    name: String,
    revision: Option<String>,
    coord_space: String,
    coord_order: String,
    prefill: Option<String>,
    answers: String,
    stop: Vec<String>,
    price: Json,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    if !(args.url.starts_with("http://") || args.url.starts_with("https://")) {
        return Err(OpError::new("E0213", format!("`{}` is no URL of a server", args.url))
            .help("write `http://HOST:PORT` or `https://HOST/v1`"));
    }
    let mut meta = json!({
        "family": "server", "url": args.url, "name": args.name, "revision": args.revision, "coord_space": args.coord_space,
        "coord_order": args.coord_order, "price": args.price,
        "prefill": args.prefill, "stop": args.stop, "answers": args.answers,
    });
    if let Some(said) = cx.args.get("$server") {
        meta["says"] = said.clone();
    }
    let artifact = Artifact { kind: Kind::Model, meta, files: Default::default() };
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}
