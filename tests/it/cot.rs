//! Thoughts, plans and mistakes made from the annotations of the rendered scenes.

use std::collections::{BTreeMap, BTreeSet};

use rbpipe::data::dedup::originals::Originals;
use rbpipe::data::draw::{Draw, RowKey};
use rbpipe::data::pictures::rle;
use rbpipe::data::scenes::answer::{Form, steps};
use rbpipe::data::scenes::mistake::{Edit, wrong};
use rbpipe::data::table::Table;
use rbpipe::ops::cot::{
    compare::COMPARE, fail_fix::FAIL_FIX, plan::PLAN, questions::QUESTIONS, structured::STRUCTURED,
};
use rbpipe::ops::data::{episodes::EPISODES, lvis::LVIS, visual_genome::VISUAL_GENOME};
use serde_json::{Value as Json, json};

use crate::workbench::{Made, Workbench, column, rows, tabletop, texts};

const SFT: [(&str, &str); 6] = [
    ("id", "Str"),
    ("instruction", "Str"),
    ("input", "Str?"),
    ("output", "Str"),
    ("images", "[Image]"),
    ("risk", "Str"),
];

fn annotations(bench: &Workbench, op: &rbpipe::engine::Builtin, file: &str) -> Made {
    let mut args = json!({ "path": format!("annotations/{file}"), "media": ".", "bad": "fail" });
    if file.starts_with("episodes") {
        args["layout"] = json!("thor");
    }
    bench.run(op, args, &[]).expect(file)
}

fn structured(more: &[(&str, Json)]) -> Json {
    let mut args = json!({
        "steps": ["see", "do", "expect"], "from": ["instruction", "output"], "as_text": false, "images": "images",
        "ask": "Think first: reply as JSON.", "image_distance": 4,
    });
    for (name, value) in more {
        args[*name] = value.clone();
    }
    args
}

#[test]
fn signatures_parse() {
    let catalogue = rbpipe::ops::catalogue();
    for name in [
        "data.visual_genome",
        "data.lvis",
        "data.episodes",
        "augment.geometry",
        "augment.color",
        "augment.pad",
        "cot.structured",
    ] {
        assert!(catalogue.get(name).is_some_and(|op| !op.doc.is_empty()), "{name}");
    }
}

#[test]
fn annotation_files_load() {
    let bench = Workbench::new();
    let scenes = annotations(&bench, &VISUAL_GENOME, "scene_graphs.json").table;
    assert_eq!(scenes.rows(), 1200);
    let first = &column(&scenes, "objects")[0];
    assert_eq!(first[0], json!({ "label": "milk carton", "box": [15.0, 45.0, 25.0, 52.0], "attributes": [] }));
    assert_eq!(column(&scenes, "relations")[0][1], json!({ "subject": 2, "predicate": "right of", "object": 0 }));
    let instances = annotations(&bench, &LVIS, "instances.json").table;
    assert_eq!(instances.rows(), 1200);
    assert_eq!(column(&instances, "image"), column(&scenes, "image"), "the same pictures in both files");
    assert!(texts(&instances, "absent")[0].lines().count() == 11);
    let episodes = annotations(&bench, &EPISODES, "episodes.json").table;
    assert_eq!(episodes.rows(), 60);
    assert_eq!(column(&episodes, "actions")[0][1]["object"], "red cylinder");
    assert_eq!(column(&episodes, "actions")[0][1]["changes"], false);
}

#[test]
fn areas_have_the_boxes_of_their_annotations() {
    let text = std::fs::read_to_string(tabletop().join("annotations/instances.json")).expect("a vendored file");
    let file: Json = serde_json::from_str(&text).expect("JSON");
    for annotation in file["annotations"].as_array().expect("a list").iter().take(400) {
        let found = rle::bounds(&annotation["segmentation"]).expect("an area");
        let counts = rle::uncompressed(annotation["segmentation"]["counts"].as_str().expect("text")).expect("runs");
        let area = rle::mask(&counts, 224, 224).expect("a mask").iter().filter(|on| **on).count();
        assert_eq!(json!(area), annotation["area"]);
        for (side, expected) in found.iter().zip(annotation["bbox"].as_array().expect("a box")) {
            assert!((side - expected.as_f64().expect("a number")).abs() <= 1.0, "{found:?} {}", annotation["bbox"]);
        }
    }
    let square = json!([[2.0, 3.0, 6.0, 3.0, 6.0, 5.0, 2.0, 5.0]]);
    assert_eq!(rle::bounds(&square), Ok([2.0, 3.0, 4.0, 2.0]));
    for bad in
        [json!(null), json!([]), json!({ "size": [4, 4], "counts": [3, 3] }), json!({ "size": [4, 4], "counts": "z" })]
    {
        assert!(rle::bounds(&bad).is_err(), "{bad}");
    }
}

