//! `eval.score` from outside: replies that are there already, as people have them, scored by a recipe.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value as Json, json};

/// What stands on one line of a file of judged replies.
fn judged(name: &str) -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/eval/judged").join(name);
    lines(&fs::read_to_string(path).unwrap())
}

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// A benchmark of one kind with replies to it.
struct Held<'a> {
    items: Vec<Json>,
    replies: Vec<Json>,
    /// Columns of the replies.
    schema: &'a str,
    kind: &'a str,
    /// Further arguments of `bench.sample`.
    sample: &'a str,
    read: &'a str,
    mark: &'a str,
    compat: &'a str,
    /// Further arguments of `eval.score`.
    score: &'a str,
}

impl Default for Held<'_> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            replies: Vec::new(),
            schema: "id: Int, reply: Str",
            kind: "choice",
            sample: ", options: .o",
            read: "read.choice()",
            mark: "mark.letter()",
            compat: "",
            score: "",
        }
    }
}

impl Held<'_> {
    /// Runs the recipe; its exit code, what it said, and the rows of the score.
    fn run(&self) -> (i32, String, Vec<Json>) {
        let place = tempfile::tempdir().unwrap();
        let text = |rows: &[Json]| rows.iter().map(|r| format!("{r}\n")).collect::<String>();
        fs::write(place.path().join("items.jsonl"), text(&self.items)).unwrap();
        fs::write(place.path().join("replies.jsonl"), text(&self.replies)).unwrap();
        for (name, size) in [("p.png", (640, 480)), ("all.png", (640, 480))] {
            image::GrayImage::from_pixel(size.0, size.1, image::Luma([255])).save(place.path().join(name)).unwrap();
        }
        let Self { schema, kind, sample, read, mark, compat, score, .. } = self;
        let recipe = format!(
            r#"recipe "held"
import std.{{data, bench, read, mark, total, eval}}
schema Reply {{ {schema} }}
let items = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: "{kind}", question: "?"{sample})
  |> bench.ask({kind}: "{{question}}")
  |> bench.read({kind}: {read})
  |> bench.mark({kind}: {mark})
  |> bench.total(headline: total.micro()){compat}
let score = eval.score(data.jsonl("replies.jsonl", as: Reply), on: items{score})
output rows = score.items to "rows.jsonl"
output score = score to "score.json"
"#
        );
        fs::write(place.path().join("held.rb2"), recipe).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbpipe"));
        command.args(["run", "held.rb2"]).current_dir(place.path()).env("NO_COLOR", "1");
        command.env("RBPIPE_CACHE", place.path().join("cache"));
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        let rows = fs::read_to_string(place.path().join("rows.jsonl")).map(|t| lines(&t)).unwrap_or_default();
        (status.code().unwrap_or(-1), said, rows)
    }

    /// Runs it with the same item for each of the judged replies, and compares what was read.
    fn judge(mut self, file: &str, item: Json, same: impl Fn(&Json, &Json) -> bool) {
        let cases = judged(file);
        let own = |case: &Json| {
            let mut item = item.clone();
            item["id"] = case["id"].clone();
            item
        };
        self.items = cases.iter().map(own).collect();
        self.replies = cases.iter().map(|c| json!({ "id": c["id"], "reply": c["reply"] })).collect();
        let (code, said, rows) = self.run();
        assert_eq!(code, 0, "{said}");
        assert_eq!(rows.len(), cases.len());
        let wrong: Vec<String> = cases
            .iter()
            .zip(&rows)
            .filter(|(case, row)| !same(case, row))
            .map(|(case, row)| format!("{case}: read {} by {}, score {}", row["parsed"], row["rule"], row["score"]))
            .collect();
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }
}

fn parsed(case: &Json, row: &Json) -> bool {
    case["parsed"] == row["parsed"]
}

#[test]
fn judged_letters() {
    let item = json!({ "o": ["left", "right", "above", "below"], "a": "C" });
    Held { sample: ", options: .o, key: .a", ..Held::default() }.judge("choice.jsonl", item, parsed);
}

