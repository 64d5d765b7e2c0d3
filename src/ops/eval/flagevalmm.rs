//! Files of FlagEvalMM: its answers as replies that `eval.score` takes, and a score as the files that its tools read.
//!
//! A run of it leaves three files for a task, each a JSON array or object: `TASK.json` (what was answered), `TASK_evaluated.json` (each answer
//! with its mark) and `TASK_result.json` (accuracy, groups, rejects, tokens), as its `BaseEvaluator` writes and reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::table::Table;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::node::context::Output;
use crate::engine::storage::dataset;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::ItemKind;
use crate::eval::benchmark::items_of;
use crate::eval::item::{self, Columns, Item};
use crate::eval::stats::mean;
use crate::spec::{Effect, OpSpec};

/// Replies from its files.
pub static FROM: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## The answers of a run of FlagEvalMM as replies for `eval.score`, from the rows of its `TASK.json` (read by `data.jsonl`, with
## `answer: Json` where questions were asked several times). An answer that begins with its error text is a failure, one that begins with the
## text of a moderator a refusal; both count as wrong, and under `compat` the table also shows the number without them, which is the one that
## FlagEvalMM prints.
op eval.from_flagevalmm(
  d: Dataset[{ question_id: Str | Int | Json, answer: Str | Json, ..r }],
) -> Dataset[{ id: Str, epoch: Int, reply: Str?, outcome: Str, note: Str? }]"#,
        effect: Effect::RowExpand,
        ..OpSpec::BASE
    },
    run: Some(from),
};

/// A score as its files.
pub static TO: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## A score as the three files that FlagEvalMM's tools read: `TASK.json`, `TASK_evaluated.json` and `TASK_result.json`. Marks and accuracy are
## those of the `compat` profile over the questions that were answered, as FlagEvalMM counts; `profile` in the result says `robust` where the
## benchmark declares no `compat`. Written to a folder.
op eval.to_flagevalmm(
  s: Score,
  ## The name of the task, which the files bear.
  task: Str,
) -> File"#,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(to),
};

/// What an answer begins with when there is none.
const ERROR: &str = "Error code";
/// What an answer begins with when it was refused.
const REFUSED: [&str; 2] = ["Can not answer because of", "Input data may contain inappropriate content"];

fn from(cx: &mut Context) -> Result<Outputs, OpError> {
    let d = cx.table("d")?;
    let (ids, answers) = (d.cells("question_id")?, d.cells("answer")?);
    let parsed: Vec<Option<Json>> = answers.iter().map(|c| serde_json::from_str(c.as_str()?).ok()).collect();
    let is_json = parsed.iter().all(|p| matches!(p, Some(Json::String(_) | Json::Object(_) | Json::Null)));
    let mut out = Replies::default();
    for ((id, cell), parsed) in ids.iter().zip(&answers).zip(parsed) {
        let id = match id.to_json() {
            // A column of any JSON holds the text of it.
            Json::String(text) => match serde_json::from_str(&text) {
                Ok(Json::String(inside)) => inside,
                _ => text,
            },
            other => other.to_string(),
        };
        match parsed {
            Some(Json::Object(all)) if all.keys().all(|k| k.starts_with("inference_")) && !all.is_empty() => {
                let mut each: Vec<(i64, &Json)> =
                    all.iter().filter_map(|(k, v)| Some((k.strip_prefix("inference_")?.parse().ok()?, v))).collect();
                each.sort_by_key(|(n, _)| *n);
                each.into_iter().for_each(|(n, answer)| out.push(&id, n, answer.as_str()));
            }
            Some(Json::String(text)) if is_json => out.push(&id, 0, Some(&text)),
            Some(Json::Null) if is_json => out.push(&id, 0, None),
            _ => out.push(&id, 0, (!matches!(cell, Cell::None)).then(|| cell.text()).as_deref()),
        }
    }
    cx.counts.extend([("read".to_owned(), d.rows() as u64), ("made".to_owned(), out.id.len() as u64)]);
    Ok(Context::rows(out.table()?))
}

/// Columns of replies.
#[derive(Default)]
struct Replies {
    id: Vec<String>,
    epoch: Vec<i64>,
    reply: Vec<Option<String>>,
    outcome: Vec<&'static str>,
    note: Vec<Option<String>>,
}

impl Replies {
    fn push(&mut self, id: &str, epoch: i64, answer: Option<&str>) {
        let (reply, outcome, note) = match answer {
            None => (None, "failed", Some("no answer".to_owned())),
            Some(text) if text.starts_with(ERROR) => (None, "failed", Some(text.to_owned())),
            Some(text) if REFUSED.iter().any(|r| text.starts_with(r)) => (Some(text.to_owned()), "refused", None),
            Some(text) => (Some(text.to_owned()), "ok", None),
        };
        self.id.push(id.to_owned());
        self.epoch.push(epoch);
        self.reply.push(reply);
        self.outcome.push(outcome);
        self.note.push(note);
    }

