//! Which share of the questions of a row of `grid.table` is among the training rows.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use rbpipe::data::table::Table;
use rbpipe::engine::Artifact;
use rbpipe::engine::storage::dataset;
use rbpipe::eval::{Benchmark, item};
use serde_json::{Value as Json, json};

use super::tabletop::{Room, answered, declare_from, declared};

/// Questions of two benchmarks. Their ids are the same.
const ASKED: [(&str, &[&str]); 2] = [
    (
        "first",
        &["Which of the balls lies next to the mug", "Where would the robot put the orange cylinder if asked to do so"],
    ),
    (
        "second",
        &[
            "Say whether the robot that holds a cup sees which of the balls lies next to the mug in front",
            "Tell me now if the lemon lies left of the tall milk carton or behind it",
            "Count all of the red and the green balls on the table in front of the robot and say how many",
            "Is there any carton on this table that the robot could reach with its left arm alone",
            "Name the one thing here that nobody would ever want to drink from or to sit upon",
        ],
    ),
];

/// Training rows: a text, and the place of the question that has the same picture.
const TRAINED: [(&str, Option<(usize, usize)>); 4] = [
    // Holds the first question of `first` whole. It shares as many words with the first of `second`, of which that is a part only.
    (
        "I have heard it asked: which of the balls lies next to the mug? Nobody could say, since it was dark.",
        Some((1, 0)),
    ),
    // A text of nine words that a question of `second` holds whole.
    ("The lemon lies left of the tall milk carton", None),
    ("Count all of the red and the green balls on the table in front, they said", Some((1, 2))),
    ("Look", Some((0, 1))),
];

/// What must be shared, and how many of the questions of each benchmark are shared then.
const SHARED: [(&str, [f64; 2]); 4] =
    [("words", [1.0, 2.0]), ("picture", [1.0, 2.0]), ("either", [2.0, 3.0]), ("both", [0.0, 1.0])];

/// The two scores, and the training rows.
fn made(room: &Room) -> (Vec<Artifact>, Artifact) {
    let (_, sample, kinds, headline) = declared().into_iter().find(|(name, ..)| *name == "embspatial").unwrap();
    let tabletop = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/data/tabletop/eval/embspatial.jsonl");
    let rows = fs::read_to_string(tabletop).unwrap();
    let mut rows = rows.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let (mut scores, mut pictures) = (Vec::new(), Vec::new());
    for (name, questions) in ASKED {
        let lines = questions.iter().enumerate().map(|(i, question)| {
            let mut row = rows.next().unwrap();
            (row["question_id"], row["question"]) = (json!(format!("q{i}")), json!(question));
            format!("{row}\n")
        });
        let path = room.path(&format!("{name}.jsonl"));
        fs::write(&path, lines.collect::<String>()).unwrap();
        let bench = declare_from(room, name, path.to_str().unwrap(), &sample, kinds, &headline);
        scores.push(answered(room, &bench, |item| item.key.clone()));
        let items = Benchmark::load(&room.store, &bench).unwrap().items;
        pictures.push(items.into_iter().map(|item| item.images).collect::<Vec<_>>());
    }
    let texts: ArrayRef = Arc::new(TRAINED.iter().map(|(text, _)| Some(*text)).collect::<StringArray>());
    let shown = TRAINED.iter().map(|(_, of)| of.map_or(&[][..], |(bench, at)| pictures[bench][at].as_slice()));
    let columns = vec![("text".to_owned(), texts), ("images".to_owned(), item::picture_lists(shown).unwrap())];
    let train = dataset::save(&room.store, &Table::new(columns, TRAINED.len()).unwrap()).unwrap();
    (scores, train)
}

/// The shares of the rows of a table over some of the benchmarks.
fn overlaps(room: &Room, of: &[(&str, &Artifact)], train: &Artifact, mut args: Json) -> Vec<Json> {
    let slot = |name: &str| format!("g.cells.x|{name}");
    let cells = of.iter().map(|(name, _)| (format!("x|{name}"), json!({ "$input": slot(name) })));
    let names: Vec<&str> = of.iter().map(|(name, _)| *name).collect();
    let cells = Json::Object(cells.collect());
    args["g"] = json!({ "axes": ["m", "b"], "labels": { "m": ["x"], "b": names }, "cells": cells });
    (args["show"], args["over"], args["adjust"]) = (json!(["n"]), json!([]), json!("holm"));
    let slots: Vec<String> = names.iter().map(|name| slot(name)).collect();
    let mut given: Vec<(&str, &Artifact)> = slots.iter().map(String::as_str).zip(of.iter().map(|(_, s)| *s)).collect();
    given.push(("train", train));
    let table = room.run("grid.table", args, &given).unwrap();
    table.meta["table"]["rows"].as_array().unwrap().iter().map(|row| row["overlap"].clone()).collect()
}

/// The axes that a table names, and the shares of the rows that it has then: the last axis becomes rows unless it becomes columns.
const AXES: [(&str, &str, &[f64]); 4] =
    [("b", "", &[0.5, 0.4]), ("", "m", &[0.5, 0.4]), ("", "", &[0.5, 0.4]), ("", "b", &[0.5])];

#[test]
fn whichever_axis_becomes_rows_has_shares() {
    let room = Room::new();
    let (scores, train) = made(&room);
    let both: Vec<(&str, &Artifact)> = ASKED.iter().map(|(name, _)| *name).zip(&scores).collect();
    let named = |axis: &str| Some(axis.to_owned()).filter(|axis| !axis.is_empty());
    for (rows, cols, shares) in AXES {
        let args = json!({ "rows": named(rows), "cols": named(cols), "shared": "words" });
        assert_eq!(json!(overlaps(&room, &both, &train, args)), json!(shares), "rows {rows:?}, cols {cols:?}");
    }
}

#[test]
fn two_benchmarks_share_with_the_training_rows_what_each_does_alone() {
    let room = Room::new();
    let (scores, train) = made(&room);
    let both: Vec<(&str, &Artifact)> = ASKED.iter().map(|(name, _)| *name).zip(&scores).collect();
    for (shared, counts) in SHARED {
        let args = || json!({ "rows": "b", "shared": shared });
        let shares: Vec<Json> = counts.iter().zip(ASKED).map(|(n, (_, all))| json!(n / all.len() as f64)).collect();
        assert_eq!(overlaps(&room, &both, &train, args()), shares, "{shared}");
        let alone: Vec<Json> = both.iter().flat_map(|one| overlaps(&room, &[*one], &train, args())).collect();
        assert_eq!(alone, shares, "{shared}, each alone");
    }
}
