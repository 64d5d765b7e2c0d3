//! Options in other orders than the source's: what is scored of them from replies alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

const RECIPE: &str = r#"
recipe "turned"
import std.{data, bench, read, mark, total, eval}
schema Reply { id: Str, reply: Str }
let asked = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: "choice", question: .question, options: .options, key: .key, permute: "HOW")
  |> bench.ask(choice: "Letter?")
  |> bench.read(choice: read.choice())
  |> bench.mark(choice: mark.letter())
  |> bench.total(headline: HEADLINE, also: [total.all_rotations(), total.chance_adjusted(total.all_rotations()), total.nested(by: [.kind])])
  |> bench.compat(choice: read.choice_flagevalmm())
let score = eval.score(data.jsonl("replies.jsonl", as: Reply), on: asked)
output facts = score to "out/HOW.json"
output items = score.items to "out/HOW.jsonl"
"#;
const N: usize = 12;

/// Several right letters move with their options: replies that name the same options in each order are right in all of them.
#[test]
fn several_right_letters_move_with_their_options() {
    let place = tempfile::tempdir().unwrap();
    let recipe = RECIPE
        .replace("reply: Str }", "reply: Str, rotation: Int }")
        .replace("kind: \"choice\"", "kind: \"choices\"")
        .replace("bench.ask(choice:", "bench.ask(choices:")
        .replace("choice: read.choice()", "choices: read.choices()")
        .replace("choice: mark.letter()", "choices: mark.letters()")
        .replace("  |> bench.compat(choice: read.choice_flagevalmm())\n", "");
    let row = json!({ "id": "q", "question": "Which are fruit?", "options": ["apple", "brick", "pear", "drum"], "key": "AC" });
    fs::write(place.path().join("items.jsonl"), format!("{row}\n")).unwrap();
    // Options move up by one place each time, the last answer is wrong.
    let said = ["AC", "BD", "AC", "AB"];
    let line = |(i, said): (usize, &&str)| format!("{}\n", json!({ "id": "q", "rotation": i, "reply": said }));
    fs::write(place.path().join("replies.jsonl"), said.iter().enumerate().map(line).collect::<String>()).unwrap();
    let (facts, items) = scored(place.path(), &recipe, "cyclic", "total.micro()").unwrap();
    let seen: Vec<(&str, f64)> =
        items.iter().map(|i| (i["key"].as_str().unwrap(), i["score"].as_f64().unwrap())).collect();
    assert_eq!(seen, [("AC", 1.0), ("BD", 1.0), ("AC", 1.0), ("BD", 0.0)]);
    assert_eq!(items[1]["options"], json!(["brick", "pear", "drum", "apple"]));
    let all = facts["also"].as_array().unwrap().iter().find(|t| t["name"] == "all_rotations").unwrap();
    assert_eq!((&facts["value"], &all["value"]), (&json!(0.75), &json!(0.0)));
}

fn score(folder: &Path, how: &str, headline: &str) -> Result<(Json, Vec<Json>), String> {
    scored(folder, RECIPE, how, headline)
}

fn scored(folder: &Path, recipe: &str, how: &str, headline: &str) -> Result<(Json, Vec<Json>), String> {
    fs::write(folder.join("recipe.rb2"), recipe.replace("HOW", how).replace("HEADLINE", headline)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rbpipe"));
    command.args(["run", "recipe.rb2"]).current_dir(folder).env("NO_COLOR", "1");
    let out = command.env("RBPIPE_CACHE", folder.join("cache")).output().unwrap();
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into_owned());
    }
    let read = |name: String| fs::read_to_string(folder.join("out").join(name)).unwrap();
    let items = read(format!("{how}.jsonl")).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    Ok((serde_json::from_str(&read(format!("{how}.json"))).unwrap(), items))
}

#[test]
fn one_reply_to_a_question_says_nothing_of_its_other_orders() {
    let place = tempfile::tempdir().unwrap();
    let row = |i: usize| json!({ "id": format!("q{i}"), "question": format!("{i}?"), "options": ["left", "right", "above"], "key": "A" });
    let lines = |f: &dyn Fn(usize) -> Json| (0..N).map(|i| format!("{}\n", f(i))).collect::<String>();
    fs::write(place.path().join("items.jsonl"), lines(&row)).unwrap();
    fs::write(place.path().join("replies.jsonl"), lines(&|i| json!({ "id": format!("q{i}"), "reply": "A" }))).unwrap();

    let (facts, items) = score(place.path(), "cyclic", "total.micro()").unwrap();
    assert_eq!(items.len(), N);
    let names: Vec<&str> = facts["also"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["nested(kind)"], "{facts}");
    let refused = score(place.path(), "cyclic", "total.all_rotations()").unwrap_err();
    assert!(refused.contains("E0302") && refused.contains("all rotations"), "{refused}");

    // Each item in one order; what another harness would score is known of those that kept the order of the source.
    let (facts, items) = score(place.path(), "seeded", "total.micro()").unwrap();
    assert_eq!((items.len(), &facts["n"]), (N, &json!(N)));
    let kept = items.iter().filter(|i| i["rotation"] == 0).count();
    assert!(kept > 0 && kept < N, "{kept}");
    for item in &items {
        let turned = item["rotation"] != 0;
        assert_eq!((item["compat"].is_null(), item["key"] != "A"), (turned, turned), "{item}");
    }
    assert_eq!(facts["compat"], 1.0);
    assert!((facts["value"].as_f64().unwrap() - kept as f64 / N as f64).abs() < 1e-12);
}
