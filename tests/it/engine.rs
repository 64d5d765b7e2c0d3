//! The engine from outside: which nodes ran, what was published, and what a crash, a second process or a damaged file changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rbpipe::base::Digest;
use rbpipe::engine::Store;
use rbpipe::engine::storage::record::{self, Record};
use serde_json::Value as Json;

pub const RECIPE: &str = r#"
recipe "words"
import std.{data, filter}

param least: Int in 1..50 = 3
schema Row { id: Str, text: Str, n: Int }

let rows = data.jsonl("rows.jsonl", as: Row)
let long = rows |> filter.rule(where: .text.words >= least)
let small = rows |> filter.rule(where: .n < 1000)

expect long.rows >= 2rows else "nothing left"
output kept = long |> data.derive(twice: .text + .text) to "out/kept.jsonl"
output all = small to "out/all.jsonl"
"#;

/// A folder with a recipe, its rows and a store of its own.
pub struct Place {
    pub root: tempfile::TempDir,
    pub folder: PathBuf,
}

/// What a run left behind.
pub struct Ran {
    pub code: i32,
    pub events: Vec<Json>,
    pub stderr: String,
    pub stdout: String,
}

impl Ran {
    /// Events of a name, in order.
    pub fn said(&self, event: &str) -> Vec<&Json> {
        self.events.iter().filter(|e| e["event"] == event).collect()
    }

    /// Names of the nodes with an event, sorted.
    fn nodes(&self, event: &str) -> Vec<String> {
        let mut out: Vec<String> =
            self.said(event).into_iter().map(|e| e["node"].as_str().unwrap_or_default().to_owned()).collect();
        out.sort();
        out
    }

    pub fn executed(&self) -> Vec<String> {
        self.nodes("node_finished")
    }

    fn keys(&self) -> Vec<String> {
        let key = |e: &Json| e["key"].as_str().map(str::to_owned);
        let mut out: Vec<String> = self
            .events
            .iter()
            .filter(|e| e["event"] == "node_hit" || e["event"] == "node_finished")
            .filter_map(key)
            .collect();
        out.sort();
        out
    }
}

impl Place {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let place = Self { folder: root.path().join("work"), root };
        fs::create_dir(&place.folder).unwrap();
        place.write("recipe.rb2", RECIPE);
        place.write("rows.jsonl", &rows(&["one two three four", "a b c", "x y"]));
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file; a new input is an accepted one.
    pub fn write(&self, name: &str, text: &str) {
        if name.rsplit('.').next() != Some("rb2") {
            let _ = fs::remove_file(self.path("recipe.rb2.lock"));
        }
        self.write_quietly(name, text);
    }

    /// Writes a file and leaves the lock as it is.
    pub fn write_quietly(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbpipe"));
        command.args(args).current_dir(&self.folder).env("RBPIPE_CACHE", self.cache());
        // Without the feature no test may need the engine: a run would build it, which takes minutes.
        #[cfg(not(feature = "torch"))]
        command.env("RBPIPE_ENGINE", "/not/in/these/tests");
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_in(&[], args)
    }

