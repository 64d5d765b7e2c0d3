//! The planted defects of the tabletop rows: what the cleaning chain of the example recipe finds of each kind, and what it drops wrongly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rbpipe::base::Digest;
use rbpipe::data::dedup::phash::{self, Hash};
use rbpipe::data::dedup::within;
use rbpipe::data::table::Table;
use rbpipe::engine::Store;
use rbpipe::engine::node::context::Fate;
use rbpipe::engine::storage::record;
use serde_json::{Value as Json, json};

use crate::bench::Bench;

struct Truth {
    rows: BTreeMap<String, Json>,
}

impl Truth {
    fn read(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("truth/truth.jsonl")).unwrap();
        let rows = text.lines().map(|l| serde_json::from_str::<Json>(l).unwrap());
        Self { rows: rows.map(|r| (r["id"].as_str().unwrap().to_owned(), r)).collect() }
    }

    fn of(&self, id: &str, field: &str) -> &str {
        self.rows[id][field].as_str().unwrap_or("")
    }

    fn ids(&self, test: impl Fn(&str) -> bool) -> BTreeSet<&str> {
        self.rows.keys().map(String::as_str).filter(|id| test(id)).collect()
    }
}

/// The set, or one that `tests/bench/second_tabletop.py` made: `RBPIPE_TABLETOP`.
fn folder() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/data/tabletop");
    std::env::var_os("RBPIPE_TABLETOP").map_or(own, |other| std::path::absolute(other).unwrap())
}

fn load(bench: &Bench) -> Table {
    let schema = json!({ "columns": [
        { "name": "id", "type": "Str" }, { "name": "instruction", "type": "Str" }, { "name": "input", "type": "Str?" },
        { "name": "output", "type": "Str" }, { "name": "images", "type": "[Image]" }, { "name": "video", "type": "Video?" },
        { "name": "risk", "type": "enum { safe, low, high }" } ] });
    let tables: Vec<Table> = ["ego4d", "epic", "lvis", "host"]
        .iter()
        .map(|name| {
            let args = json!({ "path": format!("raw/{name}.jsonl"), "as": schema, "media": ".", "bad": "quarantine" });
            let made = bench.run_in(&folder(), "data.jsonl", args, &[]).unwrap();
            assert_eq!(made.counts["quarantined"], 0, "{:?}", made.fates.first());
            made.table().clone()
        })
        .collect();
    Table::concat(&tables).unwrap()
}

/// One step of a recipe: what its record says.
struct Step {
    op: String,
    counts: BTreeMap<String, u64>,
    fates: Vec<Fate>,
}

/// Runs a recipe of this repository on a store of its own. `None`, said aloud, when a model cannot be fetched.
fn run(recipe: &str) -> Option<Vec<Step>> {
    let root = tempfile::tempdir().unwrap();
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let mut text = std::fs::read_to_string(recipes.join(recipe)).unwrap();
    if std::env::var_os("RBPIPE_TABLETOP").is_some() {
        // How many rows are left is known of the set of the recipe only.
        text = text.replace(">= 6_000rows", ">= 1rows");
    }
    std::fs::write(root.path().join(recipe), text).unwrap();
    std::fs::create_dir(root.path().join("data")).unwrap();
    std::os::unix::fs::symlink(folder(), root.path().join("data/tabletop")).unwrap();
    let (cache, events) = (root.path().join("cache"), root.path().join("events.jsonl"));
    // Wheels are kept between runs of the tests; `model.wheel` checks their digest.
    let wheels = std::env::home_dir().unwrap_or_default().join(".cache/rbpipe/wheels");
    std::fs::create_dir_all(&wheels).unwrap();
    std::fs::create_dir(&cache).unwrap();
    std::os::unix::fs::symlink(&wheels, cache.join("wheels")).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rbpipe"));
    #[cfg(feature = "torch")]
    command.env("RBPIPE_ENGINE", env!("CARGO_BIN_EXE_rbpipe-engine"));
    command.args(["run", recipe, "--events"]).arg(&events).current_dir(root.path()).env("RBPIPE_CACHE", &cache);
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    if said.contains("pip download") {
        eprintln!("SKIPPED: {recipe} needs a wheel from PyPI: {said}");
        return None;
    }
    assert!(out.status.success(), "{said}");
    let store = Store::open(&cache).unwrap();
    let text = std::fs::read_to_string(&events).unwrap();
    let finished =
        text.lines().map(|l| serde_json::from_str::<Json>(l).unwrap()).filter(|e| e["event"] == "node_finished");
    Some(finished.map(|e| step(&store, &e)).collect())
}

