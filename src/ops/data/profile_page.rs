//! The page of `data.profile`: its numbers as plots, one file without scripts.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use crate::eval::table_text::escape;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
h2{margin:2rem 0 .3rem;font-size:1.1rem}small{color:#777;font-weight:normal}svg{display:block;margin:.3rem 0}\
table{border-collapse:collapse;font-size:.85rem}td,th{padding:.1rem .7rem .1rem 0;text-align:right}\
th{font-weight:normal;color:#777}.bar{fill:#4a7fb5}text{font-size:11px;fill:#777}\
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}.bar{fill:#6fa3d8}text,th,small{fill:#999;color:#999}}";
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 90.0;
/// Values of a column that get a bar of their own; the others are counted together.
const BARS: usize = 24;

/// Returns the page of a profile.
pub fn html(profile: &Json) -> String {
    let rows = profile["rows"].as_u64().unwrap_or(0);
    let mut out = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Profile</title><style>{STYLE}</style><h1>{rows} rows</h1>"
    );
    let _ = write!(out, "<p>{} of them repeat the texts of another.</p>", profile["rows with the texts of another"]);
    let empty = Map::new();
    for (name, counts) in profile["by"].as_object().unwrap_or(&empty) {
        let _ = write!(out, "<h2>Rows by {}</h2>", escaped(name));
        bars(&mut out, counts.as_object().unwrap_or(&empty));
    }
    for (name, about) in profile["columns"].as_object().unwrap_or(&empty) {
        let _ = write!(out, "<h2>{} <small>{}", escaped(name), escaped(about["type"].as_str().unwrap_or_default()));
        for (key, word) in [("absent", "absent"), ("distinct", "different values")] {
            if let Some(n) = about[key].as_u64().filter(|n| *n > 0) {
                let _ = write!(out, " · {n} {word}");
            }
        }
        out.push_str("</small></h2>");
        for (key, word) in [("characters", "characters"), ("tokens", "tokens"), ("values", "")] {
            spread(&mut out, word, &about[key]);
        }
        let pictures = &about["pictures"];
        if let Some(n) = pictures["distinct"].as_u64() {
            let _ = write!(out, "<p>{n} different pictures</p>");
        }
        for side in ["width", "height"] {
            spread(&mut out, &format!("{side} in pixels"), &pictures[side]);
        }
    }
    out
}

/// Draws how numbers are spread.
fn spread(out: &mut String, what: &str, numbers: &Json) {
    let Some(counts) = numbers["histogram"].as_array() else { return };
    let counts: Vec<f64> = counts.iter().filter_map(Json::as_f64).collect();
    let most = counts.iter().copied().fold(1.0, f64::max);
    let step = WIDTH / counts.len().max(1) as f64;
    let _ = write!(out, "<svg width=\"{WIDTH}\" height=\"{}\" role=\"img\">", HEIGHT + 18.0);
    for (i, count) in counts.iter().enumerate() {
        let tall = count / most * HEIGHT;
        let (x, y, wide) = (i as f64 * step, HEIGHT - tall, step - 1.0);
        let _ = write!(
            out,
            "<rect class=\"bar\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\"><title>{count}</title></rect>"
        );
    }
    let end = |key: &str| short(numbers[key].as_f64().unwrap_or(0.0));
    let _ = write!(out, "<text x=\"0\" y=\"{}\">{}</text>", HEIGHT + 14.0, end("min"));
    let (x, y) = (WIDTH, HEIGHT + 14.0);
    let _ = write!(
        out,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{} {}</text></svg><table><tr>",
        end("max"),
        escaped(what)
    );
    let keys = ["min", "p25", "p50", "p75", "p95", "p99", "max", "mean"];
    keys.iter().for_each(|key| out.push_str(&format!("<th>{key}</th>")));
    out.push_str("</tr><tr>");
    keys.iter().for_each(|key| out.push_str(&format!("<td>{}</td>", end(key))));
    out.push_str("</tr></table>");
}

/// Draws counts of values, the largest first.
fn bars(out: &mut String, counts: &Map<String, Json>) {
    let mut counts: Vec<(&str, f64)> = counts.iter().map(|(k, n)| (k.as_str(), n.as_f64().unwrap_or(0.0))).collect();
    counts.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let rest: f64 = counts.iter().skip(BARS).map(|(_, n)| n).sum();
    let others = format!("{} others", counts.len().saturating_sub(BARS));
    counts.truncate(BARS);
    if rest > 0.0 {
        counts.push((&others, rest));
    }
    let most = counts.iter().map(|(_, n)| *n).fold(1.0, f64::max);
    let _ = write!(out, "<svg width=\"{WIDTH}\" height=\"{}\" role=\"img\">", counts.len() * 18 + 4);
    for (i, (name, count)) in counts.iter().enumerate() {
        let (y, wide) = (i * 18, count / most * (WIDTH - 240.0));
        let name = escaped(if name.is_empty() { "(none)" } else { name });
        let _ = write!(out, "<text x=\"170\" y=\"{}\" text-anchor=\"end\">{name}</text>", y + 13);
        let _ = write!(out, "<rect class=\"bar\" x=\"176\" y=\"{}\" width=\"{wide:.1}\" height=\"14\"/>", y + 2);
        let _ = write!(out, "<text x=\"{:.1}\" y=\"{}\">{count}</text>", 182.0 + wide, y + 13);
    }
    out.push_str("</svg>");
}

fn short(x: f64) -> String {
    if x == x.trunc() { format!("{x:.0}") } else { format!("{x:.3}") }
}

/// Makes a text safe inside a page; a long one is cut.
fn escaped(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    escape(&cut)
}
