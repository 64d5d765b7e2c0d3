//! Trainings that go on where a shorter one ended: the bytes of an unbroken run, or none of it and a reason.

use std::collections::BTreeMap;
use std::path::Path;

use rbpipe::base::Digest;
use rbpipe::engine::Store;
use rbpipe::engine::storage::record::{self, Record};
use serde_json::{Value as Json, json};

use super::train_ops::with;
use crate::cache::{ALL, age};
use crate::engine::{Place, Ran, files_below};

const RECIPE: &str = r#"
recipe "prolong"
import std.{data, model, train}

param seed: Int = 7
schema Row { id: Str, instruction: Str, output: Str, prompt: Str, chosen: Str, rejected: Str }

let rows  = data.jsonl("rows.jsonl", as: Row)
let vocabulary = train.tokenizer(rows, on: [.instruction, .output], vocab: 300)
let blank = model.random(config: "config.json", tokenizer: vocabulary)
stage even   = blank |> train.sft(data: rows, batch: 4, epochs: EPOCHS, lr: 1e-3, schedule: "constant", warmup: 0%, weight_decay: 0.1, dtype: "f32") with { KEEP }
stage chosen = blank |> train.sft(data: rows, batch: 4, epochs: EPOCHS, lr: 1e-3, schedule: "constant", warmup: 2steps, ema: 0.5, validation: 2rows, evaluate: 3steps, best: true, dtype: "f32") with { KEEP }
stage stable = blank |> train.sft(data: rows, batch: 4, epochs: EPOCHS, lr: 1e-3, schedule: "wsd", warmup: 1steps, cooldown: 2steps, floor: 10%, optimizer: "adafactor", dtype: "f32") with { KEEP }
stage prefer = blank |> train.dpo(pairs: rows, batch: 4, epochs: EPOCHS, lr: 1e-3, schedule: "constant", warmup: 1steps, dtype: "f32") with { KEEP }
stage scored = blank |> train.reward(pairs: rows, batch: 4, epochs: EPOCHS, lr: 1e-3, schedule: "constant", warmup: 1steps, dtype: "f32") with { KEEP }
stage crew   = blank |> train.sft(data: rows, batch: 4, epochs: EPOCHS, lr: 1e-3, schedule: "constant", warmup: 1steps, dtype: "bf16") with { KEEP, ranks: 2, shard: "zero2" }
stage round  = blank |> train.sft(data: rows, batch: 4, epochs: EPOCHS, lr: 1e-3, dtype: "f32") with { KEEP }
output o1 = even
output o2 = chosen
output o3 = stable
output o4 = prefer
output o5 = scored
output o6 = crew
output o7 = round
"#;

/// Where two epochs go on that were one before: steps done, all steps. Ten rows are three steps an epoch, eight are two.
const CONTINUES: &[(&str, u64, u64)] =
    &[("chosen", 2, 4), ("crew", 3, 6), ("even", 3, 6), ("prefer", 3, 6), ("scored", 3, 6), ("stable", 2, 6)];

const KEEP: &str = "keep_state: true, log: 2steps";

fn place() -> Place {
    let place = Place::new();
    let row = |i: usize| {
        let (ask, good) = (format!("count to {i}"), ["one", "one two", "one two three"][i % 3]);
        json!({ "id": i.to_string(), "instruction": ask, "output": good, "prompt": ask, "chosen": good, "rejected": "many" })
    };
    place.write("rows.jsonl", &(0..10).map(|i| format!("{}\n", row(i))).collect::<String>());
    let config: Json = serde_json::from_str(&super::train_ops::config()).expect("a configuration");
    place.write("config.json", &with(config, json!({ "vocab_size": 512 })).to_string());
    place
}