#[test]
fn judged_several_letters() {
    let item = json!({ "o": ["red", "green", "blue", "black", "white"], "a": "AC" });
    let held = Held {
        kind: "choices",
        sample: ", options: .o, key: .a",
        read: "read.choices()",
        mark: "mark.letters()",
        ..Held::default()
    };
    held.judge("choices.jsonl", item, parsed);
}

#[test]
fn judged_numbers() {
    let held = Held {
        kind: "number",
        sample: ", key: .a",
        read: "read.number(words: true, signed: true)",
        mark: "mark.near(abs: 0.0)",
        ..Held::default()
    };
    let number = |json: &Json| json.as_str().map(|t| t.parse::<f64>().unwrap());
    held.judge("number.jsonl", json!({ "a": "5" }), |case, row| {
        match (number(&case["parsed"]), number(&row["parsed"])) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9,
            (a, b) => a == b,
        }
    });
}

#[test]
fn judged_yes_and_no() {
    let held =
        Held { kind: "yes_no", sample: ", key: .a", read: "read.yes_no()", mark: "mark.yes_no()", ..Held::default() };
    held.judge("yes_no.jsonl", json!({ "a": "yes" }), parsed);
}

#[test]
fn judged_texts() {
    let held =
        Held { kind: "text", sample: ", key: .a", read: "read.text()", mark: "mark.text_equal()", ..Held::default() };
    held.judge("text.jsonl", json!({ "a": "red mug" }), |case, row| case["score"].as_f64() == row["score"].as_f64());
}

const POINTS: Held = Held {
    items: Vec::new(),
    replies: Vec::new(),
    schema: "id: Int, reply: Str",
    kind: "point",
    sample: ", images: .p, mask: .m",
    read: "read.points()",
    mark: "mark.mask()",
    compat: "",
    score: ", coord_space: \"unit\"",
};

/// The points of a row in pixels of 640x480, boxes left out.
fn pixels(row: &Json) -> Vec<(f64, f64)> {
    let Some(text) = row["points"].as_str() else { return Vec::new() };
    let points: Vec<Vec<f64>> = serde_json::from_str(text).unwrap();
    points.iter().filter(|p| p.len() == 2).map(|p| (p[0] * 640.0, p[1] * 480.0)).collect()
}

#[test]
fn judged_points() {
    POINTS.judge("point.jsonl", json!({ "p": "p.png", "m": "all.png" }), |case, row| {
        let want: Vec<(f64, f64)> = serde_json::from_value(case["pixels"].clone()).unwrap_or_default();
        let got = pixels(row);
        // A fraction of exactly 1 is the last pixel.
        want.len() == got.len()
            && want.iter().zip(&got).all(|(a, b)| (a.0 - b.0).abs() <= 1.01 && (a.1 - b.1).abs() <= 1.01)
    });
}

/// One place, written in every space and order.
#[test]
fn coordinates_in_every_space() {
    for (score, reply) in [
        ("coord_space: \"unit\"", "(0.5, 0.25)"),
        ("coord_space: \"unit\", coord_order: \"yx\"", "(0.25, 0.5)"),
        ("coord_space: \"norm1000\"", "(500, 250)"),
        ("coord_space: \"norm1000\", coord_order: \"yx\"", "[{\"point\": [250, 500]}]"),
        ("coord_space: \"pixel_original\"", "(320, 120)"),
        // 640x480 is seen at 644x476.
        ("coord_space: \"pixel_input\"", "(322, 119)"),
        // With at most 200,704 pixels at 504x364, rounded down to multiples of 28.
        ("coord_space: \"pixel_input\", pixels: 3_136px..200_704px", "(252, 91)"),
        ("coord_space: \"auto\"", "(0.5, 0.25)"),
        ("coord_space: \"auto\"", "{\"point_2d\": [500, 250]}"),
    ] {
        let score = format!(", {score}");
        let held = Held {
            items: vec![json!({ "id": 1, "p": "p.png", "m": "all.png" })],
            replies: vec![json!({ "id": 1, "reply": reply })],
            score: &score,
            ..POINTS
        };
        let (code, said, rows) = held.run();
        assert_eq!(code, 0, "{said}");
        assert_eq!(pixels(&rows[0]), [(320.0, 120.0)], "{reply} {score}");
    }
}