    fn table(self) -> Result<Table, OpError> {
        let rows = self.id.len();
        let columns: Vec<(String, ArrayRef)> = vec![
            ("id".to_owned(), Arc::new(StringArray::from(self.id))),
            ("epoch".to_owned(), Arc::new(Int64Array::from(self.epoch))),
            ("reply".to_owned(), Arc::new(StringArray::from(self.reply))),
            ("outcome".to_owned(), Arc::new(StringArray::from(self.outcome))),
            ("note".to_owned(), Arc::new(StringArray::from(self.note))),
        ];
        Table::new(columns, rows)
    }
}

fn to(cx: &mut Context) -> Result<Outputs, OpError> {
    #[derive(Deserialize)]
    struct Args {
        task: String,
    }
    let Args { task } = cx.args()?;
    if task.is_empty() || task.contains(['/', '\\']) {
        return Err(OpError::new("E0213", format!("`{task}` cannot be part of a file's name")));
    }
    let score = cx.input("s")?.clone();
    let items = items_of(&score)?;
    let rows = asked(&dataset::load(cx.store, &items)?)?;
    let compat = score.meta["compat"].is_number();
    let mut files = BTreeMap::new();
    for (name, content) in [
        (format!("{task}.json"), answers(&rows)),
        (format!("{task}_evaluated.json"), Json::Array(rows.iter().map(|r| evaluated(r, compat)).collect())),
        (format!("{task}_result.json"), result(&score, &rows, compat)),
    ] {
        files.insert(name, cx.put(serde_json::to_string_pretty(&content)?.as_bytes())?);
    }
    let meta = json!({ "task": task, "questions": rows.len() });
    Ok(vec![(String::new(), Output::Artifact(Artifact { kind: Kind::File, meta, files }))])
}

/// A question with its replies, by repeat.
struct Asked {
    item: Item,
    prompt: String,
    replies: Vec<Reply>,
}

struct Reply {
    text: Option<String>,
    parsed: Option<String>,
    note: Option<String>,
    outcome: String,
    score: f64,
    compat: Option<f64>,
    tokens: i64,
    prompt_tokens: i64,
}

impl Reply {
    fn answered(&self) -> bool {
        !matches!(self.outcome.as_str(), "failed" | "refused")
    }

    /// The answer and the reasoning before it, as its client parts them.
    fn parts(&self) -> (String, String) {
        match &self.text {
            None => match self.note.as_deref().unwrap_or("unknown") {
                note if note.starts_with(ERROR) => (note.to_owned(), String::new()),
                note => (format!("{ERROR} {note}"), String::new()),
            },
            Some(text) if self.outcome == "refused" => {
                let marked = REFUSED.iter().any(|r| text.starts_with(r));
                (if marked { text.clone() } else { format!("{} {text}", REFUSED[0]) }, String::new())
            }
            Some(text) => match text.split_once("</think>") {
                Some((reason, answer)) => (answer.to_owned(), format!("{reason}</think>")),
                None => (text.clone(), String::new()),
            },
        }
    }

    fn mark(&self, compat: bool) -> f64 {
        if compat { self.compat.unwrap_or(0.0) } else { self.score }
    }
}

/// The questions of a score in the order of their options that the source has, each once.
fn asked(table: &Table) -> Result<Vec<Asked>, OpError> {
    let columns = Columns { table };
    let counted = table.column("prompt_tokens").is_ok();
    let mut out: Vec<Asked> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (row, item) in item::from_table(table)?.into_iter().enumerate().filter(|(_, item)| item.rotation == 0) {
        let text = |name: &str| columns.text(name, row);
        let number = |name: &str| columns.integer(name, row).map(|n| n.unwrap_or(0));
        let reply = Reply {
            text: text("reply")?,
            parsed: text("parsed")?,
            note: text("note")?,
            outcome: text("outcome")?.unwrap_or_default(),
            score: columns.number("score", row)?.unwrap_or(0.0),
            compat: columns.number("compat", row)?,
            tokens: number("tokens")?,
            prompt_tokens: if counted { number("prompt_tokens")? } else { 0 },
        };
        let at = match places.get(&item.id) {
            Some(at) => *at,
            None => {
                places.insert(item.id.clone(), out.len());
                out.push(Asked { item, prompt: text("prompt")?.unwrap_or_default(), replies: Vec::new() });
                out.len() - 1
            }
        };
        out[at].replies.push(reply);
    }
    Ok(out)
}

/// One value, or one by inference.
fn by_inference(values: Vec<Json>) -> Json {
    match <[Json; 1]>::try_from(values) {
        Ok([one]) => one,
        Err(all) => {
            let named = all.into_iter().enumerate().map(|(i, v)| (format!("inference_{i}"), v));
            Json::Object(named.collect())
        }
    }
}

