//! The lock from outside: what is pinned, what is refused, and how a change is accepted.

use std::fs;

use crate::engine::{Place, rows};

const LOCK: &str = "recipe.rb2.lock";

fn entries(place: &Place) -> toml::Table {
    place.read(LOCK).parse().unwrap()
}

/// Changes the rows behind the lock's back.
fn change(place: &Place) {
    fs::write(place.path("rows.jsonl"), rows(&["one two three four", "a b c", "other words here"])).unwrap();
}

#[test]
fn the_lock_of_the_shipped_recipe_knows_its_operators() {
    let place = Place::new();
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/final.rb2");
    let out = place.command(&["run", recipe, "--frozen", "--no-exec"]).output().unwrap();
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(said.contains("not in the cache") && !said.contains("error["), "{said}");
}

#[test]
fn the_first_run_pins_what_it_reads_and_nothing_of_the_machine() {
    let mut place = Place::new();
    place.done();
    let text = place.read(LOCK);
    assert!(!text.contains(place.root.path().to_str().unwrap()) && !text.contains("/work"), "{text}");
    let lock = entries(&place);
    let source = lock["sources"]["rows.jsonl"].as_table().unwrap();
    assert_eq!((source["rows"].as_integer(), source["files"].as_integer()), (Some(3), Some(1)));
    let digest = blake3_of(&place.read("rows.jsonl"));
    assert_eq!(source["digest"].as_str(), Some(digest.as_str()));
    assert!(source["columns"]["text"]["type"].as_str() == Some("Str") && source.get("schema").is_none(), "{text}");
    let operators: Vec<&String> = lock["operators"].as_table().unwrap().keys().collect();
    assert_eq!(operators, ["data.derive", "data.jsonl", "filter.rule"]);
    let time = |place: &Place| fs::metadata(place.path(LOCK)).unwrap().modified().unwrap();
    let before = time(&place);
    assert!(place.done().executed().is_empty());
    assert_eq!(time(&place), before, "a lock that says so already is not written");
    let moved = place.root.path().join("elsewhere");
    fs::rename(&place.folder, &moved).unwrap();
    place.folder = moved;
    assert_eq!(place.run(&["--frozen"]).code, 0);
    assert_eq!(place.read(LOCK), text);
}

fn blake3_of(text: &str) -> String {
    rbpipe::base::Digest::of(text.as_bytes()).hex()
}