/// The golden letters of both profiles: `compat` reads the letter that FlagEvalMM reads, `robust` the one that is meant.
#[test]
fn golden_letters_of_both_profiles() {
    let cases = [
        ("A", "A", "A"),
        ("a", "A", "A"),
        ("B.", "B", "B"),
        ("(B)", "B", "B"),
        ("B. left", "B", "B"),
        ("The answer is (C).", "C", "C"),
        ("**Answer:** C", "C", "C"),
        ("Answer: A. The cup is on the left", "A", "A"),
        ("I think it is B", "B", "B"),
        ("\\boxed{D}", "D", "D"),
        ("`C`", "C", "C"),
        ("答案：C", "C", "C"),
        ("Answer: North (A)", "A", "A"),
        ("The correct option is C because Option A is wrong", "C", "C"),
        ("Looking at the image, B is closest", "L", "B"),
        ("Option B", "O", "B"),
        ("Answer: b", "", "B"),
        ("Answer: I", "", "I"),
        ("<answer>B</answer>", "", "B"),
        ("B\nExplanation: the answer above", "", "B"),
        ("Let us choose A. Answer A is right. However B", "A", "A"),
        ("Error code 400", "E", ""),
    ];
    let options: Vec<String> = (1..=16).map(|n| format!("thing {n}")).collect();
    // Each reply meets the key that compat reads and the key that robust reads.
    let (mut items, mut replies, mut want) = (Vec::new(), Vec::new(), Vec::new());
    for (at, (reply, compat, robust)) in cases.iter().enumerate() {
        for (profile, key) in [("compat", compat), ("robust", robust)] {
            let id = format!("{at} {profile}");
            let key = if key.is_empty() { "P" } else { key };
            items.push(json!({ "id": id, "o": options, "a": key }));
            replies.push(json!({ "id": id, "reply": reply }));
            want.push((*reply, f64::from(u8::from(*compat == key)), f64::from(u8::from(*robust == key))));
        }
    }
    let held = Held {
        items,
        replies,
        schema: "id: Str, reply: Str",
        sample: ", options: .o, key: .a",
        compat: "\n  |> bench.compat(choice: read.choice_flagevalmm())",
        ..Held::default()
    };
    let (code, said, rows) = held.run();
    assert_eq!(code, 0, "{said}");
    let got: Vec<_> = rows.iter().map(|r| (r["compat"].as_f64(), r["score"].as_f64())).collect();
    let wrong: Vec<_> = want.iter().zip(&got).filter(|((_, c, r), got)| **got != (Some(*c), Some(*r))).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The golden values of mean relative accuracy and of fuzzy texts.
#[test]
fn golden_numbers_and_texts() {
    let mra = [
        (4.0, 5.0, 0.6),
        (6.0, 5.0, 0.6),
        (5.0, 4.0, 0.6),
        (3.0, 4.0, 0.6),
        (9.0, 10.0, 0.9),
        (11.0, 10.0, 0.9),
        (19.0, 20.0, 1.0),
        (95.0, 100.0, 1.0),
        (2.0, 4.0, 0.1),
        (3.0, 2.0, 0.1),
        (11.0, 20.0, 0.1),
        (1.9, 4.0, 0.0),
        (0.0, 3.0, 0.0),
        (2.2, 2.0, 0.9),
    ];
    let held = Held {
        items: mra.iter().enumerate().map(|(i, (_, t, _))| json!({ "id": i, "a": format!("{t}") })).collect(),
        replies: mra.iter().enumerate().map(|(i, (p, ..))| json!({ "id": i, "reply": format!("{p}") })).collect(),
        kind: "number",
        sample: ", key: .a",
        read: "read.number()",
        mark: "mark.mra()",
        compat: "\n  |> bench.compat(number: read.number_flagevalmm())",
        ..Held::default()
    };
    let (code, said, rows) = held.run();
    assert_eq!(code, 0, "{said}");
    for ((p, t, want), row) in mra.iter().zip(&rows) {
        for profile in ["score", "compat"] {
            assert!((row[profile].as_f64().unwrap() - want).abs() < 1e-9, "{p} for {t}: {row}");
        }
    }
    let fuzzy = [
        ("no", "not", 1.0),
        ("12", "120", 1.0),
        ("7", "17", 0.0),
        ("Yes", "yes", 0.0),
        ("downhill", "Downhill", 1.0),
        ("Three", "3", 0.0),
    ];
    let held = Held {
        items: fuzzy.iter().enumerate().map(|(i, (_, key, _))| json!({ "id": i, "a": key })).collect(),
        replies: fuzzy.iter().enumerate().map(|(i, (reply, ..))| json!({ "id": i, "reply": reply })).collect(),
        kind: "text",
        sample: ", key: .a",
        read: "read.text(number_words: true)",
        mark: "mark.text_equal()",
        compat: "\n  |> bench.compat(text: { read: read.text_flagevalmm(), mark: mark.text_similar(t: 0.7) })",
        ..Held::default()
    };
    let (code, said, rows) = held.run();
    assert_eq!(code, 0, "{said}");
    let got: Vec<_> = rows.iter().map(|r| r["compat"].as_f64().unwrap()).collect();
    assert_eq!(got, fuzzy.map(|f| f.2));
    // Robust: only what is the same text, whatever its case; number words are numbers.
    assert_eq!(rows.iter().map(|r| r["score"].as_f64().unwrap()).collect::<Vec<_>>(), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
}

fn sides(ids: &[Json]) -> Vec<Json> {
    ids.iter().map(|id| json!({ "id": id, "o": ["left", "right"], "a": "B" })).collect()
}

/// Whole numbers, floats and JSON as ids; lists, repeats and null as replies.
#[test]
fn ids_and_replies_of_other_types() {
    let ids = [json!(1), json!(2), json!(3)];
    let base = || Held { items: sides(&ids), sample: ", options: .o, key: .a", ..Held::default() };
    let scores = |rows: &[Json]| -> Vec<(String, i64, f64)> {
        let of =
            |r: &Json| (r["id"].as_str().unwrap().into(), r["epoch"].as_i64().unwrap(), r["score"].as_f64().unwrap());
        rows.iter().map(of).collect()
    };
    for (schema, first) in [
        ("id: Int, reply: Str?", json!(1)),
        ("id: Float, reply: Str?", json!(1.0)),
        ("id: Json, reply: Json", json!("1")),
    ] {
        let mut replies = vec![json!({ "id": first, "reply": "B", "more": [1] }), json!({ "id": 2, "reply": null })];
        if schema.contains("Json") {
            replies.push(json!({ "id": 3, "reply": ["B", "A"] }));
        } else {
            replies.push(json!({ "id": 3, "reply": "A" }));
        }
        let (code, said, rows) = Held { replies, schema, ..base() }.run();
        assert_eq!(code, 0, "{said}");
        let last = if schema.contains("Json") { vec![("3", 0, 1.0), ("3", 1, 0.0)] } else { vec![("3", 0, 0.0)] };
        let want: Vec<_> =
            [("1", 0, 1.0), ("2", 0, 0.0)].into_iter().chain(last).map(|(id, e, s)| (id.to_owned(), e, s)).collect();
        assert_eq!(scores(&rows), want, "{schema}");
        assert_eq!(rows[1]["outcome"], "failed");
    }
    let replies = vec![
        json!({ "id": 1, "reply": ["B", "A", "B"] }),
        json!({ "id": 2, "reply": [] }),
        json!({ "id": 3, "reply": ["B"] }),
    ];
    let (code, said, rows) = Held { replies, schema: "id: Int, reply: [Str]", ..base() }.run();
    assert_eq!(code, 0, "{said}");
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[3]["outcome"], "failed");

    // `epoch` tells repeats apart.
    let replies = vec![
        json!({ "id": 1, "reply": "A", "epoch": 1 }),
        json!({ "id": 1, "reply": "B", "epoch": 0 }),
        json!({ "id": 2, "reply": "B", "epoch": 0 }),
    ];
    let (code, said, rows) = Held { replies, schema: "id: Int, reply: Str, epoch: Int", ..base() }.run();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1 question has no reply: `3`"), "{said}");
    let got: Vec<_> = scores(&rows).iter().map(|r| r.2).collect();
    assert_eq!(got, [1.0, 0.0, 1.0, 0.0]);
}

/// What does not fit is told with its number and its names, and is an error unless the recipe says what is meant.
#[test]
fn double_and_stray_replies_are_told() {
    let ids = [json!(1), json!(2), json!(3)];
    let replies = || {
        vec![
            json!({ "id": "1", "reply": "A" }),
            json!({ "id": "1", "reply": "B" }),
            json!({ "id": "9", "reply": "B" }),
            json!({ "id": null, "reply": "B" }),
            json!({ "id": "2", "reply": "B" }),
        ]
    };
    let run = |score: &str| {
        let schema = "id: Str?, reply: Str";
        Held {
            items: sides(&ids),
            replies: replies(),
            schema,
            sample: ", options: .o, key: .a",
            score,
            ..Held::default()
        }
        .run()
    };
    let (code, said, _) = run("");
    assert_ne!(code, 0);
    for part in [
        "1 question has more than one reply: `1`",
        "2 replies are to no item of this benchmark: `9`, (no id)",
        "1 question has no reply: `3`",
        "the ids of the benchmark are `1`, `2`, `3`",
        "`twice: \"last\"`",
        "`strays: \"skip\"`",
    ] {
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(part), "{part}: {said}");
    }
    for (score, want) in [
        (", strays: \"skip\", twice: \"first\"", vec![0.0, 1.0, 0.0]),
        (", strays: \"skip\", twice: \"last\"", vec![1.0, 1.0, 0.0]),
        (", strays: \"skip\", twice: \"repeat\"", vec![0.0, 1.0, 1.0, 0.0]),
    ] {
        let (code, said, rows) = run(score);
        assert_eq!(code, 0, "{said}");
        assert_eq!(rows.iter().map(|r| r["score"].as_f64().unwrap()).collect::<Vec<_>>(), want);
        assert!(said.contains("no reply 1") && said.contains("strays 2") && said.contains("twice 1"), "{said}");
    }
    let (code, said, _) = Held { items: sides(&ids), sample: ", options: .o, key: .a", ..Held::default() }.run();
    assert!(code != 0 && said.contains("E0610") && said.contains("the file is empty"), "{said}");
}

