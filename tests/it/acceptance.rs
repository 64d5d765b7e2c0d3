//! What the first milestone promises to a user, tried from outside: mistakes, broken data, absent inputs, speed, help.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

use crate::engine::Place;

const HEAD: &str = r#"recipe "words"
import std.{data}

schema Row { id: Str, text: Str, n: Int }
let rows = data.jsonl("rows.jsonl", as: Row)
"#;

/// One mistake: its name, what stands below [`HEAD`] (or a whole recipe), further arguments, the code, and the commands that refuse it.
type Mistake = (&'static str, &'static str, &'static [&'static str], &'static str, &'static [&'static str]);

const ALL: &[&str] = &["check", "plan", "run"];

const MISTAKES: &[Mistake] = &[
    ("unknown_operator", "import std.{filter}\noutput x = rows |> filter.rul(where: .n > 0)\n", &[], "E0204", ALL),
    ("misspelt_argument", "import std.{filter}\noutput x = rows |> filter.rule(wher: .n > 0)\n", &[], "E0210", ALL),
    ("wrong_unit", "output x = rows |> data.top(by: .n, n: 5)\n", &[], "E0120", ALL),
    (
        "column_after_select",
        "import std.{filter}\noutput x = rows\n  |> data.select(columns: [.id, .text])\n  |> filter.rule(where: .n > 0)\n",
        &[],
        "E0301",
        ALL,
    ),
    (
        "dpo_without_chosen",
        "import std.{model, train}\nparam seed: Int = 1\n\
         output x = model.hf(\"./tiny\") |> train.dpo(pairs: rows, epochs: 1, batch: 4, lr: 1e-5)\n",
        &[],
        "E0302",
        ALL,
    ),
    ("missing_input", "output x = data.jsonl(\"rwos.jsonl\", as: Row)\noutput y = rows\n", &[], "E0501", &["run"]),
    ("cyclic_import", "import \"./other.rb2\" as other\noutput x = other.two\noutput y = rows\n", &[], "E0206", ALL),
    ("duplicate_name", "let rows = data.jsonl(\"more.jsonl\", as: Row)\noutput x = rows\n", &[], "E0202", ALL),
    (
        "duplicate_name_further_down",
        "# one\n# two\n# three\n# four\nlet rows = data.jsonl(\"more.jsonl\", as: Row)\noutput x = rows\n",
        &[],
        "E0202",
        ALL,
    ),
    (
        "unknown_profile",
        "param n: Rows = 4rows\noutput x = rows |> data.top(by: .n, n: n)\nprofile big { n: 9rows }\n",
        &["--profile", "bgi"],
        "E0215",
        ALL,
    ),
    (
        "param_out_of_range",
        "param n: Rows in 1rows..50rows = 4rows\noutput x = rows |> data.top(by: .n, n: n)\n",
        &["-p", "n=99rows"],
        "E0214",
        ALL,
    ),
    (
        "default_out_of_range",
        "param n: Rows in 1rows..5rows = 9rows\noutput x = rows |> data.top(by: .n, n: n)\n",
        &[],
        "E0214",
        ALL,
    ),
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_mistake_is_refused_before_anything_runs_with_its_place_and_a_next_step() {
    for (name, body, args, code, commands) in MISTAKES {
        let place = Place::new();
        place.write("recipe.rb2", &format!("{HEAD}{body}"));
        place.write("other.rb2", "import \"./recipe.rb2\" as first\nlet two = first.rows\n");
        for command in ["check", "plan", "run"] {
            let mut all = vec![command, "recipe.rb2"];
            all.extend(*args);
            let out = place.command(&all).output().unwrap();
            let said = text(&out.stderr);
            let refused = commands.contains(&command);
            assert_eq!(out.status.code(), Some(i32::from(refused)), "{name}: {command}\n{said}");
            assert!(!place.path("out").exists() && !place.path("recipe.rb2.lock").exists(), "{name}: {command} ran");
            if refused {
                for part in [&format!("error[{code}]"), "recipe.rb2:", "help: ", "─"] {
                    assert!(said.contains(part), "{name}: {command} does not say {part:?}\n{said}");
                }
                if command == commands[0] {
                    insta::assert_snapshot!(*name, said);
                }
            }
        }
    }
}

const BROKEN: &str = r#"recipe "broken"
import std.{data}
schema Row { id: Str, text: Str, image: Image? }
output kept = data.jsonl("rows.jsonl", as: Row, bad: "POLICY") to "out/kept.jsonl"
"#;

/// Seven rows, two of them good, and why each of the others is bad.
fn broken_rows(place: &Place) -> [(usize, &'static str); 5] {
    let jpeg =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/data/tabletop/images/episodes/ep0020_3.jpg"));
    fs::write(place.path("cut.jpg"), &jpeg.unwrap()[..900]).unwrap();
    fs::write(place.path("empty.jpg"), b"").unwrap();
    let huge = "word ".repeat(4_000_000);
    let lines: [Vec<u8>; 7] = [
        br#"{"id": "good", "text": "fine"}"#.to_vec(),
        br#"{"id": "cut", "text": "no en"#.to_vec(),
        br#"{"id": "gone", "text": "t", "image": "gone.jpg"}"#.to_vec(),
        br#"{"id": "damaged", "text": "t", "image": "cut.jpg"}"#.to_vec(),
        br#"{"id": "empty", "text": "t", "image": "empty.jpg"}"#.to_vec(),
        b"{\"id\": \"bytes\", \"text\": \"\xff\xfe\"}".to_vec(),
        format!(r#"{{"id": "huge", "text": "{huge}"}}"#).into_bytes(),
    ];
    fs::write(place.path("rows.jsonl"), lines.join(&b'\n')).unwrap();
    [
        (2, "no JSON"),
        (3, "`gone.jpg` is missing"),
        (4, "`cut.jpg` is damaged"),
        (5, "`empty.jpg` is empty"),
        (6, "is no UTF-8"),
    ]
}

#[test]
fn broken_rows_are_counted_named_and_handled_as_the_loader_says() {
    for policy in ["fail", "skip", "quarantine"] {
        let place = Place::new();
        let bad = broken_rows(&place);
        place.write("recipe.rb2", &BROKEN.replace("POLICY", policy));
        let ran = place.run(&[]);
        assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("mistake of its own"), "{}", ran.stderr);
        if policy == "fail" {
            assert_eq!(ran.code, 3, "{}", ran.stderr);
            let failed = ran.events.iter().find(|e| e["event"] == "node_failed").unwrap();
            assert_eq!(failed["code"], "E0610");
            let message = failed["message"].as_str().unwrap();
            assert!(message.starts_with("rows.jsonl:2: no JSON") && message.contains("4 more of 7 rows"), "{message}");
            continue;
        }
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let kept = place.read("out/kept.jsonl");
        assert!(kept.lines().count() == 2 && kept.contains("\"good\"") && kept.contains("\"huge\""));
        let counts = &ran.events.iter().find(|e| e["event"] == "node_finished").unwrap()["counts"];
        let counted = if policy == "skip" { "skipped" } else { "quarantined" };
        assert_eq!((counts["read"].as_u64(), counts[counted].as_u64()), (Some(7), Some(5)), "{counts}");
        let shown = text(&place.command(&["show", "recipe.rb2", "kept", "--rows", "0"]).output().unwrap().stdout);
        for (line, why) in bad {
            let named =
                |said: &str| said.lines().any(|l| l.contains(&format!("rows.jsonl:{line}: ")) && l.contains(why));
            assert_eq!(named(&ran.stderr), policy == "quarantine", "line {line}\n{}", ran.stderr);
            assert_eq!(named(&shown), policy == "quarantine", "line {line}\n{shown}");
        }
    }
}

#[test]
fn a_file_without_a_byte_is_a_bad_row() {
    for (policy, code) in [("fail", 3), ("skip", 0), ("quarantine", 0)] {
        let place = Place::new();
        place.write("recipe.rb2", &BROKEN.replace("POLICY", policy));
        place.write("rows.jsonl", "");
        let ran = place.run(&[]);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert_eq!(ran.stderr.contains("rows.jsonl:1: the file is empty"), policy != "skip", "{}", ran.stderr);
    }
}

/// Runs a command in the repository, with nothing of this machine in reach.
fn bare(args: &[&str]) -> Output {
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rbpipe"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env("RBPIPE_CACHE", nowhere.path().join("cache"));
    command.env("HF_HOME", nowhere.path()).env_remove("HF_HUB_CACHE").env_remove("RBPIPE_HF_MIRROR");
    command.env_remove("DASHSCOPE_API_KEY").output().unwrap()
}

#[test]
fn the_plan_of_the_big_profile_names_every_absent_input_with_its_line() {
    let checked = bare(&["check", "recipes/final.rb2", "--profile", "h200x8"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    let planned = bare(&["plan", "recipes/final.rb2", "--profile", "h200x8", "--json"]);
    assert_eq!(planned.status.code(), Some(0), "{}", text(&planned.stderr));
    let plan: Json = serde_json::from_slice(&planned.stdout).unwrap();
    let absent = plan["absent"].as_array().unwrap();
    let mut what: Vec<String> = Vec::new();
    for a in absent {
        let says = a["what"].as_str().unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR"));
        let name = a["file"].as_str().unwrap();
        let file = match name.strip_prefix("std/") {
            Some(inner) => file.join("stdlib").join(inner),
            None => file.join(name),
        };
        let lines = fs::read_to_string(file).unwrap();
        let line = lines.lines().nth(a["line"].as_u64().unwrap() as usize - 1).unwrap().to_owned();
        // A path may be put together from values: its last part, without what is filled in, is a text of the line.
        let quoted = says.split('`').nth(1).unwrap();
        let last = quoted.rsplit('/').next().unwrap();
        let tail = last.rsplit('.').next().unwrap();
        assert!(line.contains(quoted) || line.contains(last) || line.contains(tail), "{says} is not named in: {line}");
        what.push(says.to_owned());
    }
    for wanted in [
        "model `BAAI/RoboBrain2.0-7B` (main)",
        "model `Qwen/Qwen2.5-VL-3B-Instruct` (main)",
        "`recipes/data/h200/raw/ego4d.jsonl`",
        "`recipes/data/h200/raw/epic.jsonl`",
        "`recipes/data/h200/raw/lvis.jsonl`",
        "`recipes/data/h200/raw/host.jsonl`",
        "dataset `BLINK-Benchmark/BLINK`",
        "secret `judge_key`",
    ] {
        assert!(what.iter().any(|w| w == wanted), "{wanted} is not among {what:#?}");
    }
    let mut once = what.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), what.len(), "an input is named twice");
    let run = bare(&["run", "recipes/final.rb2", "--profile", "h200x8"]);
    let said = text(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{said}");
    for wanted in what.iter().filter(|w| !w.starts_with("secret")) {
        // Long lines are wrapped: compare without blanks and rulers.
        let flat = |s: &str| s.chars().filter(|c| !c.is_whitespace() && *c != '│').collect::<String>();
        // Each of the two runs has a home of its own.
        let wanted = wanted.rsplit("/hub/").next().unwrap();
        assert!(flat(&said).contains(&flat(wanted)), "{wanted} is not in:\n{said}");
    }
}

#[test]
fn every_signature_parses_and_has_its_name() {
    for op in &rbpipe::ops::catalogue().operators {
        assert_eq!(op.signature.name.text, op.name);
        assert!(op.name.contains('.'), "{}", op.name);
    }
}

#[test]
fn commands_that_are_not_there_say_so() {
    let missing: &[&[&str]] = &[
        &["rehearse", "recipe.rb2"],
        &["cache", "gc"],
        &["cache", "push"],
        &["cache", "pull"],
        &["bundle", "recipe.rb2", "-o", "x"],
        &["export", "recipe.rb2", "--as", "spdx", "-o", "x"],
        &["lsp"],
    ];
    let place = Place::new();
    for args in missing {
        let out = place.command(args).output().unwrap();
        let said = text(&out.stderr);
        if said.contains("is not there yet") {
            assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
            assert!(out.stdout.is_empty() && said.lines().count() == 1, "{args:?}: {said}");
        } else {
            assert_ne!(out.status.code(), Some(3), "{args:?}: {said}");
        }
    }
}

#[test]
fn help_says_something_of_every_command_and_option() {
    let help = |args: &[&str]| {
        let out = bare(&[args, &["--help"]].concat());
        assert_eq!(out.status.code(), Some(0), "{args:?}");
        text(&out.stdout)
    };
    let top = help(&[]);
    let commands: Vec<&str> = top
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| l.starts_with("  "))
        .filter_map(|l| l.split_whitespace().next())
        .filter(|c| *c != "help")
        .collect();
    assert!(commands.len() >= 20, "{top}");
    for command in commands {
        let page = help(&[command]);
        assert!(page.lines().next().is_some_and(|l| l.contains(' ')), "{command} has no word on what it does");
        let lines: Vec<&str> = page.lines().collect();
        for (i, line) in lines.iter().enumerate().filter(|(_, l)| l.starts_with("  ") && !l.trim().is_empty()) {
            let word = line.trim_start();
            let option = line.len() - word.len() <= 6 && word.starts_with(['-', '<', '[']);
            let beside = line.trim().split("  ").filter(|part| !part.is_empty()).count() > 1;
            let below = lines.get(i + 1).is_some_and(|next| next.starts_with("          "));
            assert!(!option || beside || below, "{command}: nothing is said of {line:?}\n{page}");
        }
    }
}

/// Run by the next test in a process of its own.
#[test]
#[ignore = "ends its process"]
fn stops_at_a_mistake_of_its_own() {
    let exit = rbpipe::cli::guard(|| {
        let numbers: Vec<usize> = std::env::args().map(|a| a.len()).collect();
        assert!(numbers.len() > 1_000, "too few arguments");
        rbpipe::cli::Exit::Done
    });
    std::process::exit(i32::from(exit as u8));
}

#[test]
fn a_panic_is_a_sentence_and_exit_code_3() {
    let test = "acceptance::stops_at_a_mistake_of_its_own";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]).env("RUST_BACKTRACE", "1");
    let out = command.output().unwrap();
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{said}");
    assert!(said.starts_with("error: rbpipe stopped at a mistake of its own: too few arguments"), "{said}");
    assert!(said.contains("please report this") && !said.contains("panicked") && !said.contains("stack"), "{said}");
}

#[test]
fn a_run_outlives_the_reader_of_its_messages() {
    let place = Place::new();
    let script = format!("{} run recipe.rb2 2>&1 | head -n 1", env!("CARGO_BIN_EXE_rbpipe"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(&place.folder).env("RBPIPE_CACHE", place.cache());
    assert!(command.output().unwrap().status.success());
    assert_eq!(place.run(&["--no-exec"]).code, 0, "the run had ended early");
}
