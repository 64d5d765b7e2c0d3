//! Rehearsals: recipes whose inputs are nowhere to be found run from end to end, leave nothing behind, and show what is wrong with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::engine::Place;
use crate::pages::{blocks, page, said};

/// Takes the times out, which differ from run to run, and the blanks that their width leaves.
fn timeless(text: &str) -> String {
    let time = regex::Regex::new(r" +\d+(\.\d+s|m\d\ds)").unwrap();
    text.lines().map(|l| time.replace_all(l, "").trim_end().to_owned() + "\n").collect()
}

/// Every file below a folder with its bytes, the cache left out.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten().filter(|e| e.file_name() != "cache") {
        if entry.path().is_dir() {
            out.extend(files(&entry.path()));
        } else {
            out.insert(entry.path().display().to_string(), fs::read(entry.path()).unwrap());
        }
    }
    out
}

const RECIPE: &str = r#"recipe "rehearsed" requires ">=0.1"
import std.{data, filter, dedup, judge}
param seed: Int = 1
secret key from env "NOBODY_HAS_THIS"
schema Sample { id: Str, instruction: Str, input: Str?, output: Str, images: [Image], risk: enum { safe, low, high } }
op louder(d: Dataset[{ id: Str, output: Str, ..r }]) -> Dataset[{ id: Str, output: Str, shout: Str, ..r }] runs "python3 upper.py" files ["upper.py"]
let raw = data.jsonl("nowhere/*.jsonl", as: Sample, media: "nowhere", bad: "quarantine")
let kept = raw
  |> filter.rule(where: .output.starts("impossible"))
  |> dedup.minhash(on: [.instruction], within: [.images])
  |> louder()
let parts = kept |> judge.score(on: [.instruction, .output], rubric: "Is it true?", by: "gpt-5", key: key, keep: 3..) |> data.split(validation: 500rows)
expect kept.rows >= 10_000rows
output train = parts.train to "out/train.jsonl"
"#;

const UPPER: &str = r#"import sys, json
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({**row, "shout": row["output"].upper()}))
"#;

#[test]
fn a_recipe_without_its_inputs_runs_and_leaves_nothing_behind() {
    let place = Place::new();
    place.write_quietly("recipe.rb2", RECIPE);
    place.write("upper.py", UPPER);
    place.write("out/train.jsonl", "mine\n");
    let before = files(&place.path(""));
    let (ended, words) = said(&place, &["rehearse", "recipe.rb2"]);
    assert_eq!(ended, 0, "{words}");
    insta::assert_snapshot!(timeless(&words));
    assert_eq!(files(&place.path("")), before, "nothing is written");
    assert!(!place.cache().join("records").exists(), "nothing is recorded");
}

#[test]
fn what_is_wrong_with_a_program_of_the_users_is_found() {
    let place = Place::new();
    place.write_quietly("recipe.rb2", RECIPE);
    place.write("upper.py", &UPPER.replace("row[\"output\"]", "row[\"reply\"]"));
    let (ended, words) = said(&place, &["rehearse", "recipe.rb2"]);
    assert_eq!(ended, 3, "{words}");
    for piece in ["FAILED", "KeyError: 'reply'", "fails on made-up rows", "1 failed"] {
        assert!(words.contains(piece), "{piece}: {words}");
    }
    // A program that is not there is said before anything starts.
    fs::remove_file(place.path("upper.py")).unwrap();
    let (ended, words) = said(&place, &["rehearse", "recipe.rb2"]);
    assert!(ended == 1 && words.contains("upper.py"), "{words}");
}

#[test]
fn each_recipe_of_the_cookbook_can_be_rehearsed_without_its_rows() {
    let text = page("recipes.md");
    for section in text.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap();
        let place = Place::new();
        let all = blocks(section);
        let recipe = all.iter().find(|b| b.language == "rb2").expect(title);
        for program in all.iter().filter(|b| matches!(b.language, "python" | "sh")) {
            place.write(program.file.expect(title), &program.text);
        }
        place.write_quietly("recipe.rb2", &recipe.text);
        let (ended, words) = said(&place, &["rehearse", "recipe.rb2"]);
        assert_eq!(ended, 0, "{title}: {words}");
        assert!(words.contains("nothing was kept"), "{title}: {words}");
    }
}

