//! Charts as files, and what repeats of questions show, from outside.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value as Json, json};

const RECIPE: &str = r#"
recipe "charts"
import std.{data, bench, read, mark, total, eval, report}
schema Reply { id: Int, reply: [Str], option_p: [Float] }
let items = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: "choice", question: "?", options: ["left", "right"], key: .a)
  |> bench.ask(choice: "{question}")
  |> bench.read(choice: read.choice())
  |> bench.mark(choice: mark.letter())
  |> bench.total(headline: total.micro())
let said = data.jsonl("replies.jsonl", as: Reply)
let suite = bench.suite(of: { near: items, far: items })
let scores = sweep m in { plain: said, same: said |> data.drop(columns: [.reply]) |> data.derive(reply: ["A"]) }, b in suite { eval.score(m, on: b) }
let first = scores.at(m: "plain", b: "near")
expect first.consensus == 75%
expect first.consistency == 50%
output slope = report.chart(scores) to "slope.svg"
output radar = report.chart(scores, kind: "radar", title: "Ours & <theirs>") to "radar.svg"
output sure = report.chart(scores, kind: "calibration") to "sure.svg"
output numbers = report.chart(scores, kind: "slope") to "slope.json"
output score = first to "score.json"
"#;

fn run(folder: &Path, recipe: &str) -> (i32, String) {
    fs::write(folder.join("charts.rb2"), recipe).unwrap();
    let key = |id: u64| if id < 2 { "A" } else { "B" };
    let items: String = (0..4).map(|id| format!("{}\n", json!({ "id": id, "a": key(id) }))).collect();
    fs::write(folder.join("items.jsonl"), items).unwrap();
    // Right answers are A A B B: votes give A A B A.
    let replies = [["A", "A", "A"], ["A", "B", "A"], ["A", "B", "B"], ["A", "A", "A"]];
    let replies: String =
        (0..4).map(|id| format!("{}\n", json!({ "id": id, "reply": replies[id], "option_p": [0.75, 0.25] }))).collect();
    fs::write(folder.join("replies.jsonl"), replies).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rbpipe"));
    command.args(["run", "charts.rb2"]).current_dir(folder).env("NO_COLOR", "1");
    command.env("RBPIPE_CACHE", folder.join("cache"));
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap_or(-1), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

#[test]
fn charts_are_files_with_the_same_bytes_each_time() {
    let place = tempfile::tempdir().unwrap();
    let (code, said) = run(place.path(), RECIPE);
    assert_eq!(code, 0, "{said}");
    let read = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    let charts = ["slope.svg", "radar.svg", "sure.svg"].map(read);
    for (svg, words) in charts.iter().zip([
        &["near", "far", "plain", "same"][..],
        &["near", "far", "&lt;theirs&gt;"],
        &["confidence", "plain"],
    ]) {
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for word in words {
            assert!(svg.contains(word), "`{word}` is not in the chart");
        }
    }
    let drawn: Json = serde_json::from_str(&read("slope.json")).unwrap();
    assert_eq!(drawn["names"], json!(["plain", "same"]));
    assert_eq!(drawn["series"][0]["points"][1], json!([1.0, 0.5]));

    let score: Json = serde_json::from_str(&read("score.json")).unwrap();
    let found = &score["repeats"];
    assert_eq!(found["epochs"], 3);
    assert_eq!(found["consensus"]["value"], 0.75);
    // Runs are right 2, 2 and 3 times of 4.
    assert_eq!(found["runs"], json!([0.5, 0.5, 0.75]));
    assert!((found["spread"].as_f64().unwrap() - (0.0625f64 / 3.0).sqrt()).abs() < 1e-12);
    assert!((score["value"].as_f64().unwrap() - 7.0 / 12.0).abs() < 1e-12);

    let other = tempfile::tempdir().unwrap();
    let (code, said) = run(other.path(), RECIPE);
    assert_eq!(code, 0, "{said}");
    let again = |name: &str| fs::read_to_string(other.path().join(name)).unwrap();
    assert_eq!(["slope.svg", "radar.svg", "sure.svg"].map(again), charts);
}

#[test]
fn a_chart_without_its_numbers_says_what_to_ask_for() {
    let place = tempfile::tempdir().unwrap();
    let recipe = RECIPE.replace(
        "output sure = report.chart(scores, kind: \"calibration\") to \"sure.svg\"",
        "output loss = report.chart(scores, kind: \"loss\") to \"loss.svg\"",
    );
    let (code, said) = run(place.path(), &recipe);
    assert!(code != 0 && said.contains("E0302") && said.contains("models: { tuned, aligned }"), "{said}");
}
