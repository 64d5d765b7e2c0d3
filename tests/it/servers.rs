//! What servers say of themselves: pinned by the lock, in the keys of what they answered, compared when they are asked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, OnceLock};

use serde_json::json;

use crate::chat_server::{Act, Server};
use crate::engine::{Place, Ran};

const RECIPE: &str = r#"
recipe "asked"
import std.{data, judge}

schema Row { id: Str, text: Str }

let rows = data.jsonl("rows.jsonl", as: Row)
let good = rows |> judge.score(on: [.text], rubric: "Is it true?", by: "m", url: "URL/v1", keep: 1..)
output o = good to "out.jsonl"
"#;

const LOCK: &str = "recipe.rb2.lock";

fn rows(place: &Place, count: usize) {
    let text: String = (0..count).map(|i| format!("{{\"id\":\"r{i}\",\"text\":\"word {i}\"}}\n")).collect();
    place.write_quietly("rows.jsonl", &text);
}

/// A judge that finds everything good, and says that it is this version of this model.
fn judge(place: &Place) -> Server {
    let server = Server::new(|_, _| Act::Say(json!({ "reason": "fine", "score": 5 })));
    server.tells("/v1/models", json!({ "data": [{ "id": "m", "root": "/weights/a", "created": 1 }] }));
    server.tells("/version", json!({ "version": "1.0" }));
    rows(place, 3);
    place.write("recipe.rb2", &RECIPE.replace("URL", &server.url));
    server
}

fn done(ran: &Ran) -> Vec<&str> {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let ended = ran.events.iter().filter(|e| e["event"] == "node_finished");
    ended.filter_map(|e| e["op"].as_str()).collect()
}