/// A model that repeats itself up to its limit is read in the time of a short reply, not in the square of its length.
#[test]
fn endless_replies_are_read() {
    let loops =
        ["A or B. ", "answer: ", "[1,", "1,2,3,", "yes no ", "A. left B. ", "<think>", "{\"a\":[", "5-6 ", "\\boxed{A"];
    let ids: Vec<Json> = (0..loops.len()).map(|i| json!(i)).collect();
    let replies: Vec<Json> =
        loops.iter().enumerate().map(|(i, l)| json!({ "id": i, "reply": l.repeat(200_000 / l.len()) })).collect();
    for (kind, read, mark) in [
        ("number", "read.number(words: true, signed: true)", "mark.mra()"),
        ("yes_no", "read.yes_no()", "mark.yes_no()"),
        ("text", "read.text()", "mark.text_equal()"),
    ] {
        let key = if kind == "number" { "5" } else { "yes" };
        let items = ids.iter().map(|id| json!({ "id": id, "a": key })).collect();
        let (code, said, rows) =
            Held { items, replies: replies.clone(), kind, sample: ", key: .a", read, mark, ..Held::default() }.run();
        assert_eq!((code, rows.len()), (0, loops.len()), "{said}");
        assert!(rows.iter().all(|r| r["score"].as_f64() == Some(0.0)), "{kind}");
    }
    let held = Held { items: sides(&ids), replies, sample: ", options: .o, key: .a", ..Held::default() };
    let (code, said, rows) = held.run();
    assert_eq!((code, rows.len()), (0, loops.len()), "{said}");
    assert!(rows.iter().all(|r| r["score"].as_f64() == Some(0.0)), "no letter is meant");
}
