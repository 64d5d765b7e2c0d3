//! Trainings that go on where a shorter one ended, as the scheduler sees them: an engine stands in that trains nothing. `tensor/prolong.rs` trains.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rbpipe::base::Digest;
use rbpipe::engine::Store;
use rbpipe::engine::storage::record::{self, Record};
use rbpipe::engine::storage::verify;
use rbpipe::plan::prolong;
use serde_json::{Value as Json, json};

use crate::engine::{Place, Ran};

/// Epochs of three steps; after the last it gives its state. It tells after which step it began, if it was given one.
const ENGINE: &str = r#"#!/bin/sh
epochs=$(grep -o '"epochs":[0-9]*' "$1" | head -n 1 | cut -d: -f2)
from=$(grep -o '"step":[0-9]*' "$1" | head -n 1 | cut -d: -f2)
step=$((3 * epochs))
[ -n "$from" ] && counts="\"begun after step\":$from"
grep -q '"keep_state":true' "$1" &&
  state=",\"\$state\":{\"kind\":\"state\",\"meta\":{\"step\":$step,\"per_epoch\":3,\"seconds\":$((10 * step))},\"files\":{}}"
echo "{\"event\":\"result\",\"outputs\":{\"\":{\"kind\":\"model\",\"meta\":{\"epochs\":$epochs},\"files\":{}}$state},\"fates\":[],\"counts\":{$counts}}"
"#;

const RECIPE: &str = r#"
recipe "prolong"
import std.{data, model, train}
param seed: Int = 1
schema Sample { id: Str, instruction: Str, output: Str }
let rows = data.jsonl("rows.jsonl", as: Sample)
stage tuned = model.hf("MODEL") |> train.sft(data: rows, epochs: 1, lr: 1e-4, schedule: "constant", warmup: 0%) with { keep_state: true }
output out = tuned
"#;

/// What is written instead of what, and what the plan then says after the reason; nothing where there is no more to say.
const PLANS: &[(&[(&str, &str)], &str)] = &[
    (&[("epochs: 1", "epochs: 2")], "continues from step 3 of 6"),
    (&[("epochs: 1", "epochs: 2.5")], "continues from step 3 of 8"),
    (&[("epochs: 1", "epochs: 9, max_steps: 4steps")], "continues from step 3 of 4"),
    (&[("epochs: 1", "epochs: 2"), (" with { keep_state: true }", "")], "continues from step 3 of 6"),
    (&[("epochs: 1", "epochs: 1, max_steps: 2steps")], "begins anew: the kept state is after step 3, and it has 2"),
    (&[("epochs: 1", "epochs: 2"), ("keep_state: true", "log: 2steps")], "continues from step 3 of 6"),
    (&[("epochs: 1", "epochs: 2"), ("1e-4", "2e-4")], ""),
    (&[("epochs: 1", "epochs: 2"), ("\"constant\"", "\"cosine\"")], ""),
];

