//! A table of scores as Markdown, CSV, HTML and LaTeX.

use std::collections::BTreeSet;

use super::compare::{Gained, Mean, ScoreCell, ScoreRow, ScoreTable};
use super::stored::Spread;
use super::total::FEW;
use crate::base::phrase;

/// Returns a table as Markdown, ready to be pasted.
pub fn markdown(table: &ScoreTable) -> String {
    let grid = texts(table);
    let mut out = String::new();
    for (i, row) in grid.iter().enumerate() {
        out.push_str(&format!("| {} |\n", row.iter().map(|c| c.replace('|', "\\|")).collect::<Vec<_>>().join(" | ")));
        if i == 0 {
            out.push_str(&format!("|---|{}\n", "---:|".repeat(row.len() - 1)));
        }
    }
    out.push('\n');
    out.push_str(&legend(table));
    out.push('\n');
    out
}

/// Columns of CSV.
const COLUMNS: [&str; 32] = [
    "row",
    "column",
    "value",
    "se",
    "low",
    "high",
    "delta",
    "delta_low",
    "delta_high",
    "p_adjusted",
    "n",
    "unparsed",
    "skill",
    "compat",
    "chance",
    "majority",
    "hole",
    "refused",
    "failed",
    "truncated",
    "prompt_tokens",
    "reply_tokens",
    "cost",
    "overlap",
    "published",
    "compat_answered",
    "interval",
    "clusters",
    "detectable",
    "runs",
    "runs_sd",
    "covers",
];

/// What an interval of a cell is about: other questions, or other questions and other runs.
fn covers(cell: &ScoreCell) -> &'static str {
    if cell.runs.as_ref().is_some_and(|runs| runs.n > 1) { "questions and runs" } else { "questions" }
}

/// Returns a table as CSV: one line per cell, numbers in full.
pub fn csv(table: &ScoreTable) -> String {
    let mut out = COLUMNS.join(",") + "\n";
    let quote = |text: &str| {
        if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
    };
    let number = |n: Option<f64>| n.map_or(String::new(), |n| format!("{n}"));
    for row in &table.rows {
        for (column, cell) in table.columns.iter().zip(&row.cells) {
            let delta = cell.delta.as_ref();
            let fields = [
                quote(&row.label),
                quote(column),
                number(cell.value),
                format!("{}", cell.se),
                number(cell.low),
                number(cell.high),
                number(delta.map(|d| d.value)),
                number(delta.map(|d| d.low)),
                number(delta.map(|d| d.high)),
                number(cell.adjusted),
                row.n.map_or(String::new(), |n| n.to_string()),
                number(cell.unparsed),
                number(cell.skill),
                number(cell.compat),
                number(row.chance),
                number(row.majority),
                quote(cell.hole.as_deref().unwrap_or("")),
                number(cell.refused),
                number(cell.failed),
                number(cell.truncated),
                number(cell.tokens.map(|t| t.0)),
                number(cell.tokens.map(|t| t.1)),
                number(cell.cost),
                number(row.overlap),
                quote(cell.published.as_deref().unwrap_or("")),
                number(cell.compat_answered),
                quote(cell.interval.as_deref().unwrap_or("")),
                cell.clusters.map_or(String::new(), |c| c.to_string()),
                number(row.detectable),
                cell.runs.as_ref().map_or(String::new(), |r| r.n.to_string()),
                number(cell.runs.as_ref().and_then(|r| r.sd)),
                cell.low.map_or("", |_| covers(cell)).to_owned(),
            ];
            out.push_str(&fields.join(","));
            out.push('\n');
        }
    }
    if let Some(gain) = &table.gain {
        for (column, gained) in table.columns.iter().zip(&gain.over) {
            let Some(Gained { difference: d, adjusted, .. }) = gained else { continue };
            let mut fields = vec![String::new(); COLUMNS.len()];
            fields[0] = quote(&format!("gain of {}", gain.of));
            fields[1] = quote(column);
            fields[6..11].clone_from_slice(&[
                d.value.to_string(),
                d.low.to_string(),
                d.high.to_string(),
                adjusted.to_string(),
                d.n.to_string(),
            ]);
            out.push_str(&fields.join(","));
            out.push('\n');
        }
    }
    out
}