fn step(store: &Store, event: &Json) -> Step {
    let key = Digest::parse(event["key"].as_str().unwrap()).unwrap();
    let record = record::read(store, key).unwrap();
    let fates = record.fates.map_or_else(Vec::new, |file| store.read(file.digest).unwrap());
    let fates: Vec<Fate> =
        String::from_utf8(fates).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    println!("{} {} s {:?}", record.name, event["seconds"], record.counts);
    Step { op: record.preimage["op"].as_str().unwrap().to_owned(), counts: record.counts, fates }
}

/// What a recipe does to the planted defects, against the truth.
struct Measured<'t> {
    truth: &'t Truth,
    raw: BTreeMap<String, Json>,
    steps: Vec<Step>,
    /// The operator that dropped each row.
    dropped: BTreeMap<String, String>,
}

impl<'t> Measured<'t> {
    fn new(truth: &'t Truth, steps: Vec<Step>) -> Self {
        let mut dropped = BTreeMap::new();
        for step in &steps {
            let gone = step.fates.iter().filter(|f| f.what == "dropped");
            gone.for_each(|f| drop(dropped.insert(f.row.clone(), step.op.clone())));
        }
        let mut raw = BTreeMap::new();
        for name in ["ego4d", "epic", "lvis", "host"] {
            let text = std::fs::read_to_string(folder().join(format!("raw/{name}.jsonl"))).unwrap();
            let rows = text.lines().map(|l| serde_json::from_str::<Json>(l).unwrap());
            raw.extend(rows.map(|r| (r["id"].as_str().unwrap().to_owned(), r)));
        }
        assert_eq!(raw.len(), truth.rows.len());
        Self { truth, raw, steps, dropped }
    }

    /// The counts of each step are those of its fates, and each step reads what the one before kept.
    fn counts_are_right(&self) {
        let mut left = None;
        for step in self.steps.iter().filter(|s| s.op.starts_with("filter") || s.op.starts_with("dedup")) {
            let count = |name: &str| step.counts.get(name).copied().unwrap_or(0);
            let by_kind: u64 = step.counts.iter().filter(|(k, _)| k.starts_with("dropped: ")).map(|(_, n)| n).sum();
            assert_eq!(count("read"), left.unwrap_or(self.raw.len() as u64), "{}", step.op);
            assert_eq!(count("dropped"), step.fates.len() as u64, "{}", step.op);
            assert_eq!(count("dropped"), by_kind, "{}: {:?}", step.op, step.counts);
            assert_eq!(count("kept") + count("dropped"), count("read"), "{}", step.op);
            left = Some(count("kept"));
        }
        assert_eq!(left, Some((self.raw.len() - self.dropped.len()) as u64));
    }

    fn defect(&self, id: &str) -> &str {
        self.truth.of(id, "defect")
    }

    /// The share of the rows of a defect that are settled: it, or the row that it was made from, is gone.
    fn recall(&self, defect: &str) -> f64 {
        let gone = |id: &str| self.dropped.contains_key(id);
        let settled = |id: &str| gone(id) || gone(self.truth.of(id, "of"));
        let single = ["empty", "bad_format", "irrelevant", "wrong"].contains(&defect);
        self.share(defect, |id| if single { gone(id) } else { settled(id) })
    }

    fn share(&self, defect: &str, test: impl Fn(&str) -> bool) -> f64 {
        let ids = self.truth.ids(|id| self.defect(id) == defect);
        if ids.is_empty() {
            // A set without this defect.
            return 1.0;
        }
        ids.iter().filter(|id| test(id)).count() as f64 / ids.len() as f64
    }