fn place() -> Place {
    let place = Place::new();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/models/tiny-small");
    place.write("rows.jsonl", "{\"id\": \"1\", \"instruction\": \"count\", \"output\": \"one\"}\n");
    place.write("recipe.rb2", &RECIPE.replace("MODEL", &model.display().to_string()));
    place.write("engine.sh", ENGINE);
    std::fs::set_permissions(place.path("engine.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    place
}

fn run(place: &Place) -> Ran {
    let ran = place.run_in(&[("RBPIPE_ENGINE", place.path("engine.sh").to_str().unwrap())], &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran
}

fn plan(place: &Place) -> Json {
    let out = place.command(&["plan", "recipe.rb2", "--json"]).output().unwrap();
    let plan: Json = serde_json::from_slice(&out.stdout).expect("a plan");
    plan["nodes"].as_array().unwrap().iter().find(|n| n["name"] == "tuned").unwrap().clone()
}

fn rewrite(place: &Place, edits: &[(&str, &str)]) {
    let text = edits.iter().fold(place.read("recipe.rb2"), |text, (was, is)| {
        assert!(text.contains(was), "{was}");
        text.replace(was, is)
    });
    place.write_quietly("recipe.rb2", &text);
}

fn states(store: &Store) -> BTreeMap<String, Record> {
    let all = record::all(store).into_iter().filter(Record::is_state);
    all.map(|record| (record.name.clone(), record)).collect()
}

#[test]
fn the_plan_says_where_a_training_continues_or_why_it_begins_anew() {
    let place = place();
    assert_eq!(plan(&place)["why"], "reads `tuned/model.hf`");
    run(&place);
    let recipe = place.read("recipe.rb2");
    for (edits, wanted) in PLANS {
        rewrite(&place, edits);
        let line = plan(&place);
        let why = line["why"].as_str().unwrap();
        assert!(why.starts_with("arg `"), "{edits:?}: {why}");
        assert_eq!(why.split_once("; ").map_or("", |(_, more)| more), *wanted, "{edits:?}");
        let continues = wanted.starts_with("continues");
        assert_eq!(line["continues"].is_null(), !continues, "{edits:?}");
        if continues {
            let steps = line["continues"]["of"].as_f64().unwrap() - 3.0;
            assert_eq!(line["seconds"], json!(10.0 * steps), "ten seconds for each step that is left");
        }
        place.write_quietly("recipe.rb2", &recipe);
    }
    // Where a step hangs on the number of all, that is why.
    rewrite(&place, &[("\"constant\", warmup: 0%", "\"cosine\""), (" with { keep_state: true }", "")]);
    run(&place);
    rewrite(&place, &[("epochs: 1", "epochs: 2")]);
    let why = plan(&place)["why"].as_str().unwrap().to_owned();
    assert!(
        why.ends_with(
            "; begins anew: with `schedule: \"cosine\"` the rate of each step depends on the number of all steps"
        ),
        "{why}"
    );
    rewrite(&place, &[("\"cosine\"", "\"wsd\", warmup: 5%"), ("epochs: 2", "epochs: 1")]);
    run(&place);
    rewrite(&place, &[("epochs: 1", "epochs: 2")]);
    let why = plan(&place)["why"].as_str().unwrap().to_owned();
    assert!(why.contains("; begins anew: `warmup` is a part of all steps here"), "{why}");
}

#[test]
fn a_state_is_a_record_of_its_own_and_the_longest_is_taken() {
    let place = place();
    let store = Store::open(place.cache()).unwrap();
    assert!(!run(&place).stderr.contains("begun after step"));
    rewrite(&place, &[("epochs: 1", "epochs: 2")]);
    let second = run(&place);
    assert!(second.stderr.contains("begun after step 3"), "{}", second.stderr);
    let states_there = states(&store);
    assert_eq!(
        states_there.keys().map(String::as_str).collect::<Vec<_>>(),
        ["tuned after step 3", "tuned after step 6"]
    );
    let ended = *second.said("node_finished").last().unwrap();
    let made = record::read(&store, Digest::parse(ended["key"].as_str().unwrap()).unwrap()).unwrap();
    let began = made.began.expect("it says where it began");
    assert_eq!((began.step, began.state), (3, states_there["tuned after step 3"].key));
    assert_eq!(made.kept, Some(states_there["tuned after step 6"].key));
    assert!(!made.outputs.contains_key("$state"), "a state is no result of the training");

    rewrite(&place, &[("epochs: 2", "epochs: 3")]);
    assert!(plan(&place)["why"].as_str().unwrap().ends_with("continues from step 6 of 9"));
    std::fs::remove_file(record::path(&store, states_there["tuned after step 6"].key)).unwrap();
    assert!(plan(&place)["why"].as_str().unwrap().ends_with("continues from step 3 of 9"));

    // What others get of a store is the results; a state is of use here.
    let remote = place.path("remote");
    std::fs::create_dir(&remote).unwrap();
    let out = place.command(&["cache", "push", remote.to_str().unwrap(), "--all"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let hex = |name: &str| states_there[name].key.hex()[2..].to_owned();
    let sent = crate::engine::files_below(&remote);
    assert!(!sent.is_empty() && !sent.iter().any(|f| f.to_string_lossy().contains(&hex("tuned after step 3"))));
    assert!(verify::verify(&store).none());
}

#[test]
fn a_crash_after_any_step_leaves_a_state_or_none() {
    for after in (1..).step_by(7) {
        let place = place();
        let engine = place.path("engine.sh");
        let ran =
            place.run_in(&[("RBPIPE_ENGINE", engine.to_str().unwrap()), ("RBPIPE_DIE_AFTER", &after.to_string())], &[]);
        run(&place);
        let store = Store::open(place.cache()).unwrap();
        assert_eq!(states(&store).len(), 1, "killed after {after}");
        assert!(verify::verify(&store).none(), "killed after {after}");
        rewrite(&place, &[("epochs: 1", "epochs: 2")]);
        assert!(plan(&place)["why"].as_str().unwrap().ends_with("continues from step 3 of 6"), "killed after {after}");
        if ran.code == 0 {
            assert!(after > 30, "a run takes more steps than {after}");
            return;
        }
    }
}

/// Arguments, steps in all, and after how many of them the state is that of every longer training.
#[test]
fn shared_steps_are_those_whose_rates_do_not_hang_on_their_number() {
    let args = |schedule: &str, warmup: Json, cooldown: Json| json!({ "schedule": schedule, "warmup": warmup, "cooldown": cooldown, "best": false, "evaluate": null });
    let (none, share) = (json!({ "steps": 0 }), json!({ "ratio": 0.1 }));
    let cases = [
        (args("constant", none.clone(), share.clone()), 100, 100),
        (args("constant", json!({ "steps": 20 }), share.clone()), 10, 10),
        (args("constant", json!({ "ratio": 0.0 }), share.clone()), 7, 7),
        (args("constant", json!({ "ratio": 0.03 }), share.clone()), 100, 0),
        (args("wsd", none.clone(), share.clone()), 100, 91),
        (args("wsd", none.clone(), json!({ "steps": 1 })), 100, 100),
        (args("wsd", none.clone(), json!({ "steps": 100 })), 100, 1),
        (args("wsd", none.clone(), json!({ "steps": 101 })), 100, 0),
        (args("cosine", none.clone(), share.clone()), 100, 0),
        (args("linear", none.clone(), share.clone()), 100, 0),
    ];
    for (args, total, shared) in cases {
        assert_eq!(prolong::shared(&args, total), shared, "{args}");
    }
    let mut chosen = args("constant", none, share);
    chosen["best"] = json!(true);
    chosen["evaluate"] = json!({ "steps": 5 });
    assert_eq!(prolong::shared(&chosen, 9), 9);
    chosen["evaluate"] = json!({ "duration": 60.0 });
    assert_eq!(prolong::shared(&chosen, 9), 0);
    let of = |epochs: f64, most: Json| prolong::total(&json!({ "epochs": epochs, "max_steps": most }), 7);
    assert_eq!(
        [of(1.0, json!(null)), of(1.5, json!(null)), of(2.0, json!({ "steps": 9 })), of(2.0, json!(9))],
        [7, 11, 9, 9]
    );
}
