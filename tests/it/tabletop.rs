//! The planted defects of the tabletop rows: what the cleaning chain of the example recipe finds of each kind, and what it drops wrongly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rbpipe::base::Digest;
use rbpipe::data::phash::{self, Hash};
use rbpipe::data::table::Table;
use rbpipe::data::within;
use rbpipe::engine::context::Fate;
use serde_json::{Value as Json, json};

use crate::bench::{Bench, Made};

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

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/data/tabletop")
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

/// Runs the chain of `clean` without its two steps that need an encoder. Returns what each step dropped, by name.
fn clean(bench: &Bench, raw: Table) -> Vec<(&'static str, Made)> {
    let col = |c: &str| json!({ "col": c });
    let call = |recv: Json, name: &str, args: Json| json!({ "call": { "name": name, "recv": recv, "args": args } });
    let contains = |text: &str| call(col("ask"), "contains", json!([[null, { "lit": text }]]));
    let ask = json!({ "binary": ["+", { "binary": ["+", col("instruction"), { "lit": "\n" }] }, { "binary": ["??", col("input"), { "lit": "" }] }] });
    let rule = json!({ "binary": ["and",
        { "binary": ["!=", call(col("output"), "trim", json!([])), { "lit": "" }] },
        { "binary": ["or",
            { "binary": ["in", call(col("images"), "len", json!([])), { "range": [{ "lit": 1 }, { "lit": 32 }] }] },
            { "binary": ["!=", col("video"), { "lit": null }] }] }] });
    let always = json!({ "lit": true });
    let common = json!({ "where": always, "within": ["images"], "image_distance": 4, "keep": "first", "best": null, "rule": "components" });
    let with = |own: Json| {
        let mut args = common.as_object().unwrap().clone();
        args.extend(own.as_object().unwrap().clone());
        Json::Object(args)
    };
    let steps = [
        ("data.derive", json!({ "columns": { "ask": ask } })),
        ("filter.rule", json!({ "where": rule })),
        (
            "filter.format",
            json!({ "where": always, "of": "output", "schema": null, "pattern": null, "empty": "drop",
            "demand": { "letter": contains("letter only"), "points": contains("[(x, y)]") } }),
        ),
        (
            "filter.conflict",
            with(json!({ "question": ["ask"], "answer": "output", "keep": "majority", "normalise": true })),
        ),
        ("dedup.simhash", with(json!({ "on": ["ask", "output"], "distance": 3, "shingle": 2 }))),
        (
            "dedup.minhash",
            with(
                json!({ "on": ["ask"], "within": ["images", "output"], "similar": 0.7, "shingle": 2, "bands": 32, "rows": 4, "verify": true }),
            ),
        ),
    ];
    let mut table = raw;
    let mut made = Vec::new();
    for (op, args) in steps {
        let step = bench.run(op, args, &[("d", &table)]).unwrap_or_else(|e| panic!("{op}: {e}"));
        table = step.table().clone();
        made.push((op, step));
    }
    made
}

/// The shares that the chain reaches, each over rows of one kind.
#[test]
fn planted_defects_are_found() {
    let truth = Truth::read(&folder());
    let bench = Bench::new();
    let raw = load(&bench);
    assert_eq!(raw.rows(), 9200);
    pictures_look_the_same(&bench, &raw);
    let steps = clean(&bench, raw);
    let mut dropped: BTreeMap<&str, &str> = BTreeMap::new();
    for (op, made) in &steps {
        made.fates.iter().for_each(|fate| drop(dropped.insert(&fate.row, op)));
    }
    let share = |ids: BTreeSet<&str>, test: &dyn Fn(&str) -> bool| {
        let hits = ids.iter().filter(|id| test(id)).count();
        hits as f64 / ids.len().max(1) as f64
    };
    let defect = |name: &str| truth.ids(|id| truth.of(id, "defect") == name);
    let by = |op: &str, id: &str| dropped.get(id) == Some(&op);
    let mut report: Vec<(String, f64, f64)> = vec![
        ("empty, by filter.rule".into(), share(defect("empty"), &|id| by("filter.rule", id)), 1.0),
        ("bad_format, by filter.format".into(), share(defect("bad_format"), &|id| by("filter.format", id)), 0.99),
        (
            "wrong against a majority, by filter.conflict".into(),
            share(truth.ids(|id| truth.of(id, "op") == "majority/same_text"), &|id| by("filter.conflict", id)),
            1.0,
        ),
    ];
    // Of a duplicate and what it was made from, at most one may stay.
    for (name, least) in [("exact_dup", 1.0), ("near_dup", 0.9), ("image_dup", 0.95)] {
        let settled = |id: &str| dropped.contains_key(id) || dropped.contains_key(truth.of(id, "of"));
        report.push((name.into(), share(defect(name), &settled), least));
    }
    // A dedup is right if the row that stays belongs to the same cluster. A later step sees only what an earlier one left, so they are judged together.
    let right = |fate: &&Fate| {
        let keeper = fate.why.rsplit(' ').next().unwrap();
        !truth.of(&fate.row, "cluster").is_empty() && truth.of(&fate.row, "cluster") == truth.of(keeper, "cluster")
    };
    let fates = || steps.iter().filter(|(op, _)| op.starts_with("dedup")).flat_map(|(_, made)| &made.fates);
    let precision = fates().filter(right).count() as f64 / fates().count() as f64;
    report.push((format!("precision of both dedups over {} rows", fates().count()), precision, 0.95));
    let filtered = |id: &str| ["filter.rule", "filter.format"].iter().any(|op| by(op, id));
    let unharmed = |id: &str| !filtered(id);
    report.push(("clean rows that both filters keep".into(), share(defect("clean"), &unharmed), 1.0));
    let traps = truth.ids(|id| truth.of(id, "op") == "new_question_on_duplicate_image");
    report.push((
        "new questions on a copied picture that stay".into(),
        share(traps, &|id| !dropped.contains_key(id)),
        0.95,
    ));
    let all = report.iter().map(|(what, got, least)| format!("{got:7.4} of {least:4.2}  {what}\n")).collect::<String>();
    println!("{all}");
    for (op, made) in &steps {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        made.fates.iter().for_each(|f| *kinds.entry(truth.of(&f.row, "defect")).or_default() += 1);
        println!("{op} {kinds:?}");
    }
    assert!(report.iter().all(|(_, got, least)| got >= least), "\n{all}");
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
        let mut made = clean(&bench, raw);
        let (_, last) = made.pop().unwrap();
        (last.table().clone(), last.fates.len(), made.iter().map(|(_, m)| m.counts.clone()).collect::<Vec<_>>())
    };
    assert_eq!(run(1), run(4));
}
