//! `eval.score`: scores replies that are there already; no model is needed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::asked::save;
use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::calibration::{OPTION_P, guess, numbers, parse};
use crate::eval::coords::{Coords, Space};
use crate::eval::score::{Answer, score};
use crate::eval::{Benchmark, Reply};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static SCORE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Scores replies that were made elsewhere, one to each question in the first order of its options; `total.all_rotations` is left out
## of such a score. Items without a reply count as failed, replies without an item are an error. A column
## `option_p`, a list of the options' probabilities in their order (of yes and no), is what calibration is measured by.
op eval.score(
  ## One row per item: its id and the raw reply.
  replies: Dataset[{ id: Str, reply: Str, ..r }],
  on: Benchmark,
  ## How the model wrote coordinates.
  coord_space: enum { auto, unit, norm1000, pixel_input, pixel_original } = "auto",
) -> Score"#,
        version: 4,
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
    let mut bench = Benchmark::load(cx.store, cx.input("on")?)?;
    let table = cx.table("replies")?;
    let (ids, texts) = (table.strings("id")?.clone(), table.strings("reply")?.clone());
    let sure = probabilities(&table)?;
    let sure: BTreeMap<&str, &Vec<f64>> = ids.iter().zip(&sure).map(|(id, p)| (id.unwrap_or_default(), p)).collect();
    let mut replies: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (id, text) in ids.iter().zip(&texts) {
        let id = id.unwrap_or_default().to_owned();
        if replies.insert(id.clone(), text.map(str::to_owned)).is_some() {
            return Err(OpError::new("E0302", format!("there are two replies to `{id}`")));
        }
    }
    let known: BTreeSet<&str> = bench.items.iter().map(|i| i.id.as_str()).collect();
    if let Some(stray) = replies.keys().find(|id| !known.contains(id.as_str())) {
        return Err(OpError::new(
            "E0302",
            format!("there is a reply to `{stray}`, which is no item of this benchmark"),
        ));
    }
    for (_, item) in bench.firsts() {
        let given = sure.get(item.id.as_str()).filter(|p| !p.is_empty());
        if let Some(p) = given.filter(|p| guess(item, p).is_none()) {
            let message =
                format!("`.{OPTION_P}` of `{}` is {p:?}, which is no probability for each of its options", item.id);
            return Err(OpError::new("E0302", message)
                .help("give one number from 0 to 1 for each option in its order (yes, then no), and none for items without options"));
        }
    }
    let answer = |(at, item): (usize, &crate::eval::Item)| {
        let text = replies.get(&item.id).cloned().flatten();
        let option_p = sure.get(item.id.as_str()).map(|p| p.to_vec()).unwrap_or_default();
        let reply = text
            .map(|text| Reply { text, option_p, ..Reply::default() })
            .ok_or_else(|| "there is no reply to it".to_owned());
        Answer { item: at, epoch: 0, prompt: String::new(), reply, sent: Vec::new() }
    };
    let answers: Vec<Answer> = bench.firsts().map(answer).collect();
    if answers.len() < bench.items.len() {
        bench.declare.also.retain(|t| !over_rotations(t));
        if over_rotations(&bench.declare.headline) {
            return Err(OpError::new(
                "E0302",
                "the headline is over all rotations of the options, and there is one reply to each question",
            )
            .help("ask every rotation with `eval.run`, or total by `total.micro()`"));
        }
    }
    let coords = Coords { space: args.coord_space, ..Coords::default() };
    let scores = score(&bench, answers, coords, cx.store)?;
    save(cx, &bench, &scores, &json!({}))
}

/// Says whether a total asks for replies in every rotation.
fn over_rotations(total: &Json) -> bool {
    total["verb"] == "total.all_rotations" || total["args"].get("inner").is_some_and(over_rotations)
}

/// Reads that column: lists, or texts of lists as `score.items` has them; nothing where there is no such column.
fn probabilities(table: &Table) -> Result<Vec<Vec<f64>>, OpError> {
    if table.column(OPTION_P).is_err() {
        return Ok(Vec::new());
    }
    let read = |cell: &Cell| -> Option<Vec<f64>> {
        match cell.to_json() {
            Json::Null => Some(Vec::new()),
            Json::String(text) => parse(&text),
            list => numbers(&list),
        }
    };
    let cells = table.cells(OPTION_P)?;
    cells
        .iter()
        .map(|c| read(c).ok_or_else(|| OpError::new("E0302", format!("`.{OPTION_P}` is not a list of numbers"))))
        .collect()
}