fn answers(rows: &[Asked]) -> Json {
    let usage = |r: &Reply| match r.answered() {
        true => json!({
            "prompt_tokens": r.prompt_tokens, "completion_tokens": r.tokens, "total_tokens": r.prompt_tokens + r.tokens,
        }),
        false => Json::Null,
    };
    let listed = |values: Vec<Json>| if values.len() == 1 { values[0].clone() } else { Json::Array(values) };
    let one = |row: &Asked| {
        let parts: Vec<(String, String)> = row.replies.iter().map(Reply::parts).collect();
        json!({
            "question_id": row.item.id,
            "question": if row.prompt.is_empty() { &row.item.question } else { &row.prompt },
            "answer": by_inference(parts.iter().map(|p| json!(p.0)).collect()),
            "reason": listed(parts.iter().map(|p| json!(p.1)).collect()),
            "usage": listed(row.replies.iter().map(usage).collect()),
        })
    };
    Json::Array(rows.iter().map(one).collect())
}

fn evaluated(row: &Asked, compat: bool) -> Json {
    let marks: Vec<f64> = row.replies.iter().map(|r| r.mark(compat)).collect();
    let correct = match marks.as_slice() {
        [one] if *one == 0.0 || *one == 1.0 => json!(*one == 1.0),
        all => json!(mean(all)),
    };
    let mut out = json!({
        "question_id": row.item.id,
        "answer": by_inference(row.replies.iter().map(|r| json!(r.parsed.clone().unwrap_or_default())).collect()),
        "raw_answer": by_inference(row.replies.iter().map(|r| json!(r.parts().0)).collect()),
        "correct": correct,
        "label": row.item.key,
        "question_type": kind(row.item.kind),
    });
    if marks.len() > 1 {
        out["inference_scores"] = json!(marks);
        out["num_inferences"] = json!(marks.len());
    }
    out
}

fn kind(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Choice => "multiple-choice",
        ItemKind::Choices => "multiple-response",
        ItemKind::Number => "numerical",
        ItemKind::YesNo => "yes-no",
        ItemKind::Text => "fill-blank",
        ItemKind::Point => "point",
        ItemKind::Judge => "llm-judge",
        ItemKind::Pair => "preference",
    }
}

/// In percent, to two places.
fn percent(share: f64) -> Json {
    json!((10_000.0 * share).round() / 100.0)
}

fn result(score: &Artifact, rows: &[Asked], compat: bool) -> Json {
    let fact = |key: &str| score.meta[key].as_f64();
    let headline = if compat { fact("compat_answered").or(fact("compat")) } else { fact("value") };
    let replies = || rows.iter().flat_map(|row| row.replies.iter().map(move |r| (row, r)));
    // A plain mean is one over what was answered, wherever the score is from.
    let micro = (score.meta["headline"]["verb"] == "total.micro").then(|| {
        let of = |row: &Asked| -> Option<f64> {
            let marks: Vec<f64> = row.replies.iter().filter(|r| r.answered()).map(|r| r.mark(compat)).collect();
            (!marks.is_empty()).then(|| mean(&marks))
        };
        mean(&rows.iter().filter_map(of).collect::<Vec<_>>())
    });
    let mut out = Map::new();
    out.insert("accuracy".to_owned(), percent(micro.or(headline).unwrap_or(0.0)));
    let mut groups: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (row, reply) in replies().filter(|(_, r)| r.answered()) {
        for (_, value) in &row.item.groups {
            groups.entry(value.clone()).or_default().push(reply.mark(compat));
        }
    }
    for (value, marks) in groups {
        out.entry(value).or_insert_with(|| percent(mean(&marks)));
    }
    let (total, answered) = (replies().count(), replies().filter(|(_, r)| r.answered()).count());
    if answered < total {
        out.insert(
            "reject_info".to_owned(),
            json!({
                "reject_rate": percent((total - answered) as f64 / total as f64), "reject_number": total - answered,
                "total_question": total,
            }),
        );
    }
    let average = |of: &dyn Fn(&Reply) -> i64| {
        replies().filter(|(_, r)| r.answered()).map(|(_, r)| of(r)).sum::<i64>() as f64 / answered.max(1) as f64
    };
    out.insert("average_tokens".to_owned(), json!(average(&|r| r.prompt_tokens + r.tokens)));
    out.insert("average_prompt_tokens".to_owned(), json!(average(&|r| r.prompt_tokens)));
    out.insert("average_completion_tokens".to_owned(), json!(average(&|r| r.tokens)));
    out.insert("profile".to_owned(), json!(if compat { "compat" } else { "robust" }));
    Json::Object(out)
}