#[test]
fn thoughts_show_what_the_question_is_about() {
    let bench = Workbench::new();
    let scenes = annotations(&bench, &VISUAL_GENOME, "scene_graphs.json").table;
    let wanted = [
        "ego4d-000000",
        "ego4d-000008",
        "ego4d-000016",
        "host-000021",
        "host-000005",
        "lvis-000002",
        "epic-000034",
        "epic-000000",
    ];
    let all: Vec<Json> =
        ["ego4d", "epic", "host", "lvis"].iter().flat_map(|s| rows(&format!("raw/{s}.jsonl"))).collect();
    let input: Vec<Json> =
        wanted.iter().map(|id| all.iter().find(|r| r["id"] == *id).expect("a vendored row").clone()).collect();
    let d = bench.table(&SFT, &input, Some(&tabletop()));
    let made = bench.run(&STRUCTURED, structured(&[]), &[("d", &d), ("scenes", &scenes)]).expect("structured");
    assert_eq!(made.counts["dropped"], 1, "frames of an episode have no scene");
    let thoughts: BTreeMap<String, Json> = texts(&made.table, "id")
        .into_iter()
        .zip(texts(&made.table, "output").iter().map(|t| serde_json::from_str(t).expect("JSON")))
        .collect();
    let names = |id: &str| -> Vec<String> {
        let seen = thoughts[id]["see"].as_array().expect("a list");
        seen.iter().map(|o| o["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names("ego4d-000000"), ["blue cylinder", "soda can"]);
    assert_eq!(names("ego4d-000016"), ["red ball", "yellow ball"]);
    assert_eq!(thoughts["ego4d-000016"]["expect"], "no");
    assert_eq!(thoughts["ego4d-000016"]["see"][0]["is"][0], "right of the yellow ball");
    assert_eq!(thoughts["ego4d-000008"]["do"][1], "Pick up the soda can.");
    assert!(
        thoughts["host-000021"]["do"][0].as_str().expect("text").starts_with("count: "),
        "{}",
        thoughts["host-000021"]
    );
    assert_eq!(thoughts["host-000005"]["do"][2], "choose what fits: right");
    assert_eq!(names("lvis-000002"), ["purple ball"]);
    assert!(names("epic-000034").len() == 2, "the mark and what stands beside it: {:?}", names("epic-000034"));
    assert!(texts(&made.table, "instruction")[0].ends_with("\nThink first: reply as JSON."));
    let lvis = made.table.rows() - 2;
    assert!(
        texts(&made.table, "input")[lvis].ends_with("Think first: reply as JSON."),
        "{:?}",
        texts(&made.table, "input")
    );

    let lines = bench
        .run(
            &STRUCTURED,
            structured(&[("as_text", json!(true)), ("steps", json!(["see", "expect"]))]),
            &[("d", &d), ("scenes", &scenes)],
        )
        .expect("text");
    assert!(texts(&lines.table, "output")[0].starts_with("See: blue cylinder"), "{}", texts(&lines.table, "output")[0]);
    assert!(texts(&lines.table, "output")[0].ends_with("\nExpect: soda can"));
    let wrong = bench.run(&STRUCTURED, structured(&[("steps", json!(["feel"]))]), &[("d", &d), ("scenes", &scenes)]);
    assert_eq!(wrong.err().map(|e| e.code), Some("E0213"));
}

#[test]
fn copies_keep_their_scene_and_strangers_get_none() {
    let bench = Workbench::new();
    let scenes = annotations(&bench, &VISUAL_GENOME, "scene_graphs.json").table;
    let copies = rows("truth/duplicate_images.jsonl");
    let picture = |path: &Json| json!({ "images": [path] });
    let columns = [("images", "[Image]")];
    let digests = |rows: &[Json]| -> BTreeSet<String> {
        let table = bench.table(&columns, rows, Some(&tabletop()));
        let first = |cell: &Json| cell[0]["digest"].as_str().expect("a digest").to_owned();
        column(&table, "images").iter().map(first).collect()
    };
    let known: BTreeSet<String> =
        column(&scenes, "image").iter().map(|image| image["digest"].as_str().expect("a digest").to_owned()).collect();
    let mut originals = Originals::new(known, 4);
    let mut found = |rows: &[Json]| -> BTreeMap<String, String> {
        let copies = digests(rows);
        originals.find(copies.clone(), &bench.store).expect("hashes");
        copies.iter().filter_map(|copy| Some((copy.clone(), originals.get(copy)?.to_owned()))).collect()
    };

    let one = |row: &Json, key: &str| digests(&[picture(&row[key])]).into_iter().next().expect("a picture");
    let all: Vec<Json> = copies.iter().map(|c| picture(&c["image"])).collect();
    let half = found(&all[..75]);
    let origins = found(&all);
    assert!(half.iter().all(|(copy, of)| origins.get(copy) == Some(of)), "what was said of a picture stays");
    let expected: BTreeMap<String, String> = copies.iter().map(|c| (one(c, "image"), one(c, "of"))).collect();
    let wrong = origins.iter().filter(|(copy, of)| expected[*copy] != **of).count();
    assert_eq!((origins.len(), wrong), (150, 0), "every copy is found, none is taken for another scene");

    let frames: Vec<Json> = (0..60).map(|e| picture(&json!(format!("images/episodes/ep{e:04}_0.jpg")))).collect();
    assert_eq!(found(&frames), BTreeMap::new(), "frames of episodes are other scenes");
}

#[test]
fn plans_are_short_and_change_something() {
    let bench = Workbench::new();
    let episodes = annotations(&bench, &EPISODES, "episodes.json").table;
    let plan = |from: usize, to: usize, criterion: &str| {
        let args = json!({ "steps": { "from": from, "to": to }, "criterion": criterion });
        bench.run(&PLAN, args, &[("episodes", &episodes)]).expect("plan").table
    };
    let made = plan(3, 5, "interaction");
    assert_eq!(made.rows(), 60);
    for (row, output) in texts(&made, "output").iter().enumerate() {
        let steps = steps(output).expect("numbered lines");
        assert!((3..=5).contains(&steps.len()), "{row}: {output}");
        assert!(steps.last().is_some_and(|s| s.starts_with("Put ")), "{output}");
    }
    assert_eq!(
        texts(&made, "output")[0],
        "1. Pick up the red cylinder.\n2. Move the red cylinder to the place to the left of the milk carton.\n3. Put the red cylinder down to the left of the milk carton."
    );
    let frames: Vec<Json> = column(&episodes, "frames").iter().map(|f| json!([f[0]])).collect();
    assert_eq!(column(&made, "images"), frames);
    let wordings: BTreeSet<String> =
        texts(&made, "instruction").iter().map(|i| i.split_whitespace().next().unwrap_or("").to_owned()).collect();
    assert_eq!(wordings.len(), 4, "{wordings:?}");
    // Two steps are enough: nothing but what changes the scene; one step: only what places.
    assert!(texts(&plan(2, 5, "interaction"), "output").iter().all(|o| !o.contains("Move ")));
    let short = plan(1, 2, "goal");
    assert!(texts(&short, "output").iter().all(|o| o.lines().all(|l| l.contains(". Put "))));
    assert_eq!(plan(9, 9, "interaction").rows(), 0);
}

#[test]
fn every_edit_makes_a_wrong_answer_of_the_same_form() {
    let plan = "1. Pick up the lemon.\n2. Put it to the left of the ball.\n3. Let go.";
    let letters = "Where is it?\nA. left\nB. right\nAnswer with the letter only.";
    // edit, question, answer, other answers on the picture, and whether it applies
    let cases: [(Edit, &str, &str, &[&str], bool); 16] = [
        (Edit::Swap, "Is it?", "yes", &[], true),
        (Edit::Swap, "Is it?", "No.", &[], true),
        (Edit::Swap, letters, "A", &[], true),
        (Edit::Swap, "no options", "A", &[], false),
        (Edit::Swap, "Plan", plan, &[], true),
        (Edit::Swap, "?", "left of the right one", &[], false),
        (Edit::OffByOne, "How many?", "0", &[], true),
        (Edit::OffByOne, "How many?", "many", &[], false),
        (Edit::MissingStep, "Plan", plan, &[], true),
        (Edit::MissingStep, "Plan", "1. Go.\n2. Stop.", &[], false),
        (Edit::MisorderedStep, "Plan", plan, &[], true),
        (Edit::Neighbour, "Point", "[(0.10, 0.20)]", &["[(0.15, 0.22)]", "[(0.60, 0.70)]", "yes"], true),
        (Edit::Neighbour, "Point", "[(0.10, 0.20)]", &["[(0.15, 0.22)]"], false),
        (Edit::Neighbour, "Which?", "red cube", &["red cube", "soda can", "3", "high"], true),
        (Edit::Neighbour, "Risk?", "high", &[], true),
        (Edit::WrongPlace, "Point", "[(0.500, 0.500)]", &[], true),
    ];
    for (i, (edit, question, answer, others, applies)) in cases.into_iter().enumerate() {
        for occurrence in 0..20 {
            let key = RowKey { digest: rbpipe::base::Digest::of(&[i as u8]), occurrence };
            let mut draw = Draw::new(rbpipe::base::Digest::of(b"s"), key);
            let made = wrong(edit, question, answer, others, &mut draw);
            assert_eq!(made.is_some(), applies, "case {i}: {made:?}");
            let Some(made) = made else { continue };
            assert_ne!(made, answer, "case {i}");
            let (right, wrong) = (Form::of(answer), Form::of(&made));
            assert_eq!(std::mem::discriminant(&right), std::mem::discriminant(&wrong), "case {i}: {made}");
            match (right, wrong) {
                (Form::Number(a), Form::Number(b)) => assert!(b >= 0 && a.abs_diff(b) == 1),
                (Form::Points(a), Form::Points(b)) => {
                    assert!(
                        (a[0].0 - b[0].0).hypot(a[0].1 - b[0].1) >= if edit == Edit::WrongPlace { 0.29 } else { 0.1 }
                    );
                }
                (Form::YesNo(a), Form::YesNo(b)) => assert_ne!(a, b),
                _ => {}
            }
        }
    }
}

#[test]
fn pairs_come_from_clean_rows() {
    let bench = Workbench::new();
    let input: Vec<Json> = rows("raw/host.jsonl").into_iter().filter(|r| r["output"] != "").take(300).collect();
    let d = bench.table(&SFT, &input, Some(&tabletop()));
    let edits = ["swap", "off_by_one", "missing_step", "misordered_step", "neighbour", "wrong_place"];
    let args = |n: usize| json!({ "edits": edits, "per_row": n });
    let one = bench.run(&FAIL_FIX, args(1), &[("d", &d)]).expect("pairs");
    assert!(one.table.rows() > 200 && one.table.rows() <= 300, "{}", one.table.rows());
    assert_eq!(one.counts["pairs"] + one.counts["no_edit"], 300);
    let (chosen, rejected) = (texts(&one.table, "chosen"), texts(&one.table, "rejected"));
    assert!(chosen.iter().zip(&rejected).all(|(a, b)| a.trim() != b.trim()));
    let kinds: BTreeSet<String> = texts(&one.table, "edit").into_iter().collect();
    assert!(kinds.len() >= 3, "{kinds:?}");
    let ids: BTreeSet<String> = texts(&one.table, "id").into_iter().collect();
    assert_eq!(ids.len(), one.table.rows());
    assert!(bench.run(&FAIL_FIX, args(3), &[("d", &d)]).expect("pairs").table.rows() >= one.table.rows());
    // The row alone decides: other rows in another order change nothing for edits that look at one row.
    let alone = json!({ "edits": ["swap", "off_by_one"], "per_row": 1 });
    let all = bench.run(&FAIL_FIX, alone.clone(), &[("d", &d)]).expect("pairs").table;
    let order: Vec<u32> = (0..300).rev().collect();
    let back = bench.run(&FAIL_FIX, alone, &[("d", &d.take(&order).expect("rows"))]).expect("pairs").table;
    let sorted = |t: &rbpipe::data::table::Table| {
        let mut pairs: Vec<(String, String)> = texts(t, "id").into_iter().zip(texts(t, "rejected")).collect();
        pairs.sort();
        pairs
    };
    assert_eq!(sorted(&all), sorted(&back));
}

#[test]
fn questions_are_answered_by_the_annotations() {
    let bench = Workbench::new();
    let scenes = annotations(&bench, &VISUAL_GENOME, "scene_graphs.json").table;
    let kinds = [
        "cell", "point", "what", "side", "depth", "whether", "touch", "closer", "nearest", "edge", "stacked", "color",
        "count", "total", "mark", "free", "between", "risk", "option",
    ];
    let asked = |letters: f64, varied: bool| {
        let args = json!({ "ask": kinds, "per_scene": 60, "grid": 8, "letters": letters, "varied": varied });
        bench.run(&QUESTIONS, args, &[("scenes", &scenes)]).expect("questions").table
    };
    let open = asked(0.0, false);
    let of = |name: &str| texts(&open, name);
    let (ids, kind, question, answer) = (of("id"), of("kind"), of("instruction"), of("output"));
    let scene_of: BTreeMap<String, usize> = column(&scenes, "image")
        .iter()
        .enumerate()
        .map(|(row, image)| (image["digest"].as_str().expect("a digest")[..12].to_owned(), row))
        .collect();
    let (objects, relations) = (column(&scenes, "objects"), column(&scenes, "relations"));
    let phrases = column(&open, "phrases");
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for row in 0..open.rows() {
        *seen.entry(&kind[row]).or_default() += 1;
        let scene = scene_of[of_scene(&ids[row])];
        let all: Vec<String> = objects[scene].as_array().expect("objects").iter().map(spoken).collect();
        let says = format!("{} -> {}", question[row], answer[row]);
        for phrase in phrases[row].as_array().expect("a list") {
            let (words, label) = (phrase["phrase"].as_str().expect("text"), phrase["label"].as_str().expect("text"));
            assert!(question[row].contains(words) && label.len() == 2, "{words} in {says}");
        }
        match kind[row].as_str() {
            "what" | "closer" | "nearest" | "edge" | "stacked" => assert!(all.contains(&answer[row]), "{says}"),
            "whether" | "touch" | "mark" => assert!(["yes", "no"].contains(&&*answer[row]), "{says}"),
            "side" => {
                let told = |predicate: &str| {
                    relations[scene].as_array().expect("relations").iter().any(|r| {
                        let at = |end: &str| &all[r[end].as_u64().expect("a place") as usize];
                        r["predicate"] == predicate
                            && [at("subject"), at("object")]
                                .iter()
                                .all(|n| question[row].contains(n.rsplit(' ').next().expect("a noun")))
                    })
                };
                assert!(told("left of") || told("right of"), "{says}");
            }
            "risk" => {
                let hazard = |o: &Json| o["attributes"].as_array().expect("a list").contains(&json!("hazard"));
                let marked = objects[scene].as_array().expect("objects").iter().any(hazard);
                assert!(
                    if marked { ["low", "high"].contains(&&*answer[row]) } else { answer[row] == "safe" },
                    "{says}"
                );
            }
            "option" => {
                let line = format!("{}. ", answer[row]);
                let named = question[row].lines().find_map(|l| l.strip_prefix(&line)).expect("the option");
                assert!(question[row].lines().next().is_some_and(|asked| asked.contains(named)), "{says}");
            }
            "total" => {
                let marks = objects[scene].as_array().expect("objects").iter();
                let marks =
                    marks.filter(|o| o["attributes"].as_array().expect("a list").contains(&json!("hazard"))).count();
                assert_eq!(answer[row], (all.len() - marks).to_string(), "{says}");
            }
            "point" | "free" | "between" => {
                let inside = answer[row].strip_prefix("[(").and_then(|t| t.strip_suffix(")]")).expect("one point");
                let both: Vec<f64> = inside.split(", ").map(|n| n.parse().expect("a number")).collect();
                assert!(both.len() == 2 && both.iter().all(|n| (0.0..=1.0).contains(n)), "{says}");
            }
            _ => {}
        }
    }
    assert!(kinds.iter().all(|k| seen.get(k).is_some_and(|n| *n > 50)), "{seen:?}");
    let yes = (0..open.rows()).filter(|&r| kind[r] == "whether" && answer[r] == "yes").count() as f64;
    assert!((0.45..0.55).contains(&(yes / seen["whether"] as f64)), "{yes} of {}", seen["whether"]);

    let lettered = asked(1.0, false);
    let (question, answer) = (texts(&lettered, "instruction"), texts(&lettered, "output"));
    let listed = question.iter().zip(&answer).filter(|(q, _)| q.ends_with("Answer with the letter only."));
    let right = listed.map(|(q, a)| {
        let option = q.lines().find(|line| line.starts_with(&format!("{a}. "))).expect("the letter's option");
        option.len() > 3
    });
    assert!(right.clone().count() > 20_000 && right.clone().all(|fine| fine));

    let begins = |table: &Table| -> BTreeSet<String> {
        let first = |q: &String| q.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        texts(table, "instruction").iter().map(first).collect()
    };
    let varied = asked(0.5, true);
    assert!(begins(&varied).len() > 2 * begins(&open).len(), "many more wordings");
    let sentences = texts(&varied, "output").iter().filter(|a| a.starts_with("The ") && a.ends_with('.')).count();
    assert!(sentences > 500, "{sentences} answers are sentences");
}

#[test]
fn comparisons_are_answered_by_the_annotations_of_both_scenes() {
    let bench = Workbench::new();
    let scenes = annotations(&bench, &VISUAL_GENOME, "scene_graphs.json").table;
    let asked = |letters: f64, varied: bool| {
        let kinds = ["more", "shows", "mark", "shift"];
        let args = json!({ "ask": kinds, "per_pair": 6, "letters": letters, "varied": varied });
        bench.run(&COMPARE, args, &[("scenes", &scenes)]).expect("comparisons").table
    };
    let open = asked(0.0, false);
    let of = |name: &str| texts(&open, name);
    let (ids, kind, question, answer) = (of("id"), of("kind"), of("instruction"), of("output"));
    let objects: BTreeMap<String, Vec<Json>> = column(&scenes, "image")
        .iter()
        .zip(column(&scenes, "objects"))
        .map(|(image, objects)| (image["digest"].as_str().expect("a digest")[..12].to_owned(), list(&objects)))
        .collect();
    let images = column(&open, "images");
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for row in 0..open.rows() {
        *seen.entry((&kind[row], &answer[row])).or_default() += 1;
        let pair: Vec<&Vec<Json>> = ids[row].split('-').take(2).map(|scene| &objects[scene]).collect();
        let says = format!("{} -> {} ({})", question[row], answer[row], ids[row]);
        for (image, start) in list(&images[row]).iter().zip(ids[row].split('-')) {
            assert!(image["digest"].as_str().is_some_and(|d| d.starts_with(start)), "{says}");
        }
        // Every noun or name in the question: how often it is in either picture, and where.
        let hazard = |o: &Json| list(&o["attributes"]).contains(&json!("hazard"));
        let told = |o: &&Json| match kind[row].as_str() {
            "mark" => hazard(o),
            "more" => !hazard(o) && question[row].contains(&format!(" {}", o["label"].as_str().expect("a label"))),
            _ => !hazard(o) && question[row].contains(&format!(" the {}", spoken(o))),
        };
        let found: Vec<Vec<&Json>> = pair.iter().map(|scene| scene.iter().filter(told).collect()).collect();
        let right = match kind[row].as_str() {
            "more" => match found[0].len().cmp(&found[1].len()) {
                std::cmp::Ordering::Greater => "the first picture",
                std::cmp::Ordering::Less => "the second picture",
                std::cmp::Ordering::Equal => "both alike",
            },
            "shift" => {
                let middle = |o: &Json| o["box"][0].as_f64().expect("x") + o["box"][2].as_f64().expect("width") / 2.0;
                if middle(found[1][0]) < middle(found[0][0]) { "left" } else { "right" }
            }
            _ => match (found[0].is_empty(), found[1].is_empty()) {
                (false, true) => "the first picture",
                (true, false) => "the second picture",
                _ => "both",
            },
        };
        assert_eq!(answer[row], right, "{says}");
    }
    assert!(seen.len() == 10 && seen.values().all(|n| *n > 20), "{seen:?}");

    let varied = asked(1.0, true);
    let (question, answer) = (texts(&varied, "instruction"), texts(&varied, "output"));
    assert!(answer.iter().all(|a| ["A", "B", "C"].contains(&a.as_str())));
    let placed = question.iter().filter(|q| q.matches("<image>").count() == 2).count() as f64;
    assert!((0.4..0.6).contains(&(placed / question.len() as f64)), "{placed} of {}", question.len());

    let args = json!({ "ask": ["more"], "per_pair": 1, "letters": 0.0, "varied": false });
    let alone = bench.run(&COMPARE, args, &[("scenes", &scenes.take(&[0]).expect("one row"))]);
    assert!(alone.is_err_and(|e| e.message.contains("one scene alone")));
}

/// What an annotated object is called.
fn spoken(o: &Json) -> String {
    let label = o["label"].as_str().expect("a label");
    let attributes = list(&o["attributes"]);
    let colors = attributes.iter().filter_map(Json::as_str).filter(|c| *c != "hazard" && !label.contains(c));
    colors.chain([label]).collect::<Vec<_>>().join(" ")
}

fn list(json: &Json) -> Vec<Json> {
    json.as_array().expect("a list").clone()
}

/// The start of a picture's digest in the id of a question about it.
fn of_scene(id: &str) -> &str {
    id.split('-').next().expect("a digest")
}