#[test]
fn what_one_version_of_a_server_said_is_never_taken_for_what_another_says() {
    let place = Place::new();
    let server = judge(&place);
    done(&place.run(&[]));
    let (asked, lock) = (server.requests().len(), place.read(LOCK));
    let says = &lock.parse::<toml::Table>().unwrap()["servers"][&format!("{} m", server.url)]["says"].clone();
    assert_eq!(
        (says["version"].as_str(), says["root"].as_str(), asked),
        (Some("1.0"), Some("/weights/a"), 3),
        "{lock}"
    );

    // A time of the answer is no fact of the server; who has all results asks nobody.
    server.tells("/v1/models", json!({ "data": [{ "id": "m", "root": "/weights/a", "created": 2 }] }));
    let before = server.asked_about();
    assert!(done(&place.run(&[])).is_empty());
    assert_eq!((server.asked_about(), place.read(LOCK)), (before, lock.clone()));

    // Another version answers: nothing is asked of it, until somebody says so.
    server.tells("/version", json!({ "version": "2.0" }));
    rows(&place, 4);
    let ran = place.run(&["--update", "rows.jsonl"]);
    let name = format!("{} m", server.url);
    for part in ["error[E0901]", &format!("`{name}` differs"), "version `2.0`, the lock has `1.0`", "recipe.rb2:8:"] {
        assert!(ran.code == 5 && ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert_eq!((server.requests().len(), place.read(LOCK)), (3, lock.clone()));
    rows(&place, 3);
    // Where all else is as it was, that is told before anything is executed.
    let empty = tempfile::tempdir().unwrap();
    let ran = place.run_in(&[("RBPIPE_CACHE", empty.path().to_str().unwrap())], &[]);
    assert!(ran.code == 5 && ran.stderr.contains("the lock has `1.0`"), "{}", ran.stderr);
    assert_eq!((ran.executed().len(), server.requests().len(), place.read(LOCK)), (0, 3, lock.clone()));
    let updated = place.command(&["lock", "recipe.rb2", "--update", &name]).output().unwrap();
    assert!(updated.status.success(), "{}", String::from_utf8_lossy(&updated.stderr));
    let planned = place.command(&["plan", "recipe.rb2"]).output().unwrap();
    let planned = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert!(planned.contains("server changed") && planned.contains("2.0"), "{planned}");
    assert_eq!(done(&place.run(&["--frozen"])), ["judge.score"]);
    assert_eq!(server.requests().len(), 6, "the rows that the first version had judged are asked anew");

    // With the lock of before, what the first version said is there still.
    fs::write(place.path(LOCK), lock).unwrap();
    assert!(done(&place.run(&["--no-exec"])).is_empty());
}

#[test]
fn a_server_that_becomes_another_while_it_is_asked_is_not_recorded() {
    let place = Place::new();
    let this: Arc<OnceLock<Server>> = Arc::default();
    let inside = Arc::clone(&this);
    let server = Server::new(move |_, _| {
        inside.get().unwrap().tells("/version", json!({ "version": "2.0" }));
        Act::Say(json!({ "reason": "fine", "score": 5 }))
    });
    server.tells("/version", json!({ "version": "1.0" }));
    rows(&place, 2);
    place.write("recipe.rb2", &RECIPE.replace("URL", &server.url));
    let _ = this.set(server);
    let ran = place.run(&[]);
    assert!(ran.code == 3 && ran.stderr.contains("E0901") && ran.stderr.contains("`2.0`"), "{}", ran.stderr);
    assert_eq!(place.run(&["--no-exec"]).code, 5);
}

#[test]
fn who_says_nothing_is_not_pinned_and_frozen_needs_no_word_of_it() {
    let place = Place::new();
    let server = Server::new(|_, _| Act::Say(json!({ "reason": "fine", "score": 5 })));
    rows(&place, 2);
    place.write("recipe.rb2", &RECIPE.replace("URL", &server.url));
    done(&place.run(&[]));
    let lock = place.read(LOCK);
    assert!(lock.contains("version = 2") && !lock.contains("servers"), "{lock}");
    assert!(done(&place.run(&["--frozen"])).is_empty());
    // One that is not pinned and does say something needs a word.
    server.tells("/version", json!({ "version": "1.0" }));
    let ran = place.run(&["--frozen"]);
    assert!(ran.code == 5 && ran.stderr.contains("E0902"), "{}", ran.stderr);
}

/// Stands for the Python of a program that serves models, and says which version of its package it has.
const PYTHON: &str = "#!/bin/sh\n[ \"$1\" = -c ] && exec cat FOLDER/version\nexec python3 \"$@\"\n";

#[test]
fn the_version_of_a_program_that_is_started_is_that_of_its_package() {
    let place = Place::new();
    let executable = |name: &str, text: &str| {
        let path = place.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let folder = place.folder.display().to_string();
    executable("python", &PYTHON.replace("FOLDER", &folder));
    let program = executable("vllm", &format!("#!{folder}/python\nprint('never started')\n"));
    place.write("items.jsonl", "{\"id\":\"a\",\"question\":\"Which?\",\"options\":[\"x\",\"y\"],\"key\":\"A\"}\n");
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/models");
    let recipe = r#"
recipe "started"
import std.{bench, read, mark, total, eval, model}
let asked = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: "choice", question: .question, options: .options, key: .key)
  |> bench.ask(choice: "Answer with the letter.")
  |> bench.read(choice: read.choice())
  |> bench.mark(choice: mark.letter())
  |> bench.total(headline: total.micro())
let score = eval.run(model.hf("MODELS/tiny-base"), on: asked) with { serve: "vllm", gpus: 0 }
output o = score to "out.json"
"#;
    place.write("recipe.rb2", &recipe.replace("MODELS", models));
    let lock = |version: &str| {
        place.write_quietly("version", version);
        let out = place.command(&["lock", "recipe.rb2"]).env("RBPIPE_VLLM", &program).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        place.read(LOCK)
    };
    let first = lock("0.6.3\n");
    assert!(first.contains("[servers.vllm.says]\nversion = \"0.6.3\""), "{first}");
    let second = lock("0.7.0\n");
    assert!(second.contains("[servers.vllm.says]\nversion = \"0.7.0\""), "{second}");
    place.write_quietly("version", "0.6.3\n");
    let ran = place.run_in(&[("RBPIPE_VLLM", program.to_str().unwrap())], &[]);
    assert!(ran.code == 5 && ran.stderr.contains("version `0.6.3`, the lock has `0.7.0`"), "{}", ran.stderr);
}