/// Returns a table as a small HTML page.
pub fn html(table: &ScoreTable) -> String {
    let grid = texts(table);
    let mut body = String::new();
    for (i, row) in grid.iter().enumerate() {
        let tag = if i == 0 { "th" } else { "td" };
        let cells: String = row.iter().map(|c| format!("<{tag}>{}</{tag}>", escape(c))).collect();
        body.push_str(&format!("<tr>{cells}</tr>\n"));
    }
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Scores</title>\
         <style>body{{font:14px system-ui;margin:2rem;color-scheme:light dark}}table{{border-collapse:collapse}}\
         td,th{{padding:.35rem .7rem;border-bottom:1px solid #8884;text-align:right;font-variant-numeric:tabular-nums}}\
         td:first-child,th:first-child{{text-align:left}}</style>\n<table>\n{body}</table>\n<p>{}</p>\n",
        escape(&legend(table))
    )
}

/// Returns a table as LaTeX, for the packages `booktabs` and `amssymb`.
pub fn latex(table: &ScoreTable) -> String {
    let grid = texts(table);
    let columns = grid.first().map_or(0, |header| header.len().saturating_sub(1));
    let mut out = format!("\\begin{{tabular}}{{l{}}}\n\\toprule\n", "r".repeat(columns));
    for (i, row) in grid.iter().enumerate() {
        let below = grid.len() - usize::from(table.gain.is_some());
        if i + 1 == below && table.rows.len() > 1 {
            out.push_str("\\midrule\n");
        }
        out.push_str(&row.iter().map(|c| tex(c)).collect::<Vec<_>>().join(" & "));
        out.push_str(if i == 0 { " \\\\\n\\midrule\n" } else { " \\\\\n" });
    }
    out.push_str("\\bottomrule\n\\end{tabular}\n");
    // A comment ends with its line.
    out.push_str(&format!("% {}\n", legend(table).replace('\n', " ")));
    out
}

/// Returns text with the characters that TeX gives a meaning replaced, and our signs in their TeX form.
fn tex(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\textbackslash{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '±' => out.push_str("$\\pm$"),
            '‡' => out.push_str("$\\ddagger$"),
            '▲' => out.push_str("$\\blacktriangle$"),
            '▼' => out.push_str("$\\blacktriangledown$"),
            '·' => out.push_str("$\\cdot$"),
            '–' => out.push_str("--"),
            '†' => out.push_str("$\\dagger$"),
            c => out.push(c),
        }
    }
    out
}

/// Returns text with the characters that HTML gives a meaning replaced.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Returns a cell as people read it: `46.0 ±2.1 ▲+5.0 [+2.4, +7.6] **`.
fn cell_text(cell: &ScoreCell, show: &[String]) -> String {
    let shows = |what: &str| show.iter().any(|s| s == what);
    let Some(value) = cell.value else {
        return format!("– ({})", cell.hole.as_deref().unwrap_or("not run"));
    };
    let mut out = format!("{:.1}", 100.0 * value);
    if cell.published.is_some() {
        out.push_str(" †");
        return out;
    }
    if shows("ci") {
        match (cell.low, cell.high) {
            (Some(low), Some(high)) => out.push_str(&format!(" ±{:.1}", 50.0 * (high - low))),
            _ => out.push_str(" (no interval)"),
        }
        out.push_str(weak(cell));
    }
    out.push_str(&runs_text(cell.runs.as_ref()));
    if let Some(delta) = cell.delta.as_ref().filter(|_| shows("delta")) {
        out.push_str(&format!(
            " {}{:+.1} [{:+.1}, {:+.1}]{}",
            arrow(delta.value),
            100.0 * delta.value,
            100.0 * delta.low,
            100.0 * delta.high,
            stars(cell.adjusted)
        ));
    }
    if let Some(unparsed) = cell.unparsed.filter(|u| shows("unparsed") && *u >= 0.005) {
        out.push_str(&format!(" · {:.0}% unparsed", 100.0 * unparsed));
    }
    for (share, what) in [(cell.refused, "refused"), (cell.failed, "failed"), (cell.truncated, "cut off")] {
        if let Some(share) = share.filter(|s| shows("unparsed") && *s >= 0.005) {
            out.push_str(&format!(" · {:.0}% {what}", 100.0 * share));
        }
    }
    if let Some(compat) = cell.compat.filter(|_| shows("compat")) {
        out.push_str(&format!(" · compat {:.1}", 100.0 * compat));
        if let Some(answered) = cell.compat_answered {
            out.push_str(&format!(" ({:.1} without failures)", 100.0 * answered));
        }
    }
    if let Some((prompt, reply)) = cell.tokens.filter(|_| shows("tokens")) {
        out.push_str(&format!(" · {prompt:.0} + {reply:.0} tokens"));
    }
    if let Some(cost) = cell.cost.filter(|_| shows("cost")) {
        out.push_str(&format!(" · cost {cost:.4}"));
    }
    if let Some(skill) = cell.skill.filter(|_| shows("skill")) {
        out.push_str(&format!(" · {:.1} when readable", 100.0 * skill));
    }
    if let Some((answer, said, right)) = cell.favourite.as_ref().filter(|_| shows("answers")) {
        let answer: String = answer.chars().take(20).collect();
        out.push_str(&format!(" · {answer} said {:.0}%, right {:.0}%", 100.0 * said, 100.0 * right));
    }
    out
}