/// Questions about made-up scenes are named after their pictures, so each scene has one of its own.
#[test]
fn made_up_scenes_become_a_benchmark() {
    let place = Place::new();
    place.write_quietly(
        "recipe.rb2",
        r#"recipe "asked" requires ">=0.1"
import std.{data, cot, bench, read, mark, total, eval}
schema Reply { id: Str, reply: Str }
let exam = data.visual_genome("nowhere/scene_graphs.json", media: "nowhere")
  |> cot.questions(ask: ["side", "risk"], per_scene: 1, seed: 1)
  |> bench.sample(id: .id, kind: "text", question: .instruction, key: .output, images: .images)
  |> bench.ask(text: "{question}")
  |> bench.read(text: read.text())
  |> bench.mark(text: mark.text_equal())
  |> bench.total(headline: total.micro())
output score = eval.score(data.jsonl("replies.jsonl", as: Reply), on: exam, strays: "skip") to "out/score.json"
"#,
    );
    let (ended, words) = said(&place, &["rehearse", "recipe.rb2"]);
    assert_eq!(ended, 0, "{words}");
    assert!(!words.contains("FAILED") && !words.contains("left out"), "{words}");
}

/// The stand-in answers for a server: the real one is never asked.
#[test]
fn models_behind_servers_have_a_stand_in() {
    let place = Place::new();
    place.write_quietly(
        "recipe.rb2",
        r#"recipe "served" requires ">=0.1"
import std.{bench, read, mark, total, eval, model}
secret token from env "TOKEN"
let exam = bench.json("exam.jsonl")
  |> bench.sample(id: .id, kind: "choice", question: .q, options: .o, key: .a.index_in(.o))
  |> bench.ask(choice: "Answer with the letter only.")
  |> bench.read(choice: read.choice())
  |> bench.mark(choice: mark.letter())
  |> bench.total(headline: total.micro())
let far = model.server("http://127.0.0.1:9/v1", name: "far", key: token, answers: "listed")
let sure = model.server("http://127.0.0.1:9/v1", name: "far", key: token)
output listed = eval.run(far, on: exam) to "out/listed.json"
output score = eval.run(sure, on: exam, confidence: true) to "out/score.json"
"#,
    );
    let (ended, words) = said(&place, &["rehearse", "recipe.rb2"]);
    assert_eq!(ended, 0, "{words}");
    assert!(!words.contains("FAILED") && !words.contains("left out"), "{words}");
}

#[cfg(feature = "torch")]
mod tensor {
    use super::*;

    #[test]
    fn trainings_and_evaluations_take_two_steps_on_tiny_models() {
        let place = Place::new();
        place.write_quietly(
            "recipe.rb2",
            r#"recipe "tensors" requires ">=0.1"
import std.{data, filter, model, train, eval, bench, read, mark, total}
param seed: Int = 1
schema Sample { id: Str, instruction: Str, output: Str, images: [Image] }
schema Pair { id: Str, prompt: Str, images: [Image], chosen: Str, rejected: Str }
let rows = data.jsonl("rows.jsonl", as: Sample)
let embed = model.hf("maidalun1020/bce-embedding-base_v1")
let near = rows |> filter.relevance(of: .output, to: [.instruction], embed: embed, keep: 4.0..6.0)
let best = near |> filter.reward(by: model.reward("Skywork/Skywork-VL-Reward-7B"), keep: top(10rows))
let size = { batch: 256, cutoff: 8192tok, validation: 500rows }
stage sft = model.hf("Qwen/Qwen2.5-VL-7B-Instruct") |> train.sft(data: best, epochs: 3.0, warmup: 80steps, ..size) with { gpus: 8, shard: "zero3" }
stage dpo = sft |> train.dpo(pairs: data.jsonl("pairs.jsonl", as: Pair), ..size) with { gpus: 8 }
let exam = bench.json("exam.jsonl")
  |> bench.sample(id: .id, kind: "choice", question: .q, options: .o, key: .a.index_in(.o), images: [.img])
  |> bench.ask(choice: "Answer with the letter only.")
  |> bench.read(choice: read.choice())
  |> bench.mark(choice: mark.letter())
  |> bench.total(headline: total.micro())
let scores = sweep m in { sft, dpo } { eval.run(m, on: exam) } with { serve: "vllm", gpus: 4 }
output tuned = dpo to "out/tuned"
output table = scores.table(rows: "m", cols: "m") to "out/table.md"
"#,
        );
        let (ended, words) = said(&place, &["rehearse", "recipe.rb2"]);
        assert_eq!(ended, 0, "{words}");
        assert!(!words.contains("skipped") && !words.contains("left out"), "{words}");
        assert!(words.contains("a tiny random encoder") && words.contains("a tiny random reward model"), "{words}");
        assert!(!place.path("out").exists());
    }
}
