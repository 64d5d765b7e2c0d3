//! `judge.agreement`: how far two judges, or a judge and a person, agree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::base::OpError;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::node::context::Output;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, Looks, OpSpec};

/// The operator.
pub static AGREEMENT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Compares two columns of verdicts: the share of equal ones, Cohen's kappa with its standard error, the table of counts, and how much more often
## each verdict is given in the one than in the other (for verdicts "a" and "b": the bias towards a place). Rows with a missing verdict are left out.
## Source: Cohen 1960; standard error as in Fleiss, Cohen and Everitt 1969, the simple large-sample form.
op judge.agreement(d: Dataset[{ ..r }], a: Col, b: Col) -> Report"#,
        effect: Effect::Reduce,
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    a: String,
    b: String,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let d = cx.table("d")?;
    let (a, b) = (d.cells(&args.a)?, d.cells(&args.b)?);
    let verdict = |c: &crate::data::cell::Cell<'_>| Some(c.text().trim().to_owned()).filter(|t| !t.is_empty());
    let pairs: Vec<(String, String)> = a.iter().zip(&b).filter_map(|(x, y)| Some((verdict(x)?, verdict(y)?))).collect();
    if pairs.is_empty() {
        return Err(OpError::new("E0302", format!("no row has a verdict in both `.{}` and `.{}`", args.a, args.b)));
    }
    let labels: BTreeSet<&String> = pairs.iter().flat_map(|(x, y)| [x, y]).collect();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (x, y) in &pairs {
        *counts.entry((x, y)).or_default() += 1;
    }
    let n = pairs.len() as f64;
    let count = |x: &str, y: &str| counts.get(&(x, y)).copied().unwrap_or(0);
    let first = |l: &str| pairs.iter().filter(|p| p.0 == l).count() as f64 / n;
    let second = |l: &str| pairs.iter().filter(|p| p.1 == l).count() as f64 / n;
    let observed = pairs.iter().filter(|(x, y)| x == y).count() as f64 / n;
    let expected: f64 = labels.iter().map(|l| first(l) * second(l)).sum();
    // Both always gave the same single verdict: chance explains everything, and kappa is not defined.
    let kappa = (expected < 1.0).then(|| (observed - expected) / (1.0 - expected));
    let error = kappa.map(|_| (observed * (1.0 - observed) / n).sqrt() / (1.0 - expected));
    let bias: BTreeMap<&str, f64> = labels.iter().map(|l| (l.as_str(), first(l) - second(l))).collect();

    let escaped = |s: &str| s.replace('&', "&amp;").replace('<', "&lt;");
    let head: String = labels.iter().map(|l| format!("<th>{}</th>", escaped(l))).collect();
    let body: String = labels
        .iter()
        .map(|x| {
            let cells: String = labels.iter().map(|y| format!("<td>{}</td>", count(x, y))).collect();
            format!("<tr><th>{}</th>{cells}<td>{:+.3}</td></tr>", escaped(x), bias[x.as_str()])
        })
        .collect();
    let number = |v: Option<f64>| v.map_or_else(|| "not defined".to_owned(), |v| format!("{v:.3}"));
    let page = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Agreement</title><style>body{{font:15px sans-serif;margin:2em}}\
        td,th{{padding:.3em .7em;text-align:right}}</style>\
         <h1>{a} against {b}</h1><p>{n} rows · equal {observed:.3} · Cohen's kappa {} ± {}</p>\
         <table><tr><th>{a} \\ {b}</th>{head}<th>bias</th></tr>{body}</table>",
        number(kappa),
        number(error),
        a = escaped(&args.a),
        b = escaped(&args.b),
    );
    let file = cx.put(page.as_bytes())?;
    let meta = json!({ "rows": pairs.len(), "equal": observed, "kappa": kappa, "kappa_se": error, "bias": bias });
    let artifact = Artifact { kind: Kind::Report, meta, files: BTreeMap::from([("report.html".to_owned(), file)]) };
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}