    /// The share of the rows that an operator dropped whose defect is one of these.
    fn precision(&self, op: &str, defects: &[&str]) -> f64 {
        let rows: Vec<&String> = self.dropped.iter().filter(|(_, by)| *by == op).map(|(id, _)| id).collect();
        rows.iter().filter(|id| defects.contains(&self.defect(id))).count() as f64 / rows.len().max(1) as f64
    }

    /// The share of right ones among the rows that dedups dropped as a copy of this kind: the row that stays is of the same cluster.
    /// Kinds are told apart by the rows alone.
    fn dedup_precision(&self, kind: &str) -> f64 {
        let fates =
            self.steps.iter().filter(|s| s.op.starts_with("dedup")).flat_map(|s| s.fates.iter().map(move |f| (s, f)));
        let of_kind = fates.filter(|(step, fate)| self.kind(step, fate) == kind);
        let (mut right, mut all) = (0, 0);
        for (_, fate) in of_kind {
            let cluster = self.truth.of(&fate.row, "cluster");
            right += u32::from(!cluster.is_empty() && cluster == self.truth.of(keeper(fate), "cluster"));
            all += 1;
        }
        f64::from(right) / f64::from(all.max(1))
    }

    fn kind(&self, step: &Step, fate: &Fate) -> &'static str {
        let (a, b) = (&self.raw[&fate.row], &self.raw[keeper(fate)]);
        let same = |field: &str| a[field] == b[field];
        match () {
            () if step.op == "dedup.semantic" => "paraphrase",
            () if !same("images") => "image_dup",
            () if same("instruction") && same("input") && same("output") => "exact_dup",
            () => "near_dup",
        }
    }

    /// One line for each number: what it is, and the least it may be.
    fn check(&self, lines: &[(&str, f64, f64)]) {
        let text: String =
            lines.iter().map(|(what, got, least)| format!("{got:7.4} of {least:4.2}  {what}\n")).collect();
        println!("{text}");
        for step in &self.steps {
            let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
            step.fates.iter().for_each(|f| *kinds.entry(self.defect(&f.row)).or_default() += 1);
            println!("{} {kinds:?}", step.op);
        }
        assert!(lines.iter().all(|(_, got, least)| got >= least), "\n{text}");
    }

    /// What must hold for every recipe that cleans.
    fn required(&self) -> Vec<(&'static str, f64, f64)> {
        let format = self.precision("filter.format", &["bad_format", "irrelevant"]);
        let traps = self.truth.ids(|id| self.truth.of(id, "op") == "new_question_on_duplicate_image");
        let stay = traps.iter().filter(|id| !self.dropped.contains_key(**id)).count() as f64 / traps.len() as f64;
        vec![
            ("empty: recall", self.recall("empty"), 1.0),
            ("empty: precision", self.precision("filter.rule", &["empty"]), 0.95),
            ("bad_format: recall", self.recall("bad_format"), 0.99),
            ("bad_format: precision", format, 0.95),
            ("exact_dup: recall", self.recall("exact_dup"), 1.0),
            ("exact_dup: precision", self.dedup_precision("exact_dup"), 0.95),
            ("near_dup: recall", self.recall("near_dup"), 0.9),
            ("near_dup: precision", self.dedup_precision("near_dup"), 0.95),
            ("image_dup: recall", self.recall("image_dup"), 0.95),
            ("image_dup: precision", self.dedup_precision("image_dup"), 0.95),
            ("new questions on a copied picture that stay", stay, 0.95),
        ]
    }
}

/// The row that a dedup names as the one that stays.
fn keeper(fate: &Fate) -> &str {
    fate.why.rsplit(' ').next().unwrap()
}

