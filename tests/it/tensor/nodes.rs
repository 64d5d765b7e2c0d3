//! Nodes of the engine, started by the scheduler: GPUs and cores that they ask for, and what the engine says of itself.

use std::path::Path;

use serde_json::Value as Json;

use crate::engine::Place;

/// Three trainings that ask for a GPU each: with one GPU they follow each other, though there are cores for all. No engine of the tests has CUDA,
/// so each of them ends by saying so.
#[test]
fn nodes_that_ask_for_gpus_share_them() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/models");
    let place = Place::new();
    place.write("rows.jsonl", "{\"instruction\": \"Say yes.\", \"output\": \"yes\"}\n");
    let mut recipe = format!(
        "recipe \"gpus\"\nimport std.{{data, model, train}}\nschema Row {{ instruction: Str, output: Str }}\nlet rows = data.jsonl(\"rows.jsonl\", as: Row)\n\
         let blank = model.random(config: \"{0}/small.json\", tokenizer: \"{0}/tiny-base\", seed: 1)\n",
        models.display()
    );
    for name in ["a", "b", "c"] {
        recipe += &format!(
            "stage {name} = blank |> train.sft(data: rows, seed: {}) with {{ gpus: 1, cpus: 1, on_error: \"keep_going\" }}\noutput o{name} = {name}\n",
            name.as_bytes()[0]
        );
    }
    place.write("recipe.rb2", &recipe);
    let events = place.path("events.jsonl");
    let args = ["run", "recipe.rb2", "--events", events.to_str().unwrap()];
    let out = place.command(&args).env("CUDA_VISIBLE_DEVICES", "0").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("E0712") && said.contains("without CUDA"), "{said}");
    let events = place.read("events.jsonl");
    let order: String = events
        .lines()
        .map(|l| serde_json::from_str::<Json>(l).unwrap())
        .filter(|e| ["a", "b", "c"].contains(&e["node"].as_str().unwrap_or_default()))
        .filter_map(|e| match e["event"].as_str()? {
            "node_started" => Some('+'),
            "node_failed" => Some('-'),
            _ => None,
        })
        .collect();
    assert_eq!(order, "+-+-+-");
}

#[test]
fn the_engine_says_what_it_can_do() {
    let place = Place::new();
    let out = place.command(&["engine", "info"]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    for word in ["cpu, ", "gpus           0", "train.sft", "eval.run"] {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
}

/// Three nodes of the engine, what `with` says of each, and the order in which they start and end on two cores or more.
const SIDE_BY_SIDE: &[([&str; 3], &str)] = &[
    (["", "", ""], "+a -a +b -b +c -c"),
    (["cpus: 1", "cpus: 1", ""], "+a +b -. -. +c -c"),
    (["", "", "priority: 1"], "+c -c +a -a +b -b"),
    (["cpus: 1", "", "cpus: 1"], "+a -a +b -b +c -c"),
];

#[test]
fn nodes_that_name_their_cores_run_side_by_side() {
    if std::thread::available_parallelism().map_or(1, usize::from) != 2 {
        eprintln!("SKIPPED: this is about two cores");
        return;
    }
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/models");
    for (with, order) in SIDE_BY_SIDE {
        let place = Place::new();
        let mut recipe = "recipe \"side\"\nimport std.{model}\n".to_owned();
        for ((name, seed), with) in ["a", "b", "c"].iter().zip(1..).zip(with) {
            recipe += &format!(
                "let {name} = model.random(config: \"{0}/small.json\", tokenizer: \"{0}/tiny-base\", seed: {seed}) with {{ {with} }}\noutput o{name} = {name}\n",
                models.display()
            );
        }
        place.write("recipe.rb2", &recipe.replace(" with {  }", ""));
        let ran = place.run(&[]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let said = ran.events.iter().filter_map(|e| {
            let sign = match e["event"].as_str()? {
                "node_started" => "+",
                "node_finished" => "-",
                _ => return None,
            };
            Some(format!("{sign}{}", e["node"].as_str()?))
        });
        let mut said: Vec<String> = said.collect();
        // Which of two that run side by side ends first is nobody's business.
        let ends: Vec<&str> = order.split(' ').collect();
        said.iter_mut()
            .zip(&ends)
            .filter(|(_, wanted)| **wanted == "-.")
            .for_each(|(said, _)| *said = format!("{}.", &said[..1]));
        assert_eq!(said.join(" "), *order, "{with:?}");
    }
}
