//! What a change of a column costs: nothing where an operator neither reads it nor passes it on, a putting together where it passes it on.

use std::fs;

use rbpipe::base::Digest;
use serde_json::{Value as Json, json};

use crate::engine::{Place, Ran};
use crate::workbench::Draw;

/// Operators that look at `text` or `n` and pass the others.
const PASSING: &str = r#"
recipe "passing"
import std.{data, filter, dedup}

schema Row { id: Str, text: Str, n: Int, note: Str, tags: [Str] }

let rows = data.jsonl("rows.jsonl", as: Row)
let said = rows |> filter.language(of: .text, keep: ["en"], where: .n > 100)
let same = said |> dedup.exact(on: [.text], where: .n > 3)
let near = same |> data.drop(columns: [.cluster, .copies]) |> dedup.minhash(on: [.text], similar: 80%, keep: "best", best: .n)
output all = near |> filter.conflict(question: [.text], answer: .n) to "all.jsonl"
"#;

/// Rows of which some are alike; `note` is what nobody reads.
fn rows(draw: &mut Draw, count: usize, note: &str) -> String {
    let one = |i: usize| {
        let text =
            (0..draw.below(6)).map(|_| draw.one(&["red", "blue", "cup ", "on", "a", "table"])).collect::<Vec<_>>();
        let tags: Vec<String> = (0..i % 4).map(|k| format!("t{k}")).collect();
        json!({ "id": format!("r{i}"), "text": text.join(" "), "n": draw.below(50), "note": format!("{note} {}", i * 7), "tags": tags })
    };
    (0..count).map(one).map(|row| format!("{row}\n")).collect()
}

fn passed(ran: &Ran) -> usize {
    ran.said("node_hit").iter().filter(|e| e["passed"] == true).count()
}

fn place(recipe: &str, rows: &str) -> Place {
    let place = Place::new();
    place.write("recipe.rb2", recipe);
    place.write("rows.jsonl", rows);
    place
}

/// What a run made: the digest of each node's result.
fn made(ran: &Ran) -> Vec<(String, Json)> {
    let ended = ran.events.iter().filter(|e| e["event"] == "node_hit" || e["event"] == "node_finished");
    let mut out: Vec<_> = ended.map(|e| (e["node"].as_str().unwrap().to_owned(), e["output"].clone())).collect();
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

#[test]
fn a_changed_column_that_passes_reruns_nothing_and_reaches_the_output() {
    for seed in 0..4 {
        let count = [90, 3, 1, 40][seed as usize];
        let text = |note: &str| rows(&mut Draw(seed), count, note);
        let place = place(PASSING, &text("old"));
        place.done();
        let twice = place.done();
        assert!(twice.executed().is_empty(), "seed {seed}");
        place.write("rows.jsonl", &text("new"));
        let planned = place.plan();
        let ran = place.done();
        // The source reads the file, and a column is taken away; of the four whose work is more than that none runs.
        assert_eq!(ran.executed(), ["near/data.drop", "rows"], "seed {seed}: {planned:?}");
        assert_eq!(passed(&ran), 4, "seed {seed}");
        assert!(planned.values().all(|state| state != "hit"), "seed {seed}: {planned:?}");
        // The same as if nothing had been known: bytes of the output, and the digest of every result.
        let fresh = self::place(PASSING, &text("new"));
        let anew = fresh.done();
        assert_eq!(place.read("all.jsonl"), fresh.read("all.jsonl"), "seed {seed}");
        assert_eq!(made(&ran), made(&anew), "seed {seed}");
        // And the same as if every operator saw every column, which is how `cache check` executes them.
        let out = place.command(&["cache", "check", "recipe.rb2", "--sample", "100%"]).output().unwrap();
        assert!(out.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&[out.stdout, out.stderr].concat()));
    }
}

#[test]
fn a_changed_column_that_is_read_runs_what_reads_it() {
    let text = |from: &str, to: &str| rows(&mut Draw(1), 40, "note").replace(from, to);
    let place = place(PASSING, &text("", ""));
    place.done();
    place.write("rows.jsonl", &text("red", "green"));
    let ran = place.done();
    for node in ["rows", "said", "same"] {
        assert!(ran.executed().contains(&node.to_owned()), "{node} did not run: {:?}", ran.executed());
    }
}

#[test]
fn what_is_put_together_is_no_execution_and_the_plan_says_so() {
    let recipe =
        PASSING.replace("output all = near |> filter.conflict(question: [.text], answer: .n)", "output all = said");
    let place = place(&recipe, &rows(&mut Draw(3), 20, "old"));
    place.done();
    place.write("rows.jsonl", &rows(&mut Draw(3), 20, "new"));
    // Only the source is made; then `said` can be foretold.
    assert_eq!(place.run(&["--to", "rows"]).code, 0);
    let plan = place.plan();
    assert_eq!((plan["rows"].as_str(), plan["said"].as_str()), ("hit", "hit"), "{plan:?}");
    let ran = place.run(&["--no-exec"]);
    assert_eq!((ran.code, passed(&ran)), (0, 1), "{}", ran.stderr);
    assert!(place.read("all.jsonl").contains("new 7"));
}

