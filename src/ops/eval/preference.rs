//! `eval.preference`: how often a model finds the better reply likelier.

#[cfg(feature = "torch")]
use crate::base::OpError;
#[cfg(feature = "torch")]
use crate::data::table::Table;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
#[cfg(feature = "torch")]
use crate::eval::{Item, scored};
use crate::spec::{Class, Effect, OpSpec, Pool};
use crate::torch_run;
#[cfg(feature = "torch")]
use crate::train::rows::TextRow;
#[cfg(feature = "torch")]
use crate::train::score::Logp;

/// The operator.
pub static PREFERENCE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## The share of pairs whose better reply has the higher log-probability; ties count half. Higher is better, 50 % is chance. Its items are the
## pairs, so that two models can be compared on them (`.delta`, `eval.compare`, a table); pairs about the same pictures are one cluster.
op eval.preference(
  m: Model,
  ## A prompt with a better and a worse reply.
  pairs: Dataset[{ prompt: Str, chosen: Str, rejected: Str, ..r }],
  ## Summed over reply tokens, as DPO is trained, or their mean, which does not favour short replies.
  by: enum { sum, mean } = "sum",
) -> Score"#,
        version: 4,
        class: Class::Numeric,
        effect: Effect::Score,
        pool: Pool::Engine,
        shows_media: true,
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

/// What is right of every pair.
#[cfg(feature = "torch")]
const BETTER: &str = "the better one";

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    by: String,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use serde_json::json;

    use crate::engine::Output;
    use crate::eval::coords::{Coords, Spread};
    use crate::eval::score::{save, summarise};
    use crate::eval::{Benchmark, Declaration};
    use crate::ops::rows::drop_rows;
    use crate::train::encoder::Limits;
    use crate::train::rows::{Columns, read};
    use crate::train::scorer::Scorer;

    let args: Args = cx.args()?;
    let table = cx.table("pairs")?;
    let rows = read(&table, &Columns::pairs())?;
    let folder = cx.folder_of(cx.input("m")?, "model")?;
    let scorer = Scorer::open(&folder, Limits::default(), cx.threads)?;
    let total = 2 * table.rows() as u64;
    let logps = scorer.rows(&rows, cx.store, &|done| cx.progress(done as u64, total, "replies"))?;
    let reasons: Vec<Option<String>> = logps.iter().map(|row| row.as_ref().err().cloned()).collect();
    drop_rows(cx, &table, &reasons)?;
    let (mut items, mut said) = (Vec::new(), Vec::new());
    for (item, logps) in pairs(&table, &rows)?.into_iter().zip(&logps) {
        if let Ok(logps) = logps {
            said.push(judged(items.len(), &item, logps, args.by == "mean"));
            items.push(item);
        }
    }
    if items.is_empty() {
        return Err(OpError::new("E0711", "no pair could be scored").help("look at the dropped pairs with `trace`"));
    }
    let headline = json!({ "verb": "total.micro", "args": {} });
    let declare = Declaration { headline, ..Declaration::default() };
    let bench = Benchmark { items, declare, chance: 0.5, majority: 0.5 };
    let scores = summarise(&bench, said, Coords::default(), Spread::default())?;
    let artifact = save(cx.store, &bench, &scores, &json!({ "by": args.by }))?;
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}

/// The pairs as items. One that has its name from another is numbered.
#[cfg(feature = "torch")]
fn pairs(table: &Table, rows: &[TextRow]) -> Result<Vec<Item>, OpError> {
    use std::collections::BTreeSet;

    use crate::data;
    use crate::eval::{ItemKind, Picture};

    let mut names = BTreeSet::new();
    let mut items = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        let mut shown = Vec::new();
        for name in ["images", "image"].into_iter().filter(|name| table.batch.column_by_name(name).is_some()) {
            shown.extend(data::pictures::picture::Picture::all(&table.cell(name, at)?).iter().filter_map(Picture::of));
        }
        let of = |place: usize| row.replies.get(place).cloned().unwrap_or_default();
        let prompt = row.messages.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n");
        let media: Vec<&str> =
            row.images.iter().chain(row.videos.iter().flatten()).map(|m| m.digest.as_str()).collect();
        items.push(Item {
            id: if names.insert(row.name.clone()) { row.name.clone() } else { format!("{}, row {at}", row.name) },
            rotation: 0,
            kind: ItemKind::Pair,
            question: format!("{prompt}\n\nBetter: {}\nWorse: {}", of(0), of(1)),
            options: Vec::new(),
            options_in_question: true,
            key: BETTER.to_owned(),
            images: shown,
            offsets: None,
            mask: None,
            polygon: None,
            cluster: (!media.is_empty()).then(|| media.join(" ")),
            groups: Vec::new(),
            pair: None,
            chance: 0.5,
        });
    }
    Ok(items)
}

/// What a model makes of the pair at place `at`, given the log-probabilities of its better and its worse reply.
#[cfg(feature = "torch")]
fn judged(at: usize, item: &Item, logps: &[Logp], by_token: bool) -> scored::Scored {
    use std::cmp::Ordering;

    use crate::eval::Reply;

    let of = |logp: &Logp| if by_token { logp.sum / logp.tokens.max(1) as f64 } else { logp.sum };
    let (better, worse) = (of(&logps[0]), of(&logps[1]));
    let (score, parsed) = match better.total_cmp(&worse) {
        Ordering::Greater => (1.0, BETTER.to_owned()),
        Ordering::Equal => (0.5, "either".to_owned()),
        Ordering::Less => (0.0, "the worse one".to_owned()),
    };
    let unit = if by_token { "nats per token" } else { "nats" };
    let reply = Reply { text: format!("better {better:.4}, worse {worse:.4} {unit}"), ..Reply::default() };
    scored::Scored {
        answer: scored::Answer {
            item: at,
            epoch: 0,
            prompt: item.question.clone(),
            reply: Ok(reply),
            sent: Vec::new(),
        },
        outcome: "ok",
        parsed: Some(parsed),
        rule: "log-probability".to_owned(),
        score,
        compat: None,
        points: Vec::new(),
    }
}
