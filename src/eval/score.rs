//! Scores replies: each is read twice (robust and compat), marked, totalled, and kept with everything that led to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use serde_json::{Value as Json, json};

use super::answers::histograms;
use super::benchmark::{Benchmark, Rule, items_dataset, put_items};
use super::calibration::{Guess, OPTION_P, calibration, guess};
use super::coords::{Coords, MIXED, Space, Spread, decide};
use super::generate::Reply;
use super::item::{self, Columns, Item, ItemKind};
use super::marker::Masks;
use super::reader::{Parsed, overlay, read_first};
use super::repeats::repeats;
use super::scored::{Answer, Scored, units as gather};
use super::stats::mean;
use super::stored::Stored;
use super::total::{Estimate, Groups, Unit, by_group, total};
use crate::base::OpError;
use crate::data::blobs::Blobs;
use crate::engine::Store;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::storage::dataset;

/// All replies of a model to a benchmark, scored.
#[derive(Clone, Debug)]
pub struct Scores {
    /// One per reply.
    pub rows: Vec<Scored>,
    /// The headline score.
    pub headline: Estimate,
    /// Further totals by name.
    pub also: Vec<(String, Estimate)>,
    /// The headline under the compat profile, if one is declared.
    pub compat: Option<Estimate>,
    /// The same over the questions that were answered, as FlagEvalMM counts, where some were not.
    pub compat_answered: Option<Estimate>,
    /// Micro scores by group and value.
    pub groups: Groups,
    /// How coordinates were read.
    pub coords: Coords,
    /// What numbers the replies with points wrote.
    pub spread: Spread,
}

impl Scores {
    /// Says that some replies write coordinates otherwise than they were read, if more than a few do.
    pub fn mixed(&self) -> Option<String> {
        let (strange, seen) = (self.spread.strange(self.coords.space), self.spread);
        (strange > MIXED).then(|| {
            let space = json!(self.coords.space).as_str().unwrap_or_default().to_owned();
            format!(
                "coordinates are read as `{space}`, but {:.0} % of the replies with points write them otherwise: {} up to 1, {} up to 1000, {} above; \
                 `coord_space` of the model says what is meant",
                100.0 * strange,
                seen.unit,
                seen.thousand,
                seen.pixel
            )
        })
    }
}