fn run(place: &Place, epochs: u64, keep: &str, args: &[&str]) -> Ran {
    place.write_quietly("recipe.rb2", &recipe(epochs, keep));
    let ran = place.run(args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran
}

fn recipe(epochs: u64, keep: &str) -> String {
    RECIPE.replace("EPOCHS", &epochs.to_string()).replace("KEEP", keep)
}

/// What a plan says of each training.
fn plan(place: &Place, epochs: u64) -> BTreeMap<String, Json> {
    place.write_quietly("recipe.rb2", &recipe(epochs, KEEP));
    let out = place.command(&["plan", "recipe.rb2", "--json"]).output().expect("it starts");
    let plan: Json = serde_json::from_slice(&out.stdout).expect("a plan");
    let nodes = plan["nodes"].as_array().expect("nodes").iter();
    nodes.map(|n| (n["name"].as_str().expect("a name").to_owned(), n.clone())).collect()
}

/// The trainings that a run executed, and what it told of their ends.
fn finished(ran: &Ran) -> BTreeMap<&str, &Json> {
    let trains = |e: &&&Json| e["op"].as_str().is_some_and(|op| op.starts_with("train.") && op != "train.tokenizer");
    ran.said("node_finished").iter().filter(trains).map(|e| (e["node"].as_str().expect("a node"), *e)).collect()
}

fn record_of(store: &Store, finished: &Json) -> Record {
    let key = Digest::parse(finished["key"].as_str().expect("a key")).expect("a digest");
    record::read(store, key).expect("a record")
}

/// Flips a byte in the weights of the state after some steps.
fn damage(store: &Store, training: &str, step: u64) {
    let name = format!("{training} after step {step}");
    let record = record::all(store).into_iter().find(|r| r.name == name && r.is_state()).expect("a state");
    let state = store.artifact(record.outputs["state"]).expect("its description");
    let path = store.path(state.files["rank-0000.safetensors"].digest);
    let mut bytes = std::fs::read(&path).expect("its bytes");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&path).expect("the old bytes go");
    std::fs::write(&path, bytes).expect("the new ones come");
}

fn begun(finished: &Json) -> Option<u64> {
    finished["counts"]["begun after step"].as_u64()
}

fn log_of(store: &Store, record: &Record) -> Vec<Json> {
    let log = store.read(record.attachments[""]["training/log.jsonl"].digest).expect("a log");
    String::from_utf8(log).expect("text").lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
}

