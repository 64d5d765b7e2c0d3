//! `judge.replies`: the open-ended replies of a score, marked by a stronger model.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{Judge, SPENDING, question, reason, schema};
use crate::base::{Digest, OpError, phrase};
use crate::data::table::Table;
use crate::engine::node::context::Output;
use crate::engine::storage::dataset;
use crate::engine::{Artifact, Builtin, Context, Outputs};
use crate::eval::benchmark::items_of;
use crate::eval::calibration::{OPTION_P, parse};
use crate::eval::coords::{Coords, Space, Spread};
use crate::eval::item::Columns;
use crate::eval::score::{save, summarise};
use crate::eval::scored::{Answer, Scored};
use crate::eval::{Benchmark, Reply};
use crate::ops::chat::{Outcome, Question};
use crate::spec::{Class, Effect, OpSpec, Pool};

/// The operator.
pub static REPLIES: Builtin = Builtin {
    spec: OpSpec {
        signature: concat!(
            r#"
## Lets a stronger model mark the open-ended replies of a score: whether each says the same as the key. The judge sees question, key and
## reply, gives its reason first, then `correct`, `incorrect`, or `invalid` for a reply that answers nothing, which counts as unreadable.
## Items of other kinds keep their marks; headline, groups and intervals are made anew. Verdicts are remembered, so that a run that was
## stopped asks for the missing ones alone; while one is missing there is no score.
op judge.replies(
  s: Score,
  ## The benchmark that it is a score of.
  on: Benchmark,"#,
            server!(),
            r#"
  ## The kinds of items that are judged.
  kinds: [enum { judge, text, number }] = ["judge"],
  ## Words put before the question; `{question}`, `{key}` and `{reply}` are filled from the item.
  prompt: Prompt? = none,
) -> Score"#
        ),
        class: Class::External,
        effect: Effect::Score,
        pool: Pool::Net,
        with: SPENDING,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    kinds: Vec<String>,
    #[serde(flatten)]
    judge: Judge,
}

/// What a judge says of a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Correct,
    Incorrect,
    /// It answers nothing.
    Invalid,
}

/// Facts of a score that stay true when its replies are marked anew.
const KEPT: [&str; 9] =
    ["decoding", "served", "errors", "geometry", "listed", "prefill", "no_reply", "twice", "strays"];

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let of = cx.input("s")?.clone();
    let items = items_of(&of)?;
    let bench = Benchmark::load(cx.store, cx.input("on")?)?;
    let table = dataset::load(cx.store, &items)?;
    let mut rows = scored(&table, &bench)?;
    let judged: Vec<usize> = (0..rows.len()).filter(|&row| is_judged(&rows[row], &bench, &args.kinds)).collect();
    let questions = judged.iter().map(|&row| asked(&args.judge, &table, row)).collect::<Result<Vec<_>, OpError>>()?;
    let outcomes = if questions.is_empty() { Vec::new() } else { args.judge.ask(cx, &questions, verdict)? };
    let missing: Vec<&String> =
        outcomes.iter().filter_map(|o| if let Outcome::Failed { why, .. } = o { Some(why) } else { None }).collect();
    if let Some(why) = missing.first() {
        let message = format!(
            "{} of {} without a verdict; the first: {why}",
            phrase::count(missing.len(), "reply"),
            questions.len()
        );
        return Err(OpError::new("E0612", message)
            .class("flaky")
            .help("run again: the verdicts that are there are remembered"));
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (&row, outcome) in judged.iter().zip(&outcomes) {
        let Outcome::Said((verdict, why)) = outcome else { continue };
        let kind = bench.items[rows[row].answer.item].kind;
        let alone = bench.declare.compat_rule(kind)?.is_none();
        let row = &mut rows[row];
        row.score = f64::from(u8::from(*verdict == Verdict::Correct));
        if alone {
            row.compat = row.compat.map(|_| row.score);
        }
        let name = match verdict {
            Verdict::Correct => "correct",
            Verdict::Incorrect => "incorrect",
            Verdict::Invalid => "invalid",
        };
        *counts.entry(name).or_default() += 1;
        row.rule = if *verdict == Verdict::Invalid { String::new() } else { "judge".to_owned() };
        let text = row.answer.reply.as_ref().map(|r| r.text.trim().to_owned()).unwrap_or_default();
        row.parsed = (*verdict != Verdict::Invalid).then(|| row.parsed.take().unwrap_or(text));
        if let Ok(reply) = &mut row.answer.reply {
            reply.note = Some(format!("judge: {why}"));
        }
    }
    cx.counts.extend(counts.iter().map(|(name, n)| ((*name).to_owned(), *n)));
    let coords = Coords {
        space: serde_json::from_value(of.meta["coord_space"].clone()).unwrap_or(Space::Auto),
        ..Coords::default()
    };
    let spread: Spread = serde_json::from_value(of.meta["coordinates"].clone()).unwrap_or_default();
    let scores = summarise(&bench, rows, coords, spread)?;
    let mut facts = json!({
        "prompts": of.meta["prompts"],
        "judge": { "by": args.judge.by, "prompt": Digest::of_json(&json!([SYSTEM, TASK, args.judge.prompt])), "verdicts": counts },
    });
    if let Some(compat) = &scores.compat_answered {
        facts["compat_answered"] = json!(compat.value);
    }
    for name in KEPT {
        if !of.meta[name].is_null() {
            facts[name] = of.meta[name].clone();
        }
    }
    let artifact: Artifact = save(cx.store, &bench, &scores, &facts)?;
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}