/// Scores the answers to a benchmark. Failures and unparsed replies score 0 and stay in the denominator.
pub fn score(bench: &Benchmark, answers: Vec<Answer>, coords: Coords, blobs: &dyn Blobs) -> Result<Scores, OpError> {
    let mut rules: BTreeMap<ItemKind, (Rule, Option<Rule>)> = BTreeMap::new();
    for item in &bench.items {
        if !rules.contains_key(&item.kind) {
            rules.insert(item.kind, (bench.declare.rule(item.kind)?, bench.declare.compat_rule(item.kind)?));
        }
    }
    let read: Vec<Option<(Parsed, &'static str)>> = answers
        .iter()
        .map(|a| {
            let item = &bench.items[a.item];
            a.reply
                .as_ref()
                .ok()
                .filter(|r| !r.refused)
                .and_then(|r| read_first(&rules[&item.kind].0.readers, &r.text, item))
        })
        .collect();
    let points = read.iter().flatten().filter_map(|(value, _)| match value {
        Parsed::Points(points) => Some(points),
        _ => None,
    });
    let spread = Spread::of(points.clone());
    let mut coords = coords;
    if coords.space == Space::Auto {
        coords.space = decide(points);
    }
    let masks = Masks::new(blobs);
    let mut rows = Vec::with_capacity(answers.len());
    for (answer, read) in answers.into_iter().zip(read) {
        let item = &bench.items[answer.item];
        let (robust, compat) = &rules[&item.kind];
        let outcome = match &answer.reply {
            Err(_) => "failed",
            Ok(r) if r.refused => "refused",
            Ok(r) if r.truncated => "truncated",
            Ok(r) if r.text.trim().is_empty() => "empty",
            Ok(_) => "ok",
        };
        let score = match &read {
            Some((value, _)) => robust.marker.mark(value, item, &coords, &masks)?,
            None => 0.0,
        };
        let compat = match (&answer.reply, item.rotation) {
            (_, 1..) => None,
            (Err(_) | Ok(Reply { refused: true, .. }), _) => Some(0.0),
            (Ok(reply), _) => Some(match compat {
                None => score,
                Some(rule) => match read_first(&rule.readers, &reply.text, item) {
                    Some((value, _)) => rule.marker.mark(&value, item, &coords, &masks)?,
                    None => 0.0,
                },
            }),
        };
        let points = match &read {
            Some((Parsed::Points(points), _)) => overlay(points, item, &coords),
            _ => Vec::new(),
        };
        let rule = read.as_ref().map_or("", |(_, rule)| rule).to_owned();
        let parsed = read.map(|(value, _)| value.show());
        rows.push(Scored { answer, outcome, parsed, rule, score, compat, points });
    }
    summarise(bench, rows, coords, spread)
}

/// Totals scored replies.
///
/// # Errors
/// As the totals of the benchmark.
pub fn summarise(bench: &Benchmark, rows: Vec<Scored>, coords: Coords, spread: Spread) -> Result<Scores, OpError> {
    let triples = rows.iter().map(|r| (&bench.items[r.answer.item], r.answer.epoch, r.score));
    let units = gather(triples);
    let headline = bench.declare.headline()?.estimate(&units)?;
    let mut also = Vec::new();
    for json in &bench.declare.also {
        let more = total(json)?;
        also.push((more.name(), more.estimate(&units)?));
    }
    let triples = rows.iter().filter_map(|r| r.compat.map(|c| (&bench.items[r.answer.item], r.answer.epoch, c)));
    let first = gather(triples.filter(|_| !bench.declare.compat.is_empty()));
    // A seeded order may leave no item as it was written.
    let compat = match first.is_empty() {
        true => None,
        false => Some(bench.declare.compat_total()?.estimate(&first)?),
    };
    let answered = rows.iter().filter(|r| !matches!(r.outcome, "failed" | "refused"));
    let answered = answered.filter_map(|r| r.compat.map(|c| (&bench.items[r.answer.item], r.answer.epoch, c)));
    let answered: Vec<Unit> = if compat.is_some() { gather(answered) } else { Vec::new() };
    // A total that misses a whole group among those that are left has no such number.
    let compat_answered = match (1..first.len()).contains(&answered.len()) {
        true => bench.declare.compat_total()?.estimate(&answered).ok(),
        false => None,
    };
    let groups = by_group(&[&units])?;
    Ok(Scores { rows, headline, also, compat, compat_answered, groups, coords, spread })
}

/// The probabilities of a question's options, if the model was asked for them.
fn option_p(row: &Scored) -> Option<&Vec<f64>> {
    row.answer.reply.as_ref().ok().map(|a| &a.option_p).filter(|p| !p.is_empty())
}

/// Stores scores as an artifact. `facts` are further facts about the run (model, decoding); part of the artifact's identity.
pub fn save(store: &Store, bench: &Benchmark, scores: &Scores, facts: &Json) -> Result<Artifact, OpError> {
    let items: Vec<Item> = scores.rows.iter().map(|r| bench.items[r.answer.item].clone()).collect();
    let mut table = item::to_table(&items)?;
    let text = |f: &dyn Fn(&Scored) -> Option<String>| -> ArrayRef {
        Arc::new(scores.rows.iter().map(f).collect::<StringArray>())
    };
    let number = |f: &dyn Fn(&Scored) -> Option<f64>| -> ArrayRef {
        Arc::new(scores.rows.iter().map(f).collect::<Float64Array>())
    };
    let integer = |f: &dyn Fn(&Scored) -> Option<i64>| -> ArrayRef {
        Arc::new(scores.rows.iter().map(f).collect::<Int64Array>())
    };
    let points = |r: &Scored| (!r.points.is_empty()).then(|| json!(r.points).to_string());
    let reply = |r: &Scored| r.answer.reply.as_ref().ok().map(|a| a.text.clone());
    let note = |r: &Scored| r.answer.reply.as_ref().map_or_else(|why| Some(why.clone()), |a| a.note.clone());
    let tokens = |r: &Scored| r.answer.reply.as_ref().ok().map(|a| i64::from(a.tokens));
    for (name, column) in [
        ("epoch", integer(&|r| Some(i64::from(r.answer.epoch)))),
        ("prompt", text(&|r| Some(r.answer.prompt.clone()))),
        ("reply", text(&reply)),
        ("tokens", integer(&tokens)),
        ("note", text(&note)),
        ("outcome", text(&|r| Some(r.outcome.into()))),
        ("parsed", text(&|r| r.parsed.clone())),
        ("rule", text(&|r| Some(r.rule.clone()))),
        ("score", number(&|r| Some(r.score))),
        ("compat", number(&|r| r.compat)),
        ("points", text(&points)),
    ] {
        table = table.with_column(name, column)?;
    }
    // What only a server says: in process these columns would be empty.
    let prompt_tokens = |r: &Scored| r.answer.reply.as_ref().ok().map(|a| i64::from(a.prompt_tokens));
    let paid: i64 = scores.rows.iter().filter_map(&prompt_tokens).sum();
    if paid > 0 {
        table = table.with_column("prompt_tokens", integer(&prompt_tokens))?;
    }
    if scores.rows.iter().any(|r| !r.answer.sent.is_empty()) {
        table = table.with_column("sent", text(&|r| Some(json!(r.answer.sent).to_string())))?;
    }
    if scores.rows.iter().any(|r| option_p(r).is_some()) {
        table = table.with_column(OPTION_P, text(&|r| option_p(r).map(|p| json!(p).to_string())))?;
    }
    let mut files = BTreeMap::new();
    let items = put_items(&dataset::save(store, &table)?, &mut files);
    let n = scores.rows.len().max(1) as f64;
    let share = |f: &dyn Fn(&&Scored) -> bool| scores.rows.iter().filter(f).count() as f64 / n;
    let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &scores.rows {
        let rule = match row.parsed {
            Some(_) => row.rule.as_str(),
            None if row.is_unparsed() => "unparsed",
            None => row.outcome,
        };
        *rules.entry(rule).or_default() += 1;
    }
    let readable: Vec<f64> = scores.rows.iter().filter(|r| r.parsed.is_some()).map(|r| r.score).collect();
    let head = &scores.headline;
    let mut meta = json!({
        "value": head.value,
        "low": head.low,
        "high": head.high,
        "se": head.se,
        "interval": head.interval,
        "clusters": head.clusters,
        "n": head.n,
        "requests": scores.rows.len(),
        "unparsed": share(&|r| r.is_unparsed()),
        "truncated": share(&|r| r.outcome == "truncated"),
        "failed": share(&|r| r.outcome == "failed"),
        "skill": (!readable.is_empty()).then(|| mean(&readable)),
        "answers": histograms(bench, &scores.rows),
        "chance": bench.chance,
        "majority": bench.majority,
        "floor": bench.chance.max(bench.majority),
        "coord_space": scores.coords.space,
        "headline": bench.declare.headline,
        "also": scores.also.iter().map(|(name, e)| json!({ "name": name, "value": e.value, "se": e.se, "low": e.low, "high": e.high })).collect::<Vec<_>>(),
        "groups": scores.groups,
        "rules": rules,
        "items": items,
    });
    if scores.spread != Spread::default() {
        meta["coordinates"] = json!(scores.spread);
    }
    let refused = share(&|r| r.outcome == "refused");
    if refused > 0.0 {
        meta["refused"] = json!(refused);
    }
    if paid > 0 {
        let made: i64 = scores.rows.iter().filter_map(tokens).sum();
        meta["tokens"] = json!({ "prompt": paid, "reply": made });
    }
    let first = scores.rows.iter().filter(|r| r.answer.epoch == 0);
    let guesses: Vec<Guess> = first.filter_map(|r| guess(&bench.items[r.answer.item], option_p(r)?)).collect();
    if let Some(found) = calibration(&guesses) {
        meta["calibration"] = json!(found);
    }
    if let Some(found) = repeats(bench, &scores.rows)? {
        meta["consensus"] = json!(found.consensus.value);
        meta["consistency"] = json!(found.consistency);
        meta["repeats"] = json!(found);
    }
    if let Some(compat) = &scores.compat {
        meta["compat"] = json!(compat.value);
    }
    if let (Some(meta), Some(facts)) = (meta.as_object_mut(), facts.as_object()) {
        meta.extend(facts.clone());
    }
    Ok(Artifact { kind: Kind::Score, meta, files })
}

/// Reads a score artifact.
pub fn load(store: &Store, artifact: &Artifact) -> Result<Stored, OpError> {
    let meta = artifact.meta.clone();
    if meta.get("items").is_none_or(Json::is_null) {
        return Ok(Stored { meta, ..Stored::default() });
    }
    let table = dataset::load(store, &items_dataset(artifact))?;
    let questions = item::from_table(&table)?;
    let columns = Columns { table: &table };
    let mut triples = Vec::with_capacity(questions.len());
    for (row, question) in questions.iter().enumerate() {
        let epoch = columns.integer("epoch", row)?.unwrap_or(0) as u32;
        triples.push((question, epoch, columns.number("score", row)?.unwrap_or(0.0)));
    }
    let units = gather(triples.into_iter());
    let first: BTreeMap<&str, &Item> = questions.iter().rev().map(|q| (q.id.as_str(), q)).collect();
    let items = units.iter().map(|u| first.get(u.id.as_str()).map_or_else(String::new, |q| identity(q))).collect();
    Ok(Stored { meta, units, items, ..Stored::default() })
}

fn identity(item: &Item) -> String {
    json!([item.question, item.options, item.key, item.images.iter().map(|p| p.digest).collect::<Vec<_>>()]).to_string()
}