    /// Runs with some variables of the environment set.
    pub fn run_in(&self, envs: &[(&str, &str)], args: &[&str]) -> Ran {
        let events =
            self.root.path().join(format!("events-{}.jsonl", Digest::of(format!("{args:?}").as_bytes()).short()));
        let _ = fs::remove_file(&events);
        let mut all = vec!["run", "recipe.rb2", "--events", events.to_str().unwrap()];
        all.extend(args);
        let out = self.command(&all).envs(envs.iter().copied()).output().unwrap();
        let text = fs::read_to_string(&events).unwrap_or_default();
        Ran {
            code: out.status.code().unwrap_or(-1),
            events: text.lines().map(|l| serde_json::from_str(l).unwrap()).collect(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
            stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        }
    }

    pub fn done(&self) -> Ran {
        let ran = self.run(&[]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran
    }

    pub fn plan(&self) -> BTreeMap<String, String> {
        let out = self.command(&["plan", "recipe.rb2", "--json"]).output().unwrap();
        let plan: Json = serde_json::from_slice(&out.stdout).unwrap();
        let text = |v: &Json| v.as_str().unwrap().to_owned();
        plan["nodes"].as_array().unwrap().iter().map(|n| (text(&n["name"]), text(&n["state"]))).collect()
    }
}

pub fn rows(texts: &[&str]) -> String {
    let row = |(i, t): (usize, &&str)| format!("{}\n", serde_json::json!({ "id": format!("r{i}"), "text": t, "n": i }));
    texts.iter().enumerate().map(row).collect()
}

/// Waits for something that happens soon; says whether it did.
pub fn until(what: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Sends a signal to a process that was started here.
pub fn signal(child: &Child, signal: i32) {
    // SAFETY: `kill` touches no memory; the process is a child that has not been waited for.
    let sent = unsafe { libc::kill(i32::try_from(child.id()).unwrap(), signal) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}

/// Returns the files under a folder, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { out.extend(files_below(&entry.path())) } else { out.push(entry.path()) }
    }
    out.sort();
    out
}

#[test]
fn a_second_run_executes_nothing_and_rewrites_nothing() {
    let place = Place::new();
    let first = place.done();
    assert_eq!(first.executed(), ["kept", "long", "rows", "small"]);
    assert_eq!(place.read("out/kept.jsonl").lines().count(), 2);
    let written = fs::metadata(place.path("out/kept.jsonl")).unwrap().modified().unwrap();
    let second = place.done();
    assert!(second.executed().is_empty());
    assert_eq!(first.keys(), second.keys());
    let told: Vec<&str> = second.stderr.lines().filter(|l| l.starts_with("hit ")).collect();
    assert_eq!(told.len(), 4, "each node is told, the last ones too: {}", second.stderr);
    assert_eq!(fs::metadata(place.path("out/kept.jsonl")).unwrap().modified().unwrap(), written);
    assert_eq!(place.run(&["--no-exec"]).code, 0);
}

#[test]
fn the_note_beside_an_output_has_the_key_of_what_made_it() {
    let place = Place::new();
    let ran = place.done();
    for (output, node) in [("kept", "kept"), ("all", "small")] {
        let note: Json = serde_json::from_str(&place.read(&format!("out/{output}.jsonl.rbpipe.json"))).unwrap();
        let made = ran.said("node_finished").into_iter().find(|e| e["node"] == node).unwrap();
        assert_eq!(note["provenance"]["key"], made["key"], "{note}");
    }
}

#[test]
fn names_layout_comments_order_and_place_are_in_no_key() {
    let mut place = Place::new();
    place.done();
    let other = RECIPE
        .replace("long", "lengthy")
        .replace(
            "let small = rows |> filter.rule(where: .n < 1000)",
            "# a comment\nlet small =\n  filter.rule(rows,\n    where: .n<1_000)",
        )
        .replace("data.jsonl(\"rows.jsonl\", as: Row)", "data.jsonl(as: Row, path: \"./rows.jsonl\", bad: \"fail\")")
        .replace("\"words\"", "\"another name\"");
    place.write("recipe.rb2", &other);
    let moved = place.root.path().join("elsewhere");
    fs::rename(&place.folder, &moved).unwrap();
    place.folder = moved;
    assert!(place.done().executed().is_empty());
}

#[test]
fn a_changed_argument_reruns_what_depends_on_it() {
    let place = Place::new();
    place.done();
    let ran = place.run(&["-p", "least=2"]);
    assert_eq!((ran.code, ran.executed()), (0, vec!["kept".to_owned(), "long".to_owned()]));
    assert_eq!(place.read("out/kept.jsonl").lines().count(), 3);
    assert!(place.done().executed().is_empty(), "the first result is still there");
}

#[test]
fn equal_bytes_end_the_wave_of_reruns() {
    let place = Place::new();
    place.done();
    // The third row is dropped by `long` before and after.
    place.write("rows.jsonl", &rows(&["one two three four", "a b c", "z"]));
    assert_eq!(place.done().executed(), ["long", "rows", "small"]);
}

#[test]
fn the_plan_says_what_the_run_does() {
    let place = Place::new();
    assert!(place.plan().values().all(|s| s == "run" || s == "maybe"));
    for change in ["", "3", "2"] {
        if !change.is_empty() {
            place.write("recipe.rb2", &RECIPE.replace("= 3", &format!("= {change}")));
        }
        let plan = place.plan();
        let executed = place.done().executed();
        for (node, state) in plan.iter().filter(|(n, _)| !n.starts_with("expect")) {
            match state.as_str() {
                "hit" => assert!(!executed.contains(node), "{node} was to be a hit"),
                "run" => assert!(executed.contains(node), "{node} was to run"),
                _ => {}
            }
        }
    }
    assert!(place.plan().values().all(|s| s == "hit"));
}

#[test]
fn a_failed_expectation_holds_back_what_reads_its_artifact() {
    let place = Place::new();
    let ran = place.run(&["-p", "least=4"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert_eq!(ran.nodes("expect_failed").len(), 1);
    assert_eq!(ran.nodes("node_skipped"), ["kept"]);
    assert!(ran.stderr.contains("nothing left"));
    assert!(!place.path("out/kept.jsonl").exists());
    assert!(place.path("out/all.jsonl").exists(), "what is independent of it is published");
}

#[test]
fn a_failed_node_leaves_independent_branches_alone() {
    let place = Place::new();
    place.write("recipe.rb2", &RECIPE.replace(
        "output all = small",
        "let bad = data.jsonl(\"bad.jsonl\", as: Row)\noutput worse = bad |> filter.rule(where: .n > 0) to \"out/worse.jsonl\"\noutput all = small",
    ));
    place.write("bad.jsonl", "{\"id\": \"a\", \"text\": \"t\", \"n\": \"no number\"}\n");
    let ran = place.run(&[]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_eq!(ran.nodes("node_failed"), ["bad"]);
    assert_eq!(ran.nodes("node_skipped"), ["worse"]);
    assert!(place.path("out/kept.jsonl").exists());
    assert!(!ran.stderr.contains("backtrace"), "{}", ran.stderr);
    // Until something changes, whoever asks why it is to run hears of the failure.
    let asked: [(&[&str], &str); 2] = [
        (&["why", "recipe.rb2", "bad"], "bad (data.jsonl): run: failed at 20"),
        (&["plan", "recipe.rb2"], "run    failed at 20"),
    ];
    for (args, told) in asked {
        let out = place.command(args).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(said.contains(told) && said.contains("no number"), "{said}");
    }
    place.write("bad.jsonl", "{\"id\": \"a\", \"text\": \"t\", \"n\": 1}\n");
    let out = place.command(&["why", "recipe.rb2", "bad"]).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).starts_with("bad (data.jsonl): run: no result is recorded\n"));
}

#[test]
fn strict_numerics_puts_the_machine_into_every_key() {
    let place = Place::new();
    assert_eq!(place.done().executed().len(), 4);
    let recipe = RECIPE.replace("\"words\"", "\"words\" strict_numerics");
    place.write("recipe.rb2", &recipe);
    assert_eq!(place.done().executed().len(), 4, "no key is as it was");
    assert_eq!(place.done().executed().len(), 0);
    let why = place.command(&["why", "recipe.rb2", "kept"]).output().unwrap();
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.contains("numerics.processor") && why.contains("numerics.libtorch"), "{why}");
    place.write("recipe.rb2", RECIPE);
    assert_eq!(place.done().executed().len(), 0, "without it they are as they were");
    // Another machine's hardware is in no key of this one.
    place.write("site.rb2", "let far = { kind: \"ssh\", host: \"far.invalid\" }\n");
    place.write("recipe.rb2", &recipe.replace(">= least)", ">= least) with { executor: \"far\" }"));
    let ran = place.run_in(&[("RBPIPE_SITE", place.path("site.rb2").to_str().unwrap())], &[]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("E0621") && ran.stderr.contains("hardware is in no key"), "{}", ran.stderr);
}

#[test]
fn what_is_missing_is_reported_before_anything_runs() {
    let place = Place::new();
    fs::remove_file(place.path("rows.jsonl")).unwrap();
    let ran = place.run(&[]);
    assert_eq!(ran.code, 1);
    assert!(ran.events.is_empty());
    assert!(ran.stderr.contains("E0501") && ran.stderr.contains("rows.jsonl"), "{}", ran.stderr);
    assert!(ran.stdout.is_empty());
    for wrong in [["-p", "least=99"], ["-p", "lest=2"], ["--profile", "big"]] {
        assert_eq!(place.run(&wrong).code, 1, "{wrong:?}");
    }
    assert_eq!(place.run(&["--to", "nothing"]).code, 2);
}

#[test]
fn no_exec_refuses_what_is_not_recorded() {
    let place = Place::new();
    let ran = place.run(&["--no-exec"]);
    assert_eq!((ran.code, ran.executed().len()), (5, 0), "{}", ran.stderr);
}

#[test]
fn to_runs_only_what_a_name_needs() {
    let place = Place::new();
    let ran = place.run(&["--to", "small"]);
    assert_eq!((ran.code, ran.executed()), (0, vec!["rows".to_owned(), "small".to_owned()]));
    assert!(!place.path("out").exists());
}

#[test]
fn outputs_of_others_are_left_alone_and_own_ones_are_mended() {
    let place = Place::new();
    place.write("out/all.jsonl", "mine\n");
    let ran = place.run(&[]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("E0508"), "{}", ran.stderr);
    assert_eq!(place.read("out/all.jsonl"), "mine\n");
    assert_eq!(place.run(&["--force"]).code, 0);
    let good = place.read("out/all.jsonl");
    place.write("out/all.jsonl", "edited by hand\n");
    assert!(place.done().executed().is_empty());
    assert_eq!(place.read("out/all.jsonl"), good);
    fs::remove_file(place.path("out/all.jsonl")).unwrap();
    place.done();
    assert_eq!(place.read("out/all.jsonl"), good);
}

#[test]
fn eight_processes_on_one_store_make_each_result_once() {
    let place = Place::new();
    let texts: Vec<String> = (0..20_000).map(|i| format!("some words of row {i}")).collect();
    place.write("rows.jsonl", &rows(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
    let start = |i: usize| -> (PathBuf, Child) {
        let events = place.root.path().join(format!("events-{i}.jsonl"));
        let args = ["run", "recipe.rb2", "--to", "long", "--to", "small", "--events", events.to_str().unwrap()];
        (events.clone(), place.command(&args).stderr(Stdio::null()).spawn().unwrap())
    };
    let started: Vec<_> = (0..8).map(start).collect();
    let mut executed = Vec::new();
    for (events, mut child) in started {
        assert!(child.wait().unwrap().success());
        let text = fs::read_to_string(events).unwrap();
        let all = text.lines().map(|l| serde_json::from_str::<Json>(l).unwrap());
        executed.extend(all.filter(|e| e["event"] == "node_finished").map(|e| e["node"].as_str().unwrap().to_owned()));
    }
    executed.sort();
    assert_eq!(executed, ["long", "rows", "small"]);
}

#[test]
fn a_run_that_was_killed_is_taken_up_where_it_was() {
    let place = Place::new();
    let texts: Vec<String> = (0..60_000).map(|i| format!("some words of row {i}")).collect();
    place.write("rows.jsonl", &rows(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
    for after in [1, 5, 20, 60, 150, 400, 900] {
        let mut child = place.command(&["run", "recipe.rb2"]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(after));
        let _ = child.kill();
        child.wait().unwrap();
        let whole = |name: &str| {
            !place.path(name).exists()
                || place.read(name).lines().count() == if name.ends_with("all.jsonl") { 1000 } else { 60_000 }
        };
        assert!(whole("out/kept.jsonl") && whole("out/all.jsonl"), "half an output after {after} ms");
    }
    place.done();
    let (kept, all) = (place.read("out/kept.jsonl"), place.read("out/all.jsonl"));
    let fresh = Place::new();
    fresh.write("rows.jsonl", &place.read("rows.jsonl"));
    fresh.done();
    assert_eq!((kept, all), (fresh.read("out/kept.jsonl"), fresh.read("out/all.jsonl")));
    assert!(files_below(&place.cache().join("tmp")).is_empty(), "the next run cleans up after a killed one");
}

#[test]
fn a_damaged_record_or_journal_costs_work_and_never_a_wrong_result() {
    let place = Place::new();
    place.done();
    let good = place.read("out/kept.jsonl");
    let store = place.cache();
    let records = files_below(&store.join("records"));
    assert_eq!(records.len(), 4);
    for file in records.iter().take(2) {
        let whole = fs::read(file).unwrap();
        for cut in [0, 1, whole.len() / 3, whole.len() / 2, whole.len() - 2, whole.len() - 1] {
            fs::write(file, &whole[..cut]).unwrap();
            assert_eq!(place.done().executed().len(), 1, "cut at {cut}");
        }
        let mut flipped = whole.clone();
        let at = flipped.len() / 2;
        flipped[at] ^= 1;
        fs::write(file, &flipped).unwrap();
        let _ = fs::remove_dir_all(store.join("quarantine"));
        let planned = place.command(&["plan", "recipe.rb2"]).output().unwrap();
        assert!(String::from_utf8_lossy(&planned.stdout).contains(" is damaged"), "the plan says why it is to run");
        let ran = place.done();
        assert_eq!((ran.executed().len(), ran.said("bytes_damaged").len()), (1, 1), "{}", ran.stderr);
        assert!(ran.stderr.contains("is damaged and was moved to `quarantine/`; it is made anew"), "{}", ran.stderr);
        assert_eq!(files_below(&store.join("quarantine")).len(), 1);
    }
    let journal = files_below(&store.join("runs")).remove(0);
    let whole = fs::read(&journal).unwrap();
    for cut in (0..whole.len()).step_by(whole.len() / 12) {
        fs::write(&journal, &whole[..cut]).unwrap();
        assert!(
            rbpipe::engine::storage::journal::read(&journal).len() <= whole.iter().filter(|b| **b == b'\n').count()
        );
    }
    fs::write(&journal, [b"junk\xff\n".as_slice(), &whole].concat()).unwrap();
    assert!(rbpipe::engine::storage::journal::read(&journal).is_empty());
    assert!(place.done().executed().is_empty());
    assert_eq!(place.read("out/kept.jsonl"), good);
}

#[test]
fn lost_or_cut_blobs_are_made_anew() {
    let place = Place::new();
    place.done();
    let good = place.read("out/all.jsonl");
    fs::remove_dir_all(place.path("out")).unwrap();
    for (i, blob) in files_below(&place.cache().join("blobs")).into_iter().enumerate() {
        let cut = fs::read(&blob).unwrap();
        fs::remove_file(&blob).unwrap();
        if i % 2 == 0 {
            fs::write(&blob, &cut[..cut.len() / 2]).unwrap();
        }
    }
    // `small` keeps every row: once `rows` is there again, so are its bytes.
    assert_eq!(place.done().executed(), ["kept", "long", "rows"]);
    assert_eq!(place.read("out/all.jsonl"), good);
    assert!(place.command(&["cache", "verify"]).output().unwrap().status.success());
}

#[test]
fn a_valid_blob_is_not_rewritten_and_garbage_in_its_place_is() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let blob = store.put(b"some bytes").unwrap();
    let inode = fs::metadata(store.path(blob.digest)).unwrap().ino();
    store.put(b"some bytes").unwrap();
    assert_eq!(fs::metadata(store.path(blob.digest)).unwrap().ino(), inode);
    fs::remove_file(store.path(blob.digest)).unwrap();
    fs::write(store.path(blob.digest), b"some bytez").unwrap();
    store.put(b"some bytes").unwrap();
    assert_eq!(store.read(blob.digest).unwrap(), b"some bytes");
}

#[test]
fn why_names_the_field_that_changed() {
    let place = Place::new();
    place.done();
    let out = place.command(&["why", "recipe.rb2", "long", "-p", "least=2"]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("run: arg `where` changed"), "{text}");
    let out = place.command(&["why", "recipe.rb2", "long"]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("\n  input.d = ") && !text.contains("arg.d"), "{text}");
    let shown = place.command(&["show", "recipe.rb2", "long", "--json"]).output().unwrap();
    let shown: Json = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((shown["rows"].as_u64(), shown["kind"].as_str()), (Some(2), Some("dataset")));
    assert!(Path::new(shown["path"].as_str().unwrap()).join("part-00000.parquet").is_file());
    assert_eq!(shown["schema"][0], serde_json::json!({ "name": "id", "type": "Str" }));
    let listed = place.command(&["show", "recipe.rb2", "--json"]).output().unwrap();
    let listed: Json = serde_json::from_slice(&listed.stdout).unwrap();
    let rows: Vec<_> = listed.as_array().unwrap().iter().map(|l| (l["name"].as_str(), l["rows"].as_u64())).collect();
    assert!(rows.contains(&(Some("long"), Some(2))), "{rows:?}");
}

/// What a result is, in the words of its recipe.
#[test]
fn rows_of_all_parts_are_told_and_columns_have_the_types_of_the_recipe() {
    let place = Place::new();
    place.write("rows.jsonl", &(0..5).map(|i| format!("{{\"id\":\"r{i}\",\"clips\":[]}}\n")).collect::<String>());
    let recipe = r#"
recipe "parts"
import std.data
schema Row { id: Str, note: Str?, clips: [Video] }
let rows = data.jsonl("rows.jsonl", as: Row)
let parts = rows |> data.split(validation: 2rows, seed: 1)
output kept = parts.train to "kept.jsonl"
"#;
    place.write("recipe.rb2", recipe);
    let ran = place.done();
    let told = "5 rows  (test 0, train 3, validation 2)";
    assert!(ran.stderr.lines().any(|l| l.starts_with("done  parts") && l.ends_with(told)), "{}", ran.stderr);
    let ran = place.done();
    assert!(ran.stderr.contains("hit   parts  5 rows\n"), "{}", ran.stderr);
    for name in ["rows", "parts.validation"] {
        let out = place.command(&["show", "recipe.rb2", name, "--rows", "0"]).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.contains("\n  id: Str\n  note: Str?\n  clips: [Video]\n"), "{text}");
    }
}

/// Lays its input out as a folder twice, then reads it from the store.
static TWICE: rbpipe::engine::Builtin = rbpipe::engine::Builtin {
    spec: rbpipe::spec::OpSpec::BASE,
    run: Some(|cx| {
        let input = cx.input("d")?.clone();
        cx.folder_of(&input, "same")?;
        cx.folder_of(&input, "same")?;
        Ok(rbpipe::engine::Context::rows(cx.table("d")?))
    }),
};

#[test]
fn a_folder_laid_out_twice_leaves_the_store_whole() {
    let bench = crate::workbench::Workbench::new();
    let table = bench.table(&[("text", "Str")], &[serde_json::json!({ "text": "a row" })], None);
    let made = bench.run(&TWICE, serde_json::json!({}), &[("d", &table)]).expect("the blobs are as they were");
    assert_eq!(made.table, table);
}

/// Floats of all sorts in a record: some move their last bit when they are read back.
#[test]
fn every_record_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let mut state = 3u64;
    for n in 0..60 {
        let mut awkward = 0.1;
        for _ in 0..2000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            awkward = (state >> 11) as f64 / (1u64 << 50) as f64;
            if serde_json::from_str::<f64>(&awkward.to_string()).unwrap() != awkward {
                break;
            }
        }
        let key = Digest::of(format!("{n}").as_bytes());
        let made = Record {
            key,
            preimage: serde_json::Map::from_iter([("arg.lr".to_owned(), Json::from(awkward / 3.0))]),
            outputs: BTreeMap::new(),
            attachments: BTreeMap::new(),
            seconds: awkward,
            rows: None,
            bytes: 0,
            counts: BTreeMap::new(),
            of_rows: None,
            kept: None,
            began: None,
            fates: None,
            name: "n".into(),
            made: "now".into(),
            build: "test".into(),
        };
        record::publish(&store, &made).unwrap();
        assert!(record::read(&store, key).is_some(), "a record that took {awkward} s is lost");
    }
}