/// Reductions and projections: their results have no column that they do not name.
const NAMING: &str = r#"
recipe "naming"
import std.{data, judge}

schema Row { id: Str, text: Str, n: Int, note: Str, tags: [Str] }

let rows = data.jsonl("rows.jsonl", as: Row)
output some = rows |> data.select(columns: [.id, .text]) to "some.jsonl"
output rest = rows |> data.drop(columns: [.note, .tags]) to "rest.jsonl"
output count = rows |> data.count() to "count.json"
output agreement = rows |> judge.agreement(a: .text, b: .n) to "agreement.html"
"#;

#[test]
fn a_column_that_neither_is_read_nor_passes_is_in_no_key() {
    let place = place(NAMING, &rows(&mut Draw(5), 30, "old"));
    let before = place.done();
    place.write("rows.jsonl", &rows(&mut Draw(5), 30, "new"));
    let ran = place.done();
    assert_eq!(ran.executed(), ["rows"]);
    assert_eq!(passed(&ran), 0);
    // What each holds does not differ, so neither does its key.
    let keys = |ran: &Ran| {
        let ended = ran.events.iter().filter(|e| e["event"] == "node_hit" || e["event"] == "node_finished");
        let mut keys: Vec<String> = ended.filter(|e| e["node"] != "rows").map(|e| e["key"].to_string()).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&before), keys(&ran));
    place.write("rows.jsonl", &rows(&mut Draw(5), 31, "new"));
    assert_eq!(place.done().executed().len(), 5, "another number of rows is another dataset");
}

#[test]
fn what_was_decided_of_rows_stays_as_long_as_their_result() {
    let place = place(PASSING, &rows(&mut Draw(7), 30, "old"));
    place.done();
    // All that is there is old; the last run of the recipe is what holds it.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(90 * 86_400);
    for file in crate::engine::files_below(&place.cache().join("records")) {
        fs::File::open(file).unwrap().set_modified(old).unwrap();
    }
    let out = place.command(&["cache", "gc", "--keep-days", "1", "--apply"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    place.write("rows.jsonl", &rows(&mut Draw(7), 30, "new"));
    let ran = place.done();
    assert_eq!((ran.executed().len(), passed(&ran)), (2, 4));
}

#[test]
fn what_was_decided_is_made_anew_where_it_is_damaged() {
    let place = place(PASSING, &rows(&mut Draw(9), 30, "old"));
    place.done();
    place.write("rows.jsonl", &rows(&mut Draw(9), 30, "new"));
    // Every blob of a decision: the numbers of the rows are stored nowhere else.
    let mut spoilt = 0;
    for blob in crate::engine::files_below(&place.cache().join("blobs")) {
        let text = fs::read(&blob).unwrap();
        if String::from_utf8_lossy(&text).contains("$row") {
            fs::remove_file(&blob).unwrap();
            fs::write(&blob, "other bytes").unwrap();
            spoilt += 1;
        }
    }
    assert!(spoilt > 0);
    let ran = place.done();
    assert_eq!(passed(&ran), 0);
    let fresh = self::place(PASSING, &rows(&mut Draw(9), 30, "new"));
    fresh.done();
    assert_eq!(Digest::of(place.read("all.jsonl").as_bytes()), Digest::of(fresh.read("all.jsonl").as_bytes()));
}

/// Sixty datasets of three columns, where a process may have sixty-four files open.
#[test]
fn more_datasets_are_put_together_than_files_may_be_open() {
    let names: Vec<String> = (0..60).map(|i| format!("n{i}")).collect();
    let parts: String = (0..60).map(|i| format!("let n{i} = rows |> filter.rule(where: .n < {i})\n")).collect();
    let all: Vec<String> = names.iter().map(|name| format!("{name}: {name}")).collect();
    let recipe = format!(
        "recipe \"many\"\nimport std.{{data, filter}}\nschema Row {{ id: Str, text: Str, n: Int }}\nlet rows = data.jsonl(\"rows.jsonl\", as: Row)\n{parts}output all = data.concat({}) to \"all.jsonl\"\n",
        all.join(", ")
    );
    let row = |i: usize| format!("{{\"id\":\"r{i}\",\"text\":\"word\",\"n\":{i}}}\n");
    let place = place(&recipe, &(0..60).map(row).collect::<String>());
    let line = format!("ulimit -n 64; exec {} run recipe.rb2 --jobs 1", env!("CARGO_BIN_EXE_rbpipe"));
    let mut command = std::process::Command::new("sh");
    let ran =
        command.args(["-c", &line]).current_dir(&place.folder).env("RBPIPE_CACHE", place.cache()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(place.read("all.jsonl").lines().count(), (0..60).sum::<usize>());
}
