//! Scores from outside: a gate over questions from annotated scenes, what a recipe may ask of it, and the page about it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::browser::Browser;
use crate::engine::files_below;

const RECIPE: &str = r#"
recipe "gate"
import std.{data, cot, filter, bench, read, mark, total, eval, report}
param seed: Int = 5

let root = "ROOT"
let asked = data.visual_genome("{root}/eval/annotations/scene_graphs.json", media: root)
  |> data.sample(n: 40rows)
  |> cot.questions(ask: ["point", "side"], per_scene: 4)
let points = asked |> filter.rule(where: .kind == "point")
let sides = asked |> filter.rule(where: .kind == "side")

let pointing = points
  |> bench.sample(id: .id, kind: "point", question: .instruction, key: .output, images: .images, cluster: .id.before("-"),
                  groups: { ask: .kind })
  |> bench.ask(point: "{question}")
  |> bench.read(point: read.points())
  |> bench.mark(point: mark.near(abs: 0.10))
  |> bench.total(headline: total.micro())
let siding = sides
  |> bench.sample(id: .id, kind: "choice", question: .instruction, options: ["left", "right"],
                  key: .output.index_in(["left", "right"]), images: .images, cluster: .id.before("-"), groups: { said: .output })
  |> bench.ask(choice: "Answer with the letter only.")
  |> bench.read(choice: read.choice())
  |> bench.mark(choice: mark.letter())
  |> bench.total(headline: total.micro())

let near = sweep m in { centre: points |> data.derive(reply: "[(0.5, 0.5)]"), oracle: points |> data.derive(reply: .output) } {
  eval.score(m, on: pointing)
}
let knowing = sides |> data.derive(reply: if .output == "left" then "A" else "B")
let left = sweep m in { always: sides |> data.derive(reply: "A"), oracle: knowing } { eval.score(m, on: siding) }
let gain = near.delta(from: "centre", to: "oracle")
let both = ["always", "oracle"]

CHECKS
output table = left.table(rows: "m", cols: "m", show: ["answers", "skill", "majority"]) to "out/table.md"
output page = report.page(left, data: sides) to "out/page.html"
"#;

const HOLDS: &str = r#"
expect near.at(m: "oracle").value == 100%
expect near.at(m: "oracle") >= near.at(m: "oracle").floor + 20pt
expect near.at(m: "centre") <= near.at(m: "centre").majority
expect gain.value >= 20pt and gain.low > 10pt and gain.high <= 100pt and gain.p < 0.001
expect near.at(m: "oracle").by("ask") == 100%
expect left.at(m: "always").by("said", value: "left") == 100% and left.at(m: "always").by("said", value: "right") == 0%
expect left.at(m: "always").by("said") == 50%
expect left.mean(of: "majority") >= 50% and left.mean(of: "floor") == left.mean(of: "majority", m: both)
expect left.mean(m: both) > left.mean(m: "always") + 20pt
"#;

struct Place(tempfile::TempDir);