/// The mark of an interval over few clusters.
fn weak(cell: &ScoreCell) -> &'static str {
    if cell.interval.as_deref() == Some("few clusters") || cell.clusters.is_some_and(|c| (2..FEW).contains(&c)) {
        " ‡"
    } else {
        ""
    }
}

/// ` (sd 0.8 of 3 runs)`; how many there should be where some have no score.
fn runs_text(runs: Option<&Spread>) -> String {
    let Some(runs) = runs else { return String::new() };
    let count = if runs.n < runs.of { format!("{} of {} runs", runs.n, runs.of) } else { phrase::count(runs.n, "run") };
    match runs.sd {
        Some(sd) => format!(" (sd {:.1}, {count})", 100.0 * sd),
        None => format!(" ({count})"),
    }
}

/// Returns the mark of an adjusted p-value.
pub fn stars(p: Option<f64>) -> &'static str {
    match p {
        Some(p) if p < 0.001 => " ***",
        Some(p) if p < 0.01 => " **",
        Some(p) if p < 0.05 => " *",
        _ => "",
    }
}

fn arrow(delta: f64) -> &'static str {
    if delta > 0.0 {
        "▲"
    } else if delta < 0.0 {
        "▼"
    } else {
        "="
    }
}

/// All cells as text: a header, the rows, the means.
fn texts(table: &ScoreTable) -> Vec<Vec<String>> {
    let shows = |what: &str| table.show.iter().any(|s| s == what);
    let ratio = |r: Option<f64>| r.map_or("–".to_owned(), |r| format!("{:.1}", 100.0 * r));
    let mut header = vec![String::new()];
    header.extend(table.columns.iter().cloned());
    if shows("n") {
        header.push("n".into());
    }
    if shows("detectable") {
        header.push("detects".into());
    }
    let floors = |chance: Option<f64>, majority: Option<f64>| -> Vec<String> {
        let both = [("chance", chance), ("majority", majority)];
        both.into_iter().filter(|(name, _)| shows(name)).map(|(_, r)| ratio(r)).collect()
    };
    header.extend(table.see.map(|see| format!("n for {:.1}", 100.0 * see)));
    header.extend(["chance", "majority"].into_iter().filter(|n| shows(n)).map(str::to_owned));
    let mut out = vec![header];
    let overlaps = table.rows.iter().any(|r| r.overlap.is_some());
    if overlaps {
        out[0].push("in training".into());
    }
    for ScoreRow { label, cells, n, chance, majority, overlap, detectable, needed } in &table.rows {
        let mut row = vec![label.clone()];
        row.extend(cells.iter().map(|c| cell_text(c, &table.show)));
        if shows("n") {
            row.push(n.map_or("–".into(), |n| n.to_string()));
        }
        if shows("detectable") {
            row.push(detectable.map_or("–".into(), |d| format!("{:.1}", 100.0 * d)));
        }
        row.extend(table.see.map(|_| needed.map_or("–".into(), |n| n.to_string())));
        row.extend(floors(*chance, *majority));
        row.extend(overlaps.then(|| ratio(*overlap)));
        out.push(row);
    }
    if table.rows.len() > 1 {
        let mut row = vec!["mean".to_owned()];
        row.extend(table.means.iter().map(|m| m.as_ref().map_or("–".into(), |m| mean_text(m, &table.show))));
        row.extend(["n", "detectable"].into_iter().filter(|n| shows(n)).map(|_| String::new()));
        row.extend(table.see.map(|_| String::new()));
        let whole: Vec<&ScoreRow> = table.rows.iter().filter(|r| !table.left_out.contains(&r.label)).collect();
        let mean = |of: &dyn Fn(&ScoreRow) -> Option<f64>| -> Option<f64> {
            let values: Option<Vec<f64>> = whole.iter().map(|r| of(r)).collect();
            values.filter(|v| !v.is_empty()).map(|v| super::stats::mean(&v))
        };
        row.extend(floors(mean(&|r| r.chance), mean(&|r| r.majority)));
        row.extend(overlaps.then(String::new));
        out.push(row);
    }
    if let Some(gain) = &table.gain {
        let mut row = vec![format!("gain of {}", gain.of)];
        row.extend(gain.over.iter().map(|g| g.as_ref().map_or("–".into(), gained_text)));
        row.resize(out[0].len(), String::new());
        out.push(row);
    }
    out
}

