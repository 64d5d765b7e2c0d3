//! Identity: the keys of this version as golden values, and what may and may not move them.

use std::collections::BTreeMap;
use std::path::Path;

use rbpipe::base::world::MemoryWorld;
use rbpipe::base::{Digest, SourceMap};
use rbpipe::plan::key::{self, Reads};
use rbpipe::plan::{self, Graph, NodeId};
use rbpipe::semantics::{Settings, check, load};

use crate::workbench::Draw;

/// An argument: its name, spellings of one value, and another value. An empty spelling leaves it out.
type Arg = (&'static str, &'static [&'static str], &'static str);

/// A call: the binding, the operator, the binding that it reads first, and its arguments. The first spelling is the plain one.
type Call = (&'static str, &'static str, &'static str, &'static [Arg]);

#[rustfmt::skip]
const CALLS: &[Call] = &[
    ("long", "filter.rule", "rows", &[
        ("where", &[".text.words >= 3 and .n < 1000", "(.text.words>=3) and .n<1_000", ".text.words >= least and .n < 1000"], ".text.words >= 4 and .n < 1000"),
    ]),
    ("near", "dedup.minhash", "long", &[
        ("on", &["[.text]", "[ .text, ]"], "[.text, .id]"), ("similar", &["80%", "80.0%", "eighty"], "70%"),
    ]),
    ("same", "dedup.exact", "near", &[
        ("on", &["[.text]"], "[.id]"), ("normalise", &["", "true"], "false"), ("keep", &["\"longest\""], "\"first\""),
    ]),
    ("some", "data.sample", "same", &[
        ("n", &["10rows", "ten"], "11rows"), ("by", &["", "none"], ".id"), ("seed", &["7", "lucky"], "8"),
    ]),
    ("more", "data.derive", "some", &[
        ("twice", &[".text + .text"], ".text + \"!\""), ("half", &[".n / 2", ".n/2", "(.n) / (2)"], ".n / 3"),
    ]),
    ("best", "data.top", "more", &[
        ("by", &[".n"], ".half"), ("n", &["5rows"], "6rows"), ("order", &["", "\"desc\""], "\"asc\""),
    ]),
];

/// What some spellings refer to.
const HEAD: &str = "param least: Int = 3\nlet eighty = 80%\nlet ten = 10rows\nlet lucky = 7\n";

/// How a recipe is written down.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    /// Other names, layout, comments, spellings, order of arguments and items, another folder.
    Drawn,
}

/// Writes the recipe; `flip` names a call and an argument that get the other value.
fn recipe(style: Style, draw: &mut Draw, flip: Option<(&str, &str)>) -> (String, BTreeMap<String, String>) {
    let drawn = style == Style::Drawn;
    let mut names: BTreeMap<&str, String> = BTreeMap::from([("rows", "rows".to_owned())]);
    for (name, ..) in CALLS {
        let renamed = format!("{}_{}", ["alpha", "beta", "gamma"][draw.below(3)], name);
        names.insert(name, if drawn { renamed } else { (*name).to_owned() });
    }
    let gap = |draw: &mut Draw| if drawn { draw.one(&["", "\n# a comment\n", "\n", "\n\n"]) } else { "" };
    let mut items = vec![
        "schema Row { id: Str, text: Str, n: Int }".to_owned(),
        format!(
            "let {} = data.jsonl({})",
            names["rows"],
            if drawn {
                draw.one(&[
                    "as: Row, path: \"rows.jsonl\"",
                    "\"./rows.jsonl\", as: Row, bad: \"fail\"",
                    "\"../data/rows.jsonl\", as: Row",
                ])
            } else {
                "\"rows.jsonl\", as: Row"
            }
        ),
    ];
    for (name, op, reads, args) in CALLS {
        let mut written = Vec::new();
        for (arg, spellings, other) in *args {
            let value = match flip {
                Some(flipped) if flipped == (*name, *arg) => other,
                _ if drawn => draw.one(spellings),
                _ => spellings[0],
            };
            if !value.is_empty() {
                written.push(format!("{arg}: {value}"));
            }
        }
        // The order of new columns is the author's.
        if drawn && *op != "data.derive" {
            draw.shuffle(&mut written);
        }
        let comma = if drawn { draw.one(&[", ", ",\n    "]) } else { ", " };
        let (from, args) = (&names[reads], written.join(comma));
        let call = match drawn && draw.below(2) == 0 {
            true => format!("{op}({from}{comma}{args})"),
            false => format!("{from} |> {op}({args})"),
        };
        let with = if drawn { draw.one(&["", " with { priority: 2 }"]) } else { "" };
        items.push(format!("let {} = {call}{with}", names[name]));
    }
    let last = &names["best"];
    items.push(format!(
        "output result = {last} to {}",
        if drawn { draw.one(&["\"a.jsonl\"", "\"deep/b.parquet\""]) } else { "\"a.jsonl\"" }
    ));
    if drawn {
        draw.shuffle(&mut items);
    }
    let title = if drawn { draw.one(&["one", "two words"]) } else { "one" };
    let mut text = format!("recipe \"{title}\"\nimport std.{{data, filter, dedup}}\n{HEAD}");
    for item in items {
        text.push_str(gap(draw));
        text.push_str(&item);
        text.push('\n');
    }
    (text, names.into_iter().map(|(plain, name)| (name, plain.to_owned())).collect())
}

