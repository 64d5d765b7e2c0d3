//! Kills at random instants: fifty of a recipe of two hundred nodes, some of which are programs. `tests/bench/engine.py kills` does a thousand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rbpipe::engine::Store;
use rbpipe::engine::storage::verify;

use crate::engine::{Place, files_below, until};
use crate::random::Random;

const NODES: usize = 200;
const KILLS: usize = 50;
const PROGRAMS: usize = 4;

const HEAD: &str = r#"recipe "mixed"
import std.{data, filter}
schema Row { id: Str, text: Str, n: Int }
let src = data.jsonl("rows.jsonl", as: Row)
op mine(d: Dataset[{ text: Str, n: Int }]) -> Dataset[{ text: Str, n: Int }] runs "sh mine.sh" files ["mine.sh"] deterministic
"#;

/// Chains of five below one source, programs beside their first links, and a join of their ends.
fn recipe() -> String {
    let mut text = HEAD.to_owned();
    let mut ends = Vec::new();
    for at in 0..NODES - 2 - 3 * PROGRAMS {
        let (chain, step) = (at / 5, at % 5);
        let before = if step == 0 { "src".to_owned() } else { format!("c{chain}x{}", step - 1) };
        writeln!(text, "let c{chain}x{step} = {before} |> filter.rule(where: .n != {})", chain * 7 + step).unwrap();
        ends.truncate(chain);
        ends.push(format!("e{chain}: c{chain}x{step}"));
    }
    for i in 0..PROGRAMS {
        writeln!(text, "let p{i} = c{i}x0 |> data.select(columns: [.text, .n]) |> mine()").unwrap();
        writeln!(text, "output o{i} = p{i} to \"out/p{i}.jsonl\"").unwrap();
    }
    writeln!(text, "output all = data.concat({}) to \"out/all.jsonl\"", ends.join(", ")).unwrap();
    text
}

fn place() -> Place {
    let place = Place::new();
    place.write("recipe.rb2", &recipe());
    place.write("mine.sh", "sleep 0.02\ncat\n");
    let row = |i| format!("{{\"id\": \"r{i}\", \"text\": \"some words of row {i}\", \"n\": {i}}}\n");
    place.write("rows.jsonl", &(0..400).map(row).collect::<String>());
    place
}

/// What was published, notes left out.
fn published(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    let own = |path: &PathBuf| !path.display().to_string().ends_with(".rbpipe.json");
    let folder = place.path("out");
    let files = files_below(&folder).into_iter().filter(own);
    files.map(|path| (path.strip_prefix(&folder).unwrap().to_owned(), fs::read(path).unwrap())).collect()
}

/// Processes that have a store in their environment.
fn alive(store: &Path) -> Vec<String> {
    let mark = format!("RBPIPE_CACHE={}", store.display());
    let of = |file: &str, pid: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|pid| {
            let zombie = String::from_utf8_lossy(&of("stat", pid)).contains(") Z ");
            !zombie && of("environ", pid).split(|b| *b == 0).any(|variable| variable == mark.as_bytes())
        })
        .collect()
}

fn waited(child: &mut Child, limit: Duration) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

#[test]
fn fifty_kills_of_two_hundred_nodes_leave_the_bytes_of_an_unbroken_run() {
    let good = place();
    let started = Instant::now();
    let nodes = good.done().executed().len();
    assert!((NODES - 10..=NODES + 10).contains(&nodes), "{nodes} nodes");
    let whole = started.elapsed();
    let (mut random, mut kills) = (Random(7), 0);
    while kills < KILLS {
        let place = place();
        let code = loop {
            let mut child = place.command(&["run", "recipe.rb2"]).stderr(Stdio::null()).spawn().unwrap();
            // Now short, now long: the start of a run is as likely as its middle.
            let share = [100, 400, 1_100][random.below(3)] * random.below(1_000) as u32;
            match waited(&mut child, whole * share / 1_000_000) {
                None if kills < KILLS => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    kills += 1;
                }
                None => break child.wait().unwrap().code(),
                ended => break ended,
            }
        };
        assert_eq!(code, Some(0), "after {kills} kills");
        assert_eq!(published(&place), published(&good), "after {kills} kills");
        assert!(until(|| alive(&place.cache()).is_empty()), "still there: {:?}", alive(&place.cache()));
        assert!(verify::verify(&Store::open(place.cache()).unwrap()).none());
        assert!(files_below(&place.cache().join("tmp")).is_empty(), "a killed run left something behind");
    }
}