#[test]
fn drift_is_refused_with_what_differs_and_the_command_that_accepts_it() {
    let place = Place::new();
    place.done();
    let before = place.read(LOCK);
    change(&place);
    for args in [&[][..], &["--frozen"], &["--no-exec"]] {
        let ran = place.run(args);
        assert_eq!((ran.code, ran.events.len()), (5, 0), "{args:?}: {}", ran.stderr);
        for part in
            ["error[E0901]", "`rows.jsonl` differs", "recipe.rb2:8:", "rbpipe lock recipe.rb2 --update rows.jsonl"]
        {
            assert!(ran.stderr.contains(part), "{part} is not in:\n{}", ran.stderr);
        }
    }
    assert_eq!(place.read(LOCK), before);
    let planned = place.command(&["plan", "recipe.rb2"]).output().unwrap();
    assert!(String::from_utf8_lossy(&planned.stdout).contains("lock: `rows.jsonl` differs"));
    let ran = place.run(&["--update", "rows.jsonl"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_ne!(place.read(LOCK), before);
    assert_eq!(place.run(&["--frozen"]).code, 0);
    // The old bytes are a change like any other now.
    place.write_quietly("rows.jsonl", &rows(&["one two three four", "a b c", "x y"]));
    assert_eq!(place.run(&[]).code, 5);
}

#[test]
fn an_input_is_accepted_by_its_name_by_a_value_that_reads_it_or_with_all() {
    for args in [&["--update", "rows.jsonl"][..], &["--update", "long"], &[]] {
        let place = Place::new();
        place.done();
        change(&place);
        let mut all = vec!["lock", "recipe.rb2"];
        all.extend(args);
        let out = place.command(&all).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(
            entries(&place)["sources"]["rows.jsonl"]["digest"].as_str().unwrap(),
            blake3_of(&place.read("rows.jsonl"))
        );
        assert!(place.run(&["--frozen"]).executed().contains(&"long".to_owned()), "the new rows are read");
        let again = place.command(&["lock", "recipe.rb2"]).output().unwrap();
        assert!(String::from_utf8_lossy(&again.stderr).contains("the lock says so already"));
    }
    let place = Place::new();
    place.done();
    for command in [["lock", "recipe.rb2", "--update", "rwos.jsonl"], ["run", "recipe.rb2", "--update", "rwos.jsonl"]] {
        let out = place.command(&command).output().unwrap();
        assert_eq!(out.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&out.stderr).contains("did you mean `rows.jsonl`?"));
    }
}

#[test]
fn frozen_needs_a_lock_without_gaps_and_writes_none() {
    let place = Place::new();
    let ran = place.run(&["--frozen"]);
    assert_eq!((ran.code, ran.events.len()), (5, 0), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("error[E0902]") && ran.stderr.contains("`rbpipe lock recipe.rb2` writes it"),
        "{}",
        ran.stderr
    );
    assert!(!place.path(LOCK).exists());
    assert!(place.command(&["lock", "recipe.rb2"]).output().unwrap().status.success());
    assert!(!place.path("out").exists(), "`lock` publishes nothing");
    assert_eq!(place.run(&["--frozen"]).code, 0);
    let text = place.read("recipe.rb2");
    place.write("more.jsonl", &rows(&["more words in it"]));
    assert!(!place.path(LOCK).exists(), "the helper forgets the lock when it writes an input");
    place.done();
    let more = "let more = data.jsonl(\"more.jsonl\", as: Row) |> data.sort(by: [.n])\noutput all = more";
    place.write("recipe.rb2", &text.replace("output all = small", more));
    let ran = place.run(&["--frozen"]);
    assert_eq!((ran.code, ran.events.len()), (5, 0), "{}", ran.stderr);
    for part in ["`more.jsonl` is not in the lock", "`data.sort` is not in the lock"] {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    assert_eq!(place.run(&[]).code, 0, "without `--frozen` what is new is added");
    assert_eq!(place.run(&["--frozen"]).code, 0);
    assert_eq!(place.run(&["--frozen", "--update", "rows.jsonl"]).code, 2);
}

#[test]
fn another_version_of_an_operator_is_drift() {
    let place = Place::new();
    place.done();
    let text = place.read(LOCK);
    let line = text.lines().find(|l| l.starts_with("\"filter.rule\" = ")).unwrap();
    fs::write(place.path(LOCK), text.replace(line, "\"filter.rule\" = 99")).unwrap();
    let ran = place.run(&[]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert!(ran.stderr.contains("the lock has 99"), "{}", ran.stderr);
    assert!(place.command(&["lock", "recipe.rb2", "--update", "filter.rule"]).output().unwrap().status.success());
    assert_eq!(place.read(LOCK), text);
}

#[test]
fn a_model_is_pinned_file_by_file() {
    let place = Place::new();
    place.write("recipe.rb2", "import std.{model}\noutput m = model.hf(\"./tiny\") to \"out/m\"\n");
    place.write("tiny/config.json", "{\"model_type\": \"qwen2_5_vl\"}");
    place.write("tiny/model.safetensors", "weights");
    place.write("tiny/README.md", "what it is");
    assert_eq!(place.run(&[]).code, 0, "{}", place.run(&[]).stderr);
    let lock = entries(&place);
    let parts: Vec<&String> = lock["models"]["tiny"]["parts"].as_table().unwrap().keys().collect();
    assert_eq!(parts, ["config.json", "model.safetensors"]);
    place.write_quietly("tiny/README.md", "other words, no other model");
    assert_eq!(place.run(&["--frozen"]).code, 0);
    place.write_quietly("tiny/model.safetensors", "other weights");
    place.write_quietly("tiny/tokenizer.json", "{}");
    let ran = place.run(&[]);
    assert_eq!(ran.code, 5);
    assert!(ran.stderr.contains("`model.safetensors` changed, `tokenizer.json` added"), "{}", ran.stderr);
}

#[test]
fn a_lock_that_cannot_be_read_is_no_lock_to_ignore() {
    let place = Place::new();
    place.done();
    let text = place.read(LOCK);
    for broken in ["<<<<<<< mine\n", "version = 99\n", "nonsense = 1\n"] {
        fs::write(place.path(LOCK), format!("{broken}{}", text.replace("version = 1\n", ""))).unwrap();
        let ran = place.run(&[]);
        assert_eq!((ran.code, ran.events.len()), (5, 0), "{broken}: {}", ran.stderr);
        assert!(ran.stderr.contains("cannot read the lock `recipe.rb2.lock`"), "{}", ran.stderr);
    }
}

#[test]
fn entries_of_other_profiles_stay() {
    let place = Place::new();
    place.write("other.jsonl", &rows(&["one two three", "four five six"]));
    let text = place.read("recipe.rb2");
    place.write(
        "recipe.rb2",
        &text
            .replace("schema Row", "param which: Str = \"rows\"\nschema Row")
            .replace("\"rows.jsonl\"", "\"{which}.jsonl\""),
    );
    place.done();
    assert_eq!(place.run(&["-p", "which=other"]).code, 0);
    let lock = entries(&place);
    let names: Vec<&String> = lock["sources"].as_table().unwrap().keys().collect();
    assert_eq!(names, ["other.jsonl", "rows.jsonl"]);
    fs::remove_file(place.path("other.jsonl")).unwrap();
    assert_eq!(place.run(&["--frozen"]).code, 0, "what is not read is not asked for");
}

/// What each side changed of a lock, and the entries that then stand against each other.
type Merge = (fn(&mut toml::Table), fn(&mut toml::Table), &'static [&'static str]);

fn set(lock: &mut toml::Table, path: &[&str], value: impl Into<toml::Value>) {
    let (last, folders) = path.split_last().unwrap();
    let inner = folders
        .iter()
        .fold(lock, |at, name| at.entry(*name).or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap());
    inner.insert((*last).to_owned(), value.into());
}

#[rustfmt::skip]
const MERGES: &[Merge] = &[
    // Each side adds a source and changes another.
    (|l| { set(l, &["sources", "a.jsonl", "rows"], 5); set(l, &["sources", "new one.jsonl", "rows"], 1) },
     |l| { set(l, &["sources", "b.jsonl", "rows"], 6); set(l, &["operators", "data.top"], 2) }, &[]),
    // Both the same; one side takes an entry away that the other leaves alone.
    (|l| set(l, &["sources", "a.jsonl", "rows"], 5), |l| set(l, &["sources", "a.jsonl", "rows"], 5), &[]),
    (|l| drop(l["sources"].as_table_mut().unwrap().remove("a.jsonl")), |l| set(l, &["models", "m/n", "parts", "x.safetensors"], "00"), &[]),
    // Both changed one entry, and not alike.
    (|l| set(l, &["sources", "a.jsonl", "rows"], 5), |l| set(l, &["sources", "a.jsonl", "rows"], 6), &["sources.a.jsonl"]),
    (|l| drop(l["sources"].as_table_mut().unwrap().remove("a.jsonl")), |l| set(l, &["sources", "a.jsonl", "rows"], 6), &["sources.a.jsonl"]),
    (|l| set(l, &["operators", "data.jsonl"], 2), |l| set(l, &["operators", "data.jsonl"], 3), &["operators.data.jsonl"]),
];

#[test]
fn two_peoples_changes_of_a_lock_are_merged_entry_by_entry() {
    let place = Place::new();
    let base = "version = 1\n\n[operators]\n\"data.jsonl\" = 1\n\n[models.\"m/n\"]\nrevision = \"r\"\n\n[models.\"m/n\".parts]\n\"x.safetensors\" = \"11\"\n\n\
                [sources.\"a.jsonl\"]\nrows = 1\n\n[sources.\"b.jsonl\"]\nrows = 2\n";
    for (at, (ours, theirs, conflicts)) in MERGES.iter().enumerate() {
        let side = |change: &fn(&mut toml::Table)| {
            let mut lock: toml::Table = base.parse().unwrap();
            change(&mut lock);
            lock
        };
        let (ours, theirs) = (side(ours), side(theirs));
        place.write_quietly("base", base);
        place.write_quietly("ours", &format!("# What `recipe.rb2` reads.\n{ours}"));
        place.write_quietly("theirs", &theirs.to_string());
        let out = place.command(&["lock", "--merge", "base", "ours", "theirs"]).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let text = place.read("ours");
        assert!(text.starts_with("# What `recipe.rb2` reads.\n"), "{text}");
        assert_eq!(out.status.code(), Some(i32::from(!conflicts.is_empty())), "{at}: {said}");
        if conflicts.is_empty() {
            // What one side changed is as that side has it.
            let merged: toml::Table = text.parse().unwrap_or_else(|e| panic!("{e}: {text}"));
            let flat = |t: &toml::Table| format!("{t}");
            let back = place.command(&["lock", "--merge", "base", "theirs", "ours"]).output().unwrap();
            assert!(back.status.success());
            let other: toml::Table = place.read("theirs").parse().unwrap();
            assert_eq!(flat(&merged), flat(&other), "{at}: the order of sides does not matter");
            assert!(
                merged != ours || merged == theirs || theirs == base.parse().unwrap(),
                "{at}: their change is in it"
            );
        } else {
            assert!(conflicts.iter().all(|name| said.contains(name)), "{said}");
            assert!(text.contains("<<<<<<< ours\n") && text.contains(">>>>>>> theirs\n"), "{text}");
        }
    }
    place.write("rows.jsonl", "{}");
    place.write_quietly("recipe.rb2.lock", "version = 1\n<<<<<<< ours\n=======\n>>>>>>> theirs\n");
    let ran = place.run(&[]);
    assert!(ran.code == 5 && ran.stderr.contains("line 2: both sides of a merge changed this entry"), "{}", ran.stderr);
}

#[test]
fn version_control_merges_locks_with_the_lines_of_the_page() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sharing.md")).unwrap();
    let driver = page.lines().find_map(|l| l.strip_prefix("git config merge.rbpipe-lock.driver ")).unwrap();
    let attribute =
        page.lines().find_map(|l| Some(l.strip_prefix("echo '")?.split("' >> .gitattributes").next()?)).unwrap();
    let place = Place::new();
    let git = |args: &[&str]| {
        let bin = std::path::Path::new(env!("CARGO_BIN_EXE_rbpipe")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let settings = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"];
        let out = std::process::Command::new("git")
            .args(settings)
            .args(args)
            .current_dir(&place.folder)
            .env("PATH", path)
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    let lock = |a: u64, b: u64| {
        format!("version = 1\n\n[sources.\"a.jsonl\"]\nrows = {a}\n\n[sources.\"b.jsonl\"]\nrows = {b}\n")
    };
    git(&["init", "-q"]);
    git(&["config", "merge.rbpipe-lock.driver", driver.trim_matches('\'')]);
    place.write_quietly(".gitattributes", attribute);
    let commit = |a, b| {
        place.write_quietly("recipe.rb2.lock", &lock(a, b));
        git(&["add", "-A"]);
        git(&["commit", "-qm", "x"]);
    };
    commit(1, 1);
    git(&["checkout", "-qb", "other"]);
    commit(1, 2);
    git(&["checkout", "-q", "main"]);
    commit(3, 1);
    git(&["merge", "-q", "--no-edit", "other"]);
    let merged: toml::Table = place.read("recipe.rb2.lock").parse().unwrap();
    assert_eq!(merged, lock(3, 2).parse().unwrap());
}

#[test]
fn texts_and_environments_are_pinned_and_their_drift_says_what_accepting_costs() {
    let place = Place::new();
    place.write("prompt.txt", "Write the text in capitals.\n");
    place.write("exam.json", "[{\"id\": \"1\", \"q\": \"what\", \"o\": [\"x\", \"y\"], \"a\": \"B\"}]");
    place.write("env.txt", "python 3\n");
    place.write("mine.py", "import sys\nfor line in sys.stdin: print(line, end='')\n");
    place.write(
        "recipe.rb2",
        "recipe \"own\"\nimport std.{data, bench, read, mark, total}\nschema Row { id: Str, text: Str, n: Int }\nlet rows = data.jsonl(\"rows.jsonl\", as: Row)\n\
         op mine(d: Dataset[{ text: Str, ..r }]) -> Dataset[{ text: Str, ..r }] runs \"python3 mine.py\" files [\"mine.py\"] env \"env.txt\"\n\
         output out = rows |> mine() to \"out.jsonl\"\n\
         let exam = bench.json(\"exam.json\") |> bench.sample(id: .id, kind: \"choice\", question: .q, options: .o, key: .a.letter())\n\
         \x20 |> bench.ask(choice: from_file(\"prompt.txt\")) |> bench.read(choice: read.choice()) |> bench.mark(choice: mark.letter()) |> bench.total(headline: total.micro())\n\
         output asked = exam to \"exam\"\n",
    );
    place.done();
    let lock = entries(&place);
    assert_eq!(lock["texts"]["prompt.txt"]["digest"].as_str().unwrap(), blake3_of("Write the text in capitals.\n"));
    assert_eq!(lock["environments"]["env.txt"]["digest"].as_str().unwrap(), blake3_of("python 3\n"));
    for name in ["prompt.txt", "env.txt"] {
        place.write_quietly(name, "another\n");
        let ran = place.run(&[]);
        assert_eq!(ran.code, 5, "{}", ran.stderr);
        assert!(
            ran.stderr.contains(&format!("`{name}` differs from the lock: 1 file of 8 bytes, the lock has 1 file of")),
            "{}",
            ran.stderr
        );
        let cost = "accepting it runs 1 node and perhaps ";
        assert!(ran.stderr.contains(cost) && ran.stderr.contains(" more, ≤ "), "{}", ran.stderr);
        let ran = place.run(&["--update", name]);
        assert!(ran.code == 0 && !ran.executed().is_empty(), "{}", ran.stderr);
    }
}

#[test]
fn a_lock_knows_how_long_texts_are_and_check_compares_them_with_the_cutoff() {
    let place = Place::new();
    let long = "word ".repeat(40);
    let all = (0..200).map(|i| format!("{{\"id\": \"{i}\", \"instruction\": \"say\", \"output\": \"{long}\"}}\n"));
    place.write("rows.jsonl", &all.collect::<String>());
    place.write(
        "recipe.rb2",
        r#"recipe "long" requires ">=0.1"
import std.{data, model, train}
param seed: Int = 1
schema Row { id: Str, instruction: Str, output: Str }
let rows = data.jsonl("rows.jsonl", as: Row)
output out = model.hf("./m") |> train.sft(data: rows, cutoff: 32tok) to "out"
"#,
    );
    let said = |args: &[&str]| {
        let out = place.command(args).env("NO_COLOR", "1").output().unwrap();
        String::from_utf8([out.stdout, out.stderr].concat()).unwrap()
    };
    assert!(said(&["check", "recipe.rb2"]).contains("no problems"), "nobody has counted yet");
    said(&["lock", "recipe.rb2", "--update", "rows.jsonl"]);
    let columns = &entries(&place)["sources"]["rows.jsonl"]["columns"];
    assert_eq!(columns["output"]["words"].as_integer(), Some(40));
    assert_eq!(columns["instruction"]["values"].as_array().unwrap()[0].as_str(), Some("say"));
    let told = said(&["check", "recipe.rb2"]);
    assert!(told.contains("W0504") && told.contains("more than 40 words in `.output`"), "{told}");
    assert!(said(&["lock", "recipe.rb2", "--update", "rows.jsonl"]).contains("the lock says so already"));
}