fn graph(text: &str, folder: &str) -> Graph {
    let mut world = MemoryWorld::default();
    let path = Path::new(folder).join("recipe.rb2");
    world.files.insert(path.clone(), text.into());
    let catalogue = rbpipe::ops::catalogue();
    let mut sources = SourceMap::default();
    let (program, mut problems) = load(&world, &catalogue, &mut sources, &path);
    problems.extend(check(&program, &catalogue, &Settings::default()).1);
    let (planned, more) = plan::evaluate(&program, &catalogue, &mut sources, &world, &plan::Options::default());
    problems.extend(more);
    assert!(!problems.has_errors(), "{text}\n{:#?}", problems.sorted());
    planned.unwrap().graph
}

/// The keys that a run would find if every file had the same bytes wherever it lies.
fn keys(graph: &Graph) -> BTreeMap<String, Digest> {
    let files = |id: NodeId| graph.node(id).paths.iter().map(|p| (p.arg.clone(), Digest::of(b"the rows"))).collect();
    let keys = key::plan(graph, &files);
    keys.into_iter().map(|(id, key)| (graph.node(id).name.clone(), key)).collect()
}

#[test]
fn names_layout_order_spelling_and_place_move_no_key_and_each_argument_moves_its_own() {
    let (text, _) = recipe(Style::Plain, &mut Draw(0), None);
    let plain = keys(&graph(&text, "work"));
    assert_eq!(plain.len(), CALLS.len() + 1);
    for seed in 0..120 {
        let (text, names) = recipe(Style::Drawn, &mut Draw(seed), None);
        let folder = ["work", "other/place", "/home/somebody"][seed as usize % 3];
        let found = keys(&graph(&text, folder));
        for (name, key) in found {
            let plain_name = names.get(&name).unwrap_or(&name);
            assert_eq!(Some(&key), plain.get(plain_name), "seed {seed}: the key of `{name}` moved\n{text}");
        }
    }
    for (at, (call, _, _, args)) in CALLS.iter().enumerate() {
        for (arg, ..) in *args {
            let (text, _) = recipe(Style::Plain, &mut Draw(0), Some((call, arg)));
            let moved: Vec<String> =
                keys(&graph(&text, "work")).into_iter().filter(|(n, k)| plain[n] != *k).map(|(n, _)| n).collect();
            let mut expected: Vec<String> = CALLS[at..].iter().map(|c| c.0.to_owned()).collect();
            expected.sort();
            assert_eq!(moved, expected, "`{arg}` of `{call}` moves its key and those below");
        }
    }
}

/// A recipe with every kind of argument. Its keys are what teammates with another build find results by: when this changes without a new version of an operator, shared
/// stores are lost.
const GOLDEN: &str = r#"recipe "golden"
import std.{data, filter, dedup, augment, train, model, judge}
param seed: Int = 11
schema Row { id: Str, text: Str, n: Int, images: [Image], level: enum { low, high } }
let rows = data.jsonl("rows.jsonl", as: Row, media: "pictures", bad: "quarantine")
let rule = rows |> filter.rule(where: .text.words in 3..40 and (.level == "high" or .n > -2))
let near = rule |> dedup.minhash(on: [.text], similar: 80%, within: [.images])
let drawn = near |> data.sample(n: 12.5%, by: .level, weights: { low: 50%, high: 50% })
let again = drawn |> data.sample(n: 12.5%, by: .level, weights: { low: 50%, high: 50% })
let parts = again |> data.split(validation: 10%, apart: [.images])
let new = parts.train |> data.derive(half: .n / 2, tag: "a \"quoted\" é")
let hues = new |> augment.color(keep_hue: [-15deg..15deg, 40deg..65deg], tolerance: 2deg)
let both = data.concat(label: "from", a: new, b: parts.validation)
output one = hues to "hues.jsonl"
output two = both to "both.jsonl"
"#;

#[test]
fn the_keys_of_this_version_are_those_of_the_last() {
    let graph = graph(GOLDEN, "work");
    let mut told = String::new();
    for id in graph.order() {
        let node = graph.node(id);
        let reads = Reads {
            inputs: node.inputs.iter().map(|i| (i.slot.clone(), Digest::of(i.slot.as_bytes()))).collect(),
            files: node.paths.iter().map(|p| (p.arg.clone(), Digest::of(p.arg.as_bytes()))).collect(),
            ..Reads::default()
        };
        let preimage = serde_json::to_string_pretty(&key::preimage(node, &reads)).unwrap();
        told.push_str(&format!("{} {}\n{preimage}\n\n", node.name, key::action(node, &reads)));
    }
    insta::assert_snapshot!("keys", told);
}
