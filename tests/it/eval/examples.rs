//! Worked examples are run by `check`: no model, no rows.

use std::fs;
use std::process::Command;

const RECIPE: &str = r#"
recipe "worked"
import std.{data, bench, read, mark, total, eval}
schema Reply { id: Str, reply: Str }
let asked = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: "number", question: .question, key: .key)
  |> bench.ask(number: "How many?")
  |> bench.read(number: read.number())
  |> bench.mark(number: mark.near(abs: 0.5))
  |> bench.total(headline: total.micro())
  |> bench.examples(of: [{ kind: "KIND", key: "5", reply: "REPLY", score: 1.0 }])
output score = eval.score(data.jsonl("replies.jsonl", as: Reply), on: asked) to "out/score.json"
"#;

#[test]
fn check_runs_worked_examples() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("items.jsonl"), "{\"id\": \"a\", \"question\": \"?\", \"key\": \"5\"}\n").unwrap();
    fs::write(place.path().join("replies.jsonl"), "{\"id\": \"a\", \"reply\": \"5\"}\n").unwrap();
    for (kind, reply, code) in [("number", "Answer: 5", ""), ("number", "4", "E0803"), ("yes_no", "yes", "E0801")] {
        fs::write(place.path().join("r.rb2"), RECIPE.replace("KIND", kind).replace("REPLY", reply)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbpipe"));
        let out = command.args(["check", "r.rb2"]).current_dir(place.path()).env("NO_COLOR", "1").output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.success(), code.is_empty(), "{text}");
        assert!(text.contains(code), "{text}");
    }
}
