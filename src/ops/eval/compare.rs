//! `eval.compare` and `score.items`: two scores side by side, and the rows behind one.

use std::collections::BTreeMap;

use serde_json::json;

use crate::base::OpError;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::node::context::Output;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::benchmark::items_of;
use crate::eval::compare::{facts, paired};
use crate::eval::score::load;
use crate::eval::table_text::escape;
use crate::spec::{Columns, Effect, OpSpec};

/// The comparison.
pub static COMPARE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Compares two scores item by item on what both answered: difference, interval, p-value, wins and losses.
op eval.compare(a: Score, b: Score) -> Report"#,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run),
};

/// The rows behind a score.
pub static ITEMS: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## The scored items as rows: question, key, prompt, raw reply, value read, rule, scores.
op score.items(s: Score) -> Dataset[{ ..any }]"#,
        effect: Effect::RowExpand,
        columns: Columns::FromFile,
        ..OpSpec::BASE
    },
    run: Some(items),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let a = load(cx.store, cx.input("a")?)?;
    let b = load(cx.store, cx.input("b")?)?;
    let d = paired(&a, &b)?.ok_or_else(|| OpError::new("E0612", "the two scores have no item in common"))?;
    let percent = |v: f64| format!("{:+.1}", 100.0 * v);
    let text = format!(
        "{} points, 95 % interval [{}, {}], p = {:.4} ({}), {} items, {} won, {} lost",
        percent(d.value),
        percent(d.low),
        percent(d.high),
        d.p,
        d.test,
        d.n,
        d.wins,
        d.losses
    );
    let page = format!("<!doctype html><meta charset=\"utf-8\"><title>Comparison</title><p>{}</p>\n", escape(&text));
    let mut files = BTreeMap::new();
    files.insert("report.html".to_owned(), cx.put(page.as_bytes())?);
    files.insert("report.json".to_owned(), cx.put(serde_json::to_string_pretty(&facts(&d))?.as_bytes())?);
    let artifact = Artifact { kind: Kind::Report, meta: json!({ "comparison": facts(&d), "text": text }), files };
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}

fn items(cx: &mut Context) -> Result<Outputs, OpError> {
    let score = cx.input("s")?;
    Ok(vec![(String::new(), Output::Artifact(items_of(score)?))])
}