/// Says whether a judge is asked: a reply came, to an item of these kinds.
fn is_judged(row: &Scored, bench: &Benchmark, kinds: &[String]) -> bool {
    let kind = bench.items[row.answer.item].kind.name();
    let said = row.answer.reply.as_ref().is_ok_and(|r| !r.refused && !r.text.trim().is_empty());
    said && kinds.iter().any(|k| k == kind)
}

const SYSTEM: &str = "You mark answers to questions. Answer with a JSON object.";
const TASK: &str = "Does the reply give the same answer as the key? Other words, units or spelling for the same thing are the same answer; \
                    a reply that is more general, vaguer or says several things is not. First the reason, then the verdict: `correct`, \
                    `incorrect`, or `invalid` if the reply answers nothing.";

fn asked(judge: &Judge, table: &Table, row: usize) -> Result<Question, OpError> {
    let columns = Columns { table };
    let text = |name: &str| Ok::<_, OpError>(columns.text(name, row)?.unwrap_or_default());
    let own =
        format!("[question]\n{}\n[key]\n{}\n[reply]\n{}\n\n{TASK}", text("question")?, text("key")?, text("reply")?);
    let verdict = json!({ "verdict": { "type": "string", "enum": ["correct", "incorrect", "invalid"] } });
    Ok(question(SYSTEM, Vec::new(), judge.text(table, row, own)?, schema(verdict)))
}

fn verdict(answer: &Json) -> Result<(Verdict, String), String> {
    let verdict = match answer["verdict"].as_str() {
        Some("correct") => Verdict::Correct,
        Some("incorrect") => Verdict::Incorrect,
        Some("invalid") => Verdict::Invalid,
        _ => return Err("`verdict` is not `correct`, `incorrect` or `invalid`".to_owned()),
    };
    Ok((verdict, reason(answer)?))
}

/// The rows of a score as they were scored.
///
/// # Errors
/// E0302 when they are of another benchmark.
fn scored(table: &Table, bench: &Benchmark) -> Result<Vec<Scored>, OpError> {
    let places: BTreeMap<(&str, u32), usize> =
        bench.items.iter().enumerate().map(|(at, item)| ((item.id.as_str(), item.rotation), at)).collect();
    let columns = Columns { table };
    let there = |name: &str| table.column(name).is_ok();
    let (has_p, has_sent, has_prompt) = (there(OPTION_P), there("sent"), there("prompt_tokens"));
    let mut out = Vec::with_capacity(table.rows());
    for row in 0..table.rows() {
        let text = |name: &str| columns.text(name, row);
        let count = |name: &str| Ok::<_, OpError>(columns.integer(name, row)?.unwrap_or(0) as u32);
        let id = text("id")?.unwrap_or_default();
        let item = *places.get(&(id.as_str(), count("rotation")?)).ok_or_else(|| {
            OpError::new("E0302", format!("`{id}` is no item of this benchmark"))
                .help("`on` is the benchmark whose score `s` is")
        })?;
        let outcome = match text("outcome")?.as_deref() {
            Some("truncated") => "truncated",
            Some("refused") => "refused",
            Some("empty") => "empty",
            Some("failed") => "failed",
            _ => "ok",
        };
        let option_p = if has_p { text(OPTION_P)?.and_then(|p| parse(&p)).unwrap_or_default() } else { Vec::new() };
        let reply = match text("reply")? {
            Some(reply) => Ok(Reply {
                text: reply,
                truncated: outcome == "truncated",
                refused: outcome == "refused",
                tokens: count("tokens")?,
                prompt_tokens: if has_prompt { count("prompt_tokens")? } else { 0 },
                note: text("note")?,
                option_p,
                ..Reply::default()
            }),
            None => Err(text("note")?.unwrap_or_default()),
        };
        let json = |text: Option<String>| text.and_then(|t| serde_json::from_str(&t).ok());
        let sent = if has_sent {
            text("sent")?.and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default()
        } else {
            Vec::new()
        };
        out.push(Scored {
            answer: Answer { item, epoch: count("epoch")?, prompt: text("prompt")?.unwrap_or_default(), reply, sent },
            outcome,
            parsed: text("parsed")?,
            rule: text("rule")?.unwrap_or_default(),
            score: columns.number("score", row)?.unwrap_or(0.0),
            compat: columns.number("compat", row)?,
            points: json(text("points")?).unwrap_or_default(),
        });
    }
    Ok(out)
}