/// The recipe without models, and the shares that it reaches.
#[test]
fn planted_defects_are_found() {
    let bench = Bench::new();
    pictures_look_the_same(&bench, &load(&bench));
    let truth = Truth::read(&folder());
    let Some(steps) = run("clean.rb2") else { panic!("clean.rb2 needs no model") };
    let measured = Measured::new(&truth, steps);
    measured.counts_are_right();
    let mut lines = measured.required();
    lines.extend([
        ("irrelevant: recall", measured.recall("irrelevant"), 0.6),
        ("wrong: recall", measured.recall("wrong"), 0.4),
        ("paraphrase: recall, mostly by chance", measured.recall("paraphrase"), 0.0),
    ]);
    measured.check(&lines);
}

#[cfg(feature = "torch")]
mod tensor {
    use super::*;

    /// The recipe with the sentence encoder.
    #[test]
    fn planted_defects_are_found_by_meaning_too() {
        let truth = Truth::read(&folder());
        let Some(steps) = run("curate.rb2") else { return };
        let measured = Measured::new(&truth, steps);
        measured.counts_are_right();
        let mut lines = measured.required();
        lines.extend([
            ("irrelevant: recall", measured.recall("irrelevant"), 0.8),
            ("irrelevant: precision of filter.relevance", measured.precision("filter.relevance", &["irrelevant"]), 0.9),
            ("wrong: recall", measured.recall("wrong"), 0.7),
            ("paraphrase: recall", measured.recall("paraphrase"), 0.8),
            ("paraphrase: precision of dedup.semantic", measured.dedup_precision("paraphrase"), 0.85),
        ]);
        measured.check(&lines);
    }
}

/// Clusters of the scenes' pictures against the list of re-encoded copies. (Frames of episodes are left out: neighbours rightly look the same.)
fn pictures_look_the_same(bench: &Bench, raw: &Table) {
    let mut digests = BTreeSet::new();
    raw.cells("images").unwrap().iter().for_each(|cell| within::collect(cell, &mut digests));
    let scenes = std::fs::read_dir(folder().join("images/train")).unwrap().map(|e| e.unwrap().path());
    let scenes: BTreeSet<String> = scenes.map(|path| Digest::of(&std::fs::read(path).unwrap()).hex()).collect();
    digests.retain(|digest| scenes.contains(digest));
    let looks = phash::clusters(&phash::hashes(&digests, Hash::Phash, bench.store()).unwrap(), 4);
    let digest = |path: &str| Digest::of(&std::fs::read(folder().join(path)).unwrap()).hex();
    let text = std::fs::read_to_string(folder().join("truth/duplicate_images.jsonl")).unwrap();
    let copies: BTreeSet<(String, String)> = text
        .lines()
        .map(|l| serde_json::from_str::<Json>(l).unwrap())
        .map(|c| (digest(c["image"].as_str().unwrap()), digest(c["of"].as_str().unwrap())))
        .filter(|(a, b)| looks.contains_key(a) && looks.contains_key(b))
        .collect();
    let found = copies.iter().filter(|(a, b)| looks[a] == looks[b]).count();
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    looks.values().for_each(|cluster| *sizes.entry(*cluster).or_default() += 1);
    let joined: usize = sizes.values().map(|n| n - 1).sum();
    println!(
        "{} pictures, {} copies, {found} found, {joined} joined, largest cluster {:?}",
        looks.len(),
        copies.len(),
        sizes.values().max()
    );
    assert!(found as f64 >= 0.95 * copies.len() as f64 && found as f64 >= 0.95 * joined as f64);
}

#[test]
fn threads_do_not_matter() {
    let run = |threads: usize| {
        let mut bench = Bench::new();
        bench.threads = threads;
        let raw = load(&bench);
        let args = json!({
            "on": ["instruction", "input"], "within": ["images", "output"], "similar": 0.7, "shingle": 2, "bands": 32, "rows": 4, "contrast": 0,
            "verify": true, "where": { "lit": true }, "image_distance": 4, "keep": "first", "best": null, "rule": "components",
        });
        let made = bench.run("dedup.minhash", args, &[("d", &raw)]).unwrap();
        (made.table().clone(), made.fates.len(), made.counts)
    };
    assert_eq!(run(1), run(4));
}
