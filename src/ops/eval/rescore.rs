//! `eval.score`: scores replies that are there already; no model is needed.

use std::collections::BTreeMap;

use serde_json::json;

use super::asked::save;
use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::coords::{Coords, Space};
use crate::eval::score::{Answer, score};
use crate::eval::{Benchmark, Reply};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static SCORE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Scores replies that were made elsewhere. Items without a reply count as failed, replies without an item are an error.
op eval.score(
  ## One row per item: its id and the raw reply.
  replies: Dataset[{ id: Str, reply: Str, ..r }],
  on: Benchmark,
  ## How the model wrote coordinates.
  coord_space: enum { auto, unit, norm1000, pixel_input, pixel_original } = "auto",
) -> Score"#,
        version: 3,
        effect: Effect::Score,
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    #[derive(serde::Deserialize)]
    struct Args {
        coord_space: Space,
    }
    let args: Args = cx.args()?;
    let bench = Benchmark::load(cx.store, cx.input("on")?)?;
    let table = cx.table("replies")?;
    let (ids, texts) = (table.strings("id")?.clone(), table.strings("reply")?.clone());
    let mut replies: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (id, text) in ids.iter().zip(&texts) {
        let id = id.unwrap_or_default().to_owned();
        if replies.insert(id.clone(), text.map(str::to_owned)).is_some() {
            return Err(OpError::new("E0302", format!("there are two replies to `{id}`")));
        }
    }
    if let Some(stray) = replies.keys().find(|id| !bench.items.iter().any(|i| i.id == **id)) {
        return Err(OpError::new(
            "E0302",
            format!("there is a reply to `{stray}`, which is no item of this benchmark"),
        ));
    }
    let answer = |(at, item): (usize, &crate::eval::Item)| {
        let text = replies.get(&item.id).cloned().flatten();
        let reply =
            text.map(|text| Reply { text, ..Reply::default() }).ok_or_else(|| "there is no reply to it".to_owned());
        Answer { item: at, epoch: 0, prompt: String::new(), reply, sent: Vec::new() }
    };
    let first = bench.items.iter().enumerate().filter(|(_, i)| i.rotation == 0);
    let answers: Vec<Answer> = first.map(answer).collect();
    let coords = Coords { space: args.coord_space, ..Coords::default() };
    let scores = score(&bench, answers, coords, cx.store)?;
    save(cx, &bench, &scores, &json!({}))
}