#[test]
fn more_epochs_go_on_from_a_kept_state_bit_for_bit() {
    let (here, elsewhere) = (place(), place());
    let first = run(&here, 1, KEEP, &[]);
    assert_eq!(finished(&first).len(), 7, "{}", first.stderr);
    assert!(finished(&first).values().all(|e| begun(e).is_none()));
    assert!(
        first.stderr.contains("keep_state: true has no effect here: with `schedule: \"cosine\"`"),
        "{}",
        first.stderr
    );
    let store = Store::open(here.cache()).expect("a store");
    let states = || record::all(&store).into_iter().filter(Record::is_state).count();
    assert_eq!(states(), CONTINUES.len());
    assert!(files_below(&here.cache().join("checkpoints")).is_empty(), "what was kept on the way is gone");

    // The plan says where each goes on, with the time of what is left, or why it does not.
    let lines = plan(&here, 2);
    for (name, step, total) in CONTINUES {
        let line = &lines[*name];
        let why = line["why"].as_str().expect("a reason");
        assert!(
            why.contains("arg `epochs` changed") && why.ends_with(&format!("; continues from step {step} of {total}")),
            "{why}"
        );
        assert_eq!(line["continues"], json!({ "step": step, "of": total }));
        assert!(line["seconds"].is_f64(), "{line}");
    }
    let round = lines["round"]["why"].as_str().expect("a reason");
    assert!(round.contains("; begins anew: with `schedule: \"cosine\"` the rate of each step depends on"), "{round}");
    assert!(lines["round"]["continues"].is_null());
    let said = here.command(&["why", "recipe.rb2", "even"]).output().expect("it starts");
    assert!(String::from_utf8_lossy(&said.stdout).contains("continues from step 3 of 6"));

    // The second half alone is trained, and the result is that of an unbroken run in a store of its own.
    let longer = run(&here, 2, KEEP, &[]);
    let whole = run(&elsewhere, 2, "log: 1steps", &[]);
    let (longer_ends, whole_ends) = (finished(&longer), finished(&whole));
    assert_eq!(longer_ends.len(), 7);
    for (name, end) in &longer_ends {
        assert_eq!(end["output"], whole_ends[name]["output"], "{name}");
        assert_eq!(end["key"], whole_ends[name]["key"], "{name}");
        let wanted = CONTINUES.iter().find(|(n, ..)| n == name).map(|(_, step, _)| *step);
        assert_eq!(begun(end), wanted, "{name}");
        let steps = longer.said("node_progress").into_iter().filter(|e| e["node"] == **name && e["unit"] == "steps");
        let done: Vec<u64> = steps.filter_map(|e| e["done"].as_u64()).collect();
        assert!(done.iter().all(|done| *done > wanted.unwrap_or(0)), "{name}: {done:?}");
        let record = record_of(&store, end);
        assert_eq!(record.began.map(|began| began.step), wanted, "{name}");
        assert_eq!(record.kept.is_some(), wanted.is_some(), "{name}");
        let state = record.began.map(|began| record::read(&store, began.state).expect("its state").is_state());
        assert_ne!(state, Some(false), "{name}");
    }
    assert!(
        longer.stderr.contains("note  even  continues from step 3 of 6, where a shorter training was"),
        "{}",
        longer.stderr
    );
    let even = record_of(&store, longer_ends["even"]);
    let lines = log_of(&store, &even);
    assert_eq!(lines.iter().map(|l| l["step"].as_u64()).collect::<Vec<_>>(), [Some(2), Some(4), Some(6)]);
    assert!(lines.iter().all(|l| l["total"] == 6), "{lines:?}");
    let said = here.command(&["why", "recipe.rb2", "even"]).output().expect("it starts");
    assert!(String::from_utf8_lossy(&said.stdout).contains("began after step 3 of a shorter training"));
    assert_eq!(states(), 2 * CONTINUES.len());

    // Where none was kept, the plan says so.
    let lines = plan(&elsewhere, 3);
    let why = lines["even"]["why"].as_str().expect("a reason");
    assert!(
        why.contains("; begins anew: no state of a shorter one is kept (`with { keep_state: true }` keeps it)"),
        "{why}"
    );
    // Fewer epochs begin anew: what is kept lies behind their end.
    let few = recipe(1, KEEP).replace("epochs: 1", "epochs: 1, max_steps: 2steps");
    here.write_quietly("recipe.rb2", &few);
    let said = here.command(&["why", "recipe.rb2", "even"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("; begins anew: the kept state is after step 3, and it has 2"), "{said}");
    damaged_states_are_passed_over(&here, &elsewhere, &store);
    states_stay_as_long_as_a_run_that_had_them(&here, &store);
}

/// A state with a flipped byte is quarantined, and the one before is taken; without any the training begins anew, to the same bytes.
fn damaged_states_are_passed_over(here: &Place, elsewhere: &Place, store: &Store) {
    damage(store, "even", 6);
    damage(store, "prefer", 3);
    damage(store, "prefer", 6);
    let ran = run(here, 3, KEEP, &["--to", "even", "--to", "prefer"]);
    let ends = finished(&ran);
    assert_eq!((begun(ends["even"]), begun(ends["prefer"])), (Some(3), None), "{}", ran.stderr);
    assert_eq!(ran.said("bytes_damaged").len(), 3, "{}", ran.stderr);
    assert_eq!(files_below(&here.cache().join("quarantine")).len(), 3);
    let whole = run(elsewhere, 3, "log: 1steps", &["--to", "even", "--to", "prefer"]);
    for name in ["even", "prefer"] {
        assert_eq!(ends[name]["output"], finished(&whole)[name]["output"], "{name}");
    }
}

fn states_stay_as_long_as_a_run_that_had_them(here: &Place, store: &Store) {
    age(&here.cache());
    let gc = |args: &[&str]| {
        let out = here.command(args).output().expect("it starts");
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    };
    let kept = gc(&["cache", "gc", "--keep-days", "0", "--keep-runs", "9", "--grace", "0s"]);
    assert!(kept.contains("states of trainings in kept runs, for longer ones"), "{kept}");
    assert!(!kept.contains("states of trainings that no kept run had"), "{kept}");
    let gone = gc(&[ALL, &["--apply"]].concat());
    assert!(gone.contains("states of trainings that no kept run had"), "{gone}");
    assert!(record::all(store).iter().all(|record| !record.is_state()));
    assert!(files_below(&here.cache().join(Path::new("states"))).is_empty());
    let why = &plan(here, 4)["even"]["why"];
    assert!(!why.as_str().expect("a reason").contains("continues"), "{why}");
}