fn gained_text(gained: &Gained) -> String {
    let Gained { difference: d, adjusted, .. } = gained;
    format!("{:+.1} [{:+.1}, {:+.1}]{}", 100.0 * d.value, 100.0 * d.low, 100.0 * d.high, stars(Some(*adjusted)))
}

fn mean_text(mean: &Mean, show: &[String]) -> String {
    let mut out = format!("{:.1}", 100.0 * mean.value);
    if mean.published {
        out.push_str(" †");
        return out;
    }
    if show.iter().any(|s| s == "ci") {
        let half = mean.half.or(mean.se.map(|se| 1.96 * se));
        out.push_str(&half.map_or(" (no interval)".to_owned(), |half| format!(" ±{:.1}", 100.0 * half)));
    }
    out.push_str(&runs_text(mean.runs.as_ref()));
    if let Some((value, low, high)) = mean.delta.filter(|_| show.iter().any(|s| s == "delta")) {
        out.push_str(&format!(" {}{:+.1}", arrow(value), 100.0 * value));
        if let (Some(low), Some(high)) = (low, high) {
            out.push_str(&format!(" [{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high));
        }
    }
    out
}

fn legend(table: &ScoreTable) -> String {
    let mut out = String::from("Scores in percent, ± half of the 95 % interval.");
    let cells = || table.rows.iter().flat_map(|r| &r.cells);
    if !table.over.is_empty() {
        let axes = table.over.join(", ");
        out.push_str(&format!(
            " Each is the mean of its runs over {axes}; sd: standard deviation between them (n − 1). ± covers other questions and other runs; \
             of one run, other questions alone."
        ));
    }
    if table.show.iter().any(|s| s == "ci") && cells().any(|c| !weak(c).is_empty()) {
        out.push_str(&format!(" ‡ fewer than {FEW} independent clusters of questions: their interval is a weak one."));
    }
    if let Some(baseline) = &table.baseline {
        let adjust = if table.adjust == "bh" { "Benjamini–Hochberg" } else { "Holm" };
        out.push_str(&format!(
            " ▲▼: paired difference to {baseline} with its 95 % interval; * p < 0.05, ** < 0.01, *** < 0.001 after {adjust}."
        ));
    }
    if let Some(gain) = &table.gain {
        let rows = gain.over.iter().flatten().map(|g| g.rows).min().unwrap_or(0);
        let all = if rows < table.rows.len() {
            format!(", over the {rows} rows or more that both have")
        } else {
            String::new()
        };
        out.push_str(&format!(
            " gain of {}: its mean paired difference to the column{all}, 95 % interval by a bootstrap over clusters.",
            gain.of
        ));
    }
    for (name, words) in [
        (
            "detectable",
            "detects: the smallest paired difference in points that is found with 80 % power at the 5 % level.",
        ),
        ("chance", "chance: guessing among the options."),
        ("majority", "majority: the best answer that never looks."),
        (
            "unparsed",
            "unparsed: replies that came and could not be read; they count as wrong, as do refused and failed ones.",
        ),
        ("answers", "said, right: the answer given most too often, its share of the replies and of the right answers."),
    ] {
        if table.show.iter().any(|s| s == name) {
            out.push(' ');
            out.push_str(words);
        }
    }
    if cells().any(|c| c.compat_answered.is_some()) && table.show.iter().any(|s| s == "compat") {
        out.push_str(
            " compat: by FlagEvalMM's rules; without failures: over the questions that were answered, as it counts.",
        );
    }
    if let Some(see) = table.see {
        out.push_str(&format!(
            " n for {:.1}: how many questions of this sort it takes to find a difference of that many points with 80 % power.",
            100.0 * see
        ));
    }
    if table.see.is_some() || table.show.iter().any(|s| s == "detectable") {
        out.push_str(match table.baseline {
            Some(_) => " As measured against the baseline, else for models whose answers correlate by 0.5.",
            None => " For two models whose answers correlate by 0.5.",
        });
    }
    if table.rows.iter().any(|r| r.overlap.is_some()) {
        out.push_str(" in training: questions whose picture or words are among the training rows.");
    }
    let sources: BTreeSet<&String> = cells().filter_map(|c| c.published.as_ref()).collect();
    if !sources.is_empty() {
        let all = sources.into_iter().map(String::as_str).collect::<Vec<_>>().join("; ");
        out.push_str(&format!(" † published, not measured here: {all}."));
    }
    if !table.left_out.is_empty() {
        out.push_str(&format!(" The mean leaves out rows with a hole: {}.", table.left_out.join(", ")));
    }
    out
}