impl Place {
    fn new(checks: &str) -> Self {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/data/tabletop");
        let place = Self(tempfile::tempdir().unwrap());
        let text = RECIPE.replace("ROOT", root).replace("CHECKS", checks);
        fs::write(place.0.path().join("recipe.rb2"), text).unwrap();
        place
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn rbpipe(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbpipe"));
        command
            .args(args)
            .current_dir(self.folder())
            .env("RBPIPE_CACHE", self.folder().join("cache"))
            .env("NO_COLOR", "1");
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        (status.code().unwrap_or(-1), text)
    }
}

#[test]
fn a_gate_is_made_of_annotated_scenes() {
    let place = Place::new(HOLDS);
    let (code, text) = place.rbpipe(&["check", "recipe.rb2"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = place.rbpipe(&["run", "recipe.rb2"]);
    assert_eq!(code, 0, "{text}");
    let table = fs::read_to_string(place.folder().join("out/table.md")).unwrap();
    assert!(
        table.contains("A said 100%, right ") && table.contains("when readable") && table.contains("majority"),
        "{table}"
    );
    assert!(!table.contains("chance"), "{table}");
    assert_eq!(place.rbpipe(&["report", "recipe.rb2", "-o", "run.html"]).0, 0);
    let told = fs::read_to_string(place.folder().join("run.html")).unwrap();
    assert!(told.contains("<h3>table</h3><table>\n<tr><th>") && told.contains("A said 100%"), "the table is a table");

    // The page tells how its rows came about, and is made anew when that changes although the rows do not.
    let page = fs::read_to_string(place.folder().join("out/page.html")).unwrap();
    assert!(
        page.contains(r#""op":"cot.questions""#) && page.contains(r#""op":"data.sample""#),
        "no history in the page"
    );
    if let Some(browser) = Browser::find() {
        let seen = browser.open(&place.folder().join("out/page.html"));
        assert_eq!(seen.console, Vec::<String>::new());
        assert!(seen.dom.contains("data-ready=\"yes\""));
    }
    // Made once more, of scores that now come from the store instead of memory, it has the same bytes.
    let removed = files_below(&place.folder().join("cache/records")).into_iter().filter(|record| {
        let text = fs::read_to_string(record).unwrap();
        text.contains(r#""name":"page""#) && fs::remove_file(record).is_ok()
    });
    assert_eq!(removed.count(), 1);
    let (code, text) = place.rbpipe(&["run", "recipe.rb2"]);
    assert!(code == 0 && text.contains("1 run"), "{text}");
    assert!(fs::read_to_string(place.folder().join("out/page.html")).unwrap() == page, "another page");

    let recipe = fs::read_to_string(place.folder().join("recipe.rb2")).unwrap();
    let same = recipe.replace("let sides = asked |> ", "let sides = asked |> filter.rule(where: .id != \"\") |> ");
    fs::write(place.folder().join("recipe.rb2"), same).unwrap();
    let (code, text) = place.rbpipe(&["run", "recipe.rb2"]);
    assert_eq!(code, 0, "{text}");
    let other = fs::read_to_string(place.folder().join("out/page.html")).unwrap();
    assert_eq!(other.matches(r#""op":"filter.rule""#).count(), 1 + page.matches(r#""op":"filter.rule""#).count());
    let (code, text) = place.rbpipe(&["run", "recipe.rb2", "--no-exec"]);
    assert_eq!(code, 0, "{text}");
}

const SEVERAL: &str = r#"
recipe "several"
import std.{data, bench, read, mark, total, eval}
schema Reply { id: Str, reply: Str }
let items = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: "choices", question: .q, options: .o, key: .a)
  |> bench.ask(choices: "{question}\n{options}\nAll letters.")
  |> bench.read(choices: read.choices())
let strict = items |> bench.mark(choices: mark.letters()) |> bench.total(headline: total.micro())
let lenient = items |> bench.mark(choices: mark.letters(partial: true)) |> bench.total(headline: total.micro())
let replies = data.jsonl("replies.jsonl", as: Reply)
output strict = eval.score(replies, on: strict).items to "out/strict.jsonl"
output lenient = eval.score(replies, on: lenient).items to "out/lenient.jsonl"
"#;

#[test]
fn questions_with_several_right_options() {
    let place = Place::new("");
    let write = |name: &str, text: &str| fs::write(place.folder().join(name), text).unwrap();
    let item = |(i, key): (usize, &str)| {
        format!("{{\"id\": \"{i}\", \"q\": \"?\", \"o\": [\"a\", \"b\", \"c\", \"d\"], \"a\": \"{key}\"}}\n")
    };
    let items = |keys: [&str; 4]| keys.into_iter().enumerate().map(item).collect::<String>();
    write("recipe.rb2", SEVERAL);
    write("items.jsonl", &items(["AC", "B, D", "a", "ABCD"]));
    let reply = |(i, text): (usize, &str)| format!("{{\"id\": \"{i}\", \"reply\": \"{text}\"}}\n");
    write(
        "replies.jsonl",
        &["Answers: C, A", "B", "A, B", "I cannot say"].into_iter().enumerate().map(reply).collect::<String>(),
    );
    let (code, text) = place.rbpipe(&["run", "recipe.rb2"]);
    assert_eq!(code, 0, "{text}");
    for (name, want) in [("strict", [1.0, 0.0, 0.0, 0.0]), ("lenient", [1.0, 0.5, 0.0, 0.0])] {
        let rows = fs::read_to_string(place.folder().join(format!("out/{name}.jsonl"))).unwrap();
        let rows: Vec<serde_json::Value> = rows.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(rows.iter().map(|r| r["score"].as_f64().unwrap()).collect::<Vec<_>>(), want, "{name}: {rows:?}");
        assert_eq!(rows.iter().map(|r| r["key"].as_str().unwrap()).collect::<Vec<_>>(), ["AC", "BD", "A", "ABCD"]);
        assert!(
            (rows[0]["chance"].as_f64().unwrap() - 1.0 / 15.0).abs() < 1e-12,
            "any set of letters but the empty one"
        );
    }
    write("items.jsonl", &items(["AC", "E", "AX", ""]));
    fs::remove_file(place.folder().join("recipe.rb2.lock")).unwrap();
    let (code, text) = place.rbpipe(&["run", "recipe.rb2"]);
    assert!(code != 0 && text.contains("3 of 4 keys are no legal answer"), "{text}");
}

#[test]
fn what_a_score_does_not_have_is_named_before_anything_runs() {
    for (check, code, words) in [
        (r#"expect left.at(m: "oracle").by("side") > 0%"#, "E0604", "no group `side`"),
        (r#"expect left.at(m: "oracle").by("sad") > 0%"#, "E0604", "did you mean \"said\"?"),
        (r#"expect left.at(m: "oracle").by("said", valu: "left") > 0%"#, "E0210", "`group` and `value`"),
        (r#"expect left.mean(m: ["always", "orakel"]) > 0%"#, "E0604", "oracle"),
        (r#"expect left.mean(of: "median") > 0%"#, "E0213", "majority"),
        (r#"expect left.delta(from: "always", to: "orakel").low > 0pt"#, "E0604", "oracle"),
        (r#"expect left.delta(from: "always").low > 0pt"#, "E0211", "`to`"),
        (r#"expect left.delta(from: "always", to: "oracle").mid > 0pt"#, "E0201", "mid"),
        (r#"expect left.at(m: "oracle").majorty > 0%"#, "E0201", "majority"),
        (r#"expect left.at(m: "oracle").floor > 5pt"#, "E0121", "Ratio"),
    ] {
        let place = Place::new(check);
        let (status, text) = place.rbpipe(&["check", "recipe.rb2"]);
        let (status, text) = if status == 0 { place.rbpipe(&["plan", "recipe.rb2"]) } else { (status, text) };
        assert!(status != 0 && text.contains(code) && text.contains(words), "{check}: {text}");
    }
}

#[test]
fn a_value_that_no_item_has_is_named_when_it_is_asked_for() {
    let place = Place::new(r#"expect left.at(m: "oracle").by("said", value: "up") > 0%"#);
    let (code, text) = place.rbpipe(&["run", "recipe.rb2"]);
    assert!(code != 0 && text.contains("its groups are `kind`, `said`"), "{text}");
}

/// Among more texts than are tried, the one that is there most often is the best constant answer.
#[test]
fn the_best_constant_text_is_the_most_common_one() {
    let place = crate::engine::Place::new();
    let key = |i: usize| if i % 100 == 99 { "zebra".to_owned() } else { format!("animal {i:03}") };
    let row = |i: usize| {
        format!("{{\"id\": \"q{i}\", \"q\": \"Which animal is {i}?\", \"a\": \"{}\", \"reply\": \"cat\"}}\n", key(i))
    };
    place.write("exam.jsonl", &(0..400).map(row).collect::<String>());
    place.write_quietly(
        "recipe.rb2",
        r#"recipe "texts"
import std.{data, bench, read, mark, total, eval}
schema Row { id: Str, reply: Str }
let exam = bench.json("exam.jsonl")
  |> bench.sample(id: .id, kind: "text", question: .q, key: .a)
  |> bench.ask(text: "{question}")
  |> bench.read(text: read.text())
  |> bench.mark(text: mark.text_equal())
  |> bench.total(headline: total.micro())
let cats = sweep m in { cat: data.jsonl("exam.jsonl", as: Row) } { eval.score(m, on: exam) }
expect cats.at(m: "cat").majority == 1%
output table = cats.table(rows: "m", cols: "m", show: ["majority"]) to "out/table.md"
"#,
    );
    let ran = place.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}
