//! Loaders, row expressions and operators over rows.

use rbpipe::data::cell::Cell;
use rbpipe::data::rowexpr::Program;
use rbpipe::spec::RowExpr;
use serde_json::{Value as Json, json};

use crate::bench::{Bench, rows};
use crate::formats::told;

fn picture(width: u32, height: u32, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture =
        image::RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 7) as u8, (y * 5) as u8, (x * y) as u8]));
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Each line is a file of one bad row and a good one, and what must be said about the bad one.
#[test]
fn loader_names_bad_rows() {
    let bench = Bench::new();
    let jpeg = picture(40, 30, image::ImageFormat::Jpeg);
    bench.write("ok.jpg", &jpeg);
    bench.write("cut.jpg", &jpeg[..jpeg.len() / 2]);
    bench.write("empty.jpg", b"");
    bench.write("text.jpg", b"not a picture at all");
    let mut flipped = picture(40, 30, image::ImageFormat::Png);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xFF;
    bench.write("damaged.png", &flipped);
    let good = r#"{"id":"b","n":1,"tier":"low","pic":"ok.jpg"}"#;
    let cases: &[(&[u8], &str)] = &[
        (br#"{"id":"a","n":1,"tier":"low","pic":"ok.j"#, "no JSON: EOF while parsing a string at column 40"),
        (br#"{"n":1,"tier":"low","pic":"ok.jpg"}"#, "column `id` is missing"),
        (br#"{"id":3,"n":1,"tier":"low","pic":"ok.jpg"}"#, "column `id`: expected Str, found number 3"),
        (br#"{"id":null,"n":1,"tier":"low","pic":"ok.jpg"}"#, "column `id`: expected Str, found null"),
        (br#"{"id":"a","n":1.5,"tier":"low","pic":"ok.jpg"}"#, "column `n`: expected Int, found number 1.5"),
        (br#"{"id":"a","n":99999999999999999999,"tier":"low","pic":"ok.jpg"}"#, "column `n`: expected Int"),
        (
            br#"{"id":"a","n":1,"tier":"mid","pic":"ok.jpg"}"#,
            "column `tier`: expected one of low, high, found string \"mid\"",
        ),
        (br#"{"id":"a","n":1,"tier":"low","pic":"gone.jpg"}"#, "column `pic`: `gone.jpg` is missing"),
        (
            br#"{"id":"a","n":1,"tier":"low","pic":"cut.jpg"}"#,
            "column `pic`: `cut.jpg` is damaged: the JPEG is cut off",
        ),
        (br#"{"id":"a","n":1,"tier":"low","pic":"empty.jpg"}"#, "column `pic`: `empty.jpg` is empty"),
        (br#"{"id":"a","n":1,"tier":"low","pic":"text.jpg"}"#, "`text.jpg` is no picture or video of a known kind"),
        (br#"{"id":"a","n":1,"tier":"low","pic":"damaged.png"}"#, "`damaged.png` is damaged"),
        (br#"{"id":"a","n":1,"tier":"low","pic":"../x.jpg"}"#, "`../x.jpg` leaves the media folder"),
        (br#"{"id":"a","n":1,"tier":"low","pic":"/etc/passwd"}"#, "`/etc/passwd` leaves the media folder"),
        (b"{\"id\":\"\xFF\",\"n\":1}", "byte 8 of the row is no UTF-8"),
        (b"7", "expected an object, found number 7"),
    ];
    let schema = json!({ "columns": [
        { "name": "id", "type": "Str" }, { "name": "n", "type": "Int" },
        { "name": "tier", "type": "enum { low, high }" }, { "name": "pic", "type": "Image" } ] });
    for (bad, expected) in cases {
        let mut file = bad.to_vec();
        file.extend(format!("\n\n{good}\n").bytes());
        bench.write("rows.jsonl", &file);
        let args = |policy: &str| json!({ "path": "rows.jsonl", "as": schema, "media": null, "bad": policy });
        let error = bench.run("data.jsonl", args("fail"), &[]).err().unwrap_or_else(|| panic!("{expected}: accepted"));
        assert_eq!(error.code, "E0610", "{expected}");
        assert!(
            error.message.contains("rows.jsonl:1") && error.message.contains(expected),
            "{expected}\n{}",
            error.message
        );
        let made = bench.run("data.jsonl", args("quarantine"), &[]).unwrap();
        assert_eq!(made.fates.len(), 1);
        assert!(made.fates[0].why.contains(expected) && made.fates[0].what == "quarantined", "{:?}", made.fates);
        assert_eq!(made.ids(), ["b"], "{expected}");
        assert_eq!((made.counts["read"], made.counts["quarantined"]), (2, 1));
        assert_eq!(made.column("pic")[0]["width"], 40);
    }
}

#[test]
fn loader_reads_arrays_packed_files_and_globs() {
    let bench = Bench::new();
    let schema = json!({ "columns": [{ "name": "id", "type": "Str" }, { "name": "note", "type": "Str?" },
        { "name": "tags", "type": "[Str]" }, { "name": "at", "type": "Point?" }] });
    let load = |path: &str| {
        let args = json!({ "path": path, "as": schema, "media": null, "bad": "fail" });
        bench.run("data.jsonl", args, &[])
    };
    let lines = b"\xEF\xBB\xBF{\"id\":\"a\",\"tags\":[\"x\",\"y\"],\"at\":[0.5,1],\"more\":1}\r\n";
    bench.write("p/a.jsonl", lines);
    bench.write("p/b.json", br#"[{"id":"b","note":"n","tags":[]}]"#);
    bench.write("p/c.jsonl.zst", &zstd::encode_all(&lines[..], 3).unwrap());
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gz, lines).unwrap();
    bench.write("p/d.jsonl.gz", &gz.finish().unwrap());
    let all = load("p/*").unwrap();
    assert_eq!(all.ids(), ["a", "b", "a", "a"]);
    assert_eq!(all.column("note"), [Json::Null, json!("n"), Json::Null, Json::Null]);
    assert_eq!(all.column("tags")[0], json!(["x", "y"]));
    assert_eq!(all.column("at")[0], json!([0.5, 1.0]));
    assert_eq!(load("nowhere.jsonl").err().unwrap().code, "E0501");
    assert_eq!(load("q/*.jsonl").err().unwrap().code, "E0501");
    bench.write("broken.jsonl.gz", b"not gzip");
    assert_eq!(load("broken.jsonl.gz").err().unwrap().code, "E0503");
    bench.write("cut.json", br#"[{"id":"b","tags":[]},"#);
    assert!(load("cut.json").err().unwrap().message.starts_with("cut.json[1]: the array is cut off here"));
    bench.write("none.jsonl", b"");
    let empty = load("none.jsonl").err().unwrap();
    assert_eq!((empty.code, empty.message.as_str()), ("E0610", "none.jsonl:1: the file is empty"));
}

fn col(name: &str) -> Json {
    json!({ "col": name })
}

fn lit(value: impl Into<Json>) -> Json {
    json!({ "lit": value.into() })
}

fn call(recv: Json, name: &str, args: &[Json]) -> Json {
    let args: Vec<Json> = args.iter().map(|a| json!([null, a])).collect();
    json!({ "call": { "name": name, "recv": recv, "args": args } })
}

fn binary(op: &str, a: Json, b: Json) -> Json {
    json!({ "binary": [op, a, b] })
}

#[test]
fn row_expressions() {
    let d = rows(json!([{ "id": "r0", "s": "  A man, a plan. ", "none": null, "n": 6, "f": 0.5, "b": true,
        "list": ["left", "right", "left"], "nums": [1, 2, 3],
        "pics": [{ "digest": "d1", "media": "image/png", "width": 40, "height": 30, "origin": "d1" }],
        "q": "Which one? A. the first. B. the second. Please answer directly with only the letter of the correct option and nothing else." }]));
    let range = |a: Json, b: Json| json!({ "range": [a, b] });
    let width = || json!({ "col": "width" });
    let cases: Vec<(Json, Json)> = vec![
        (binary("+", call(col("s"), "trim", &[]), lit("!")), json!("A man, a plan.!")),
        (binary("+", lit("q"), binary("??", col("none"), lit(""))), json!("q")),
        (call(col("s"), "words", &[]), json!(4)),
        (call(col("s"), "alnum", &[]), json!(9)),
        (call(lit("né"), "len", &[]), json!(2)),
        (call(col("list"), "len", &[]), json!(3)),
        (binary("in", col("n"), range(lit(6), lit(6))), json!(true)),
        (binary("in", col("n"), range(Json::Null, lit(5))), json!(false)),
        (binary("not_in", col("n"), range(lit(7), Json::Null)), json!(true)),
        (binary("in", lit("left"), col("list")), json!(true)),
        (binary("==", col("none"), lit(Json::Null)), json!(true)),
        (binary("!=", col("n"), lit(Json::Null)), json!(true)),
        (binary("==", col("n"), lit(6.0)), json!(true)),
        (binary("or", binary("==", col("none"), lit(Json::Null)), binary(">", col("none"), lit(1))), json!(true)),
        (binary("/", col("n"), lit(3)), json!(2)),
        (binary("*", col("n"), col("f")), json!(3.0)),
        (binary("-", lit(1), json!({ "unary": ["-", col("n")] })), json!(7)),
        (json!({ "if": [col("b"), col("n"), col("f")] }), json!(6.0)),
        (json!({ "unary": ["not", col("b")] }), json!(false)),
        (call(col("s"), "matches", &[lit(r"(?i)^\s*a\b")]), json!(true)),
        (call(lit("a_b_c"), "before", &[lit("_")]), json!("a")),
        (call(lit("a_b_c"), "after", &[lit("_")]), json!("b_c")),
        (call(lit("abc"), "before", &[lit("_")]), json!("abc")),
        (call(lit("a,b"), "split", &[lit(",")]), json!(["a", "b"])),
        (call(lit("aXbXc"), "count", &[lit("X")]), json!(2)),
        (call(col("list"), "count", &[binary("==", col("it"), lit("left"))]), json!(2)),
        (call(col("nums"), "all", &[binary("<", col("it"), col("n"))]), json!(true)),
        (call(col("nums"), "any", &[binary(">", col("it"), lit(3))]), json!(false)),
        (call(col("pics"), "all", &[binary(">=", width(), lit(40))]), json!(true)),
        (call(json!({ "index": [col("pics"), lit(0)] }), "height", &[]), json!(30)),
        (json!({ "field": [json!({ "index": [col("pics"), lit(0)] }), "media"] }), json!("image/png")),
        (call(lit("x"), "lookup", &[json!({ "record": [["x", lit(1)], ["y", lit(2)]] })]), json!(1)),
        (binary("??", call(lit("z"), "lookup", &[lit(json!({ "x": 1 }))]), lit(9)), json!(9)),
        (call(lit("b) left"), "letter", &[]), json!("B")),
        (call(lit("the (c) one"), "paren_letter", &[]), json!("C")),
        (call(lit(2), "index0_letter", &[]), json!("C")),
        (call(lit("2"), "index1_letter", &[]), json!("B")),
        (call(lit("right"), "index_in", &[col("list")]), json!("B")),
        (call(col("q"), "inline_options", &[]), json!(["the first", "the second"])),
        (call(lit("Pick.\n(A) a. b\n(B) c"), "inline_options", &[]), json!(["a. b", "c"])),
        (call(lit("No options here"), "inline_options", &[]), json!([])),
        (
            call(json!({ "list": [lit("A. left"), lit("(B) right"), lit("up")] }), "strip_labels", &[]),
            json!(["left", "right", "up"]),
        ),
        (call(lit("Is it red? Answer yes or no."), "drop_last_instruction", &[]), json!("Is it red?")),
        (
            call(
                lit(
                    "Point at it. Your answer should be formatted as a list of tuples, i.e. [(x1, y1), ...]. The coordinates should be between 0 and 1.",
                ),
                "drop_last_instruction",
                &[],
            ),
            json!("Point at it."),
        ),
        (call(lit("Answer yes or no."), "drop_last_instruction", &[]), json!("Answer yes or no.")),
        (
            json!({ "record": [["a", col("n")], ["b", json!({ "list": [col("s")] })]] }),
            json!({ "a": 6, "b": ["  A man, a plan. "] }),
        ),
    ];
    for (expr, expected) in cases {
        let parsed: RowExpr = serde_json::from_value(expr.clone()).expect("a row expression");
        let column = Program::new(&parsed, &d).and_then(|p| p.column(&d)).unwrap_or_else(|e| panic!("{expr}: {e}"));
        assert_eq!(Cell::read(&column, 0).to_json(), expected, "{expr}");
    }
    let failures: Vec<(Json, &str)> = vec![
        (binary(">", col("none"), lit(1)), "row 0 (id r0): `.none > 1`: `none` has no order"),
        (call(col("none"), "trim", &[]), "`.none.trim()`: the value is `none`"),
        (binary("/", col("n"), lit(4)), "6 / 4 is not exact; write 6.0 / 4"),
        (binary("/", col("n"), lit(0)), "division by zero"),
        (binary("+", lit(i64::MAX), col("n")), "too large for an Int"),
        (call(lit("left"), "index_in", &[col("list")]), "\"left\" is in the list more than once"),
        (call(lit("up"), "index_in", &[col("list")]), "\"up\" is not in the list"),
        (call(lit("12"), "letter", &[]), "no letter A-Z"),
        (json!({ "index": [col("list"), lit(3)] }), "index 3 is outside a list of 3"),
        (col("nope"), "column `.nope` is not in this dataset"),
        (binary("+", col("s"), col("n")), "`.s + .n`: Str and Int do not go together"),
        (call(col("s"), "matches", &[lit("(")]), "unclosed group"),
        (call(col("s"), "shout", &[]), "there is no row method `.shout`"),
    ];
    for (expr, expected) in failures {
        let parsed: RowExpr = serde_json::from_value(expr.clone()).expect("a row expression");
        let error = Program::new(&parsed, &d).and_then(|p| p.column(&d)).expect_err(expected);
        assert!(error.message.contains(expected), "{expr}: {}", error.message);
    }
}

#[test]
fn columns_move() {
    let bench = Bench::new();
    let d = rows(json!([{ "id": "a", "x": 1, "y": "p" }, { "id": "b", "x": 2, "y": "q" }]));
    let other = rows(json!([{ "id": "c", "y": "r", "z": true }]));
    let run = |op: &str, args: Json| bench.run(op, args, &[("d", &d)]);
    let names = |made: &crate::bench::Made| made.table().columns().into_iter().map(|c| c.0).collect::<Vec<_>>();
    assert_eq!(names(&run("data.select", json!({ "columns": ["y", "id"] })).unwrap()), ["y", "id"]);
    assert_eq!(names(&run("data.drop", json!({ "columns": ["y"] })).unwrap()), ["id", "x"]);
    assert_eq!(names(&run("data.rename", json!({ "columns": { "x": "y", "y": "x" } })).unwrap()), ["id", "y", "x"]);
    assert_eq!(run("data.rename", json!({ "columns": { "x": "y" } })).err().unwrap().code, "E0303");
    assert_eq!(run("data.drop", json!({ "columns": ["nope"] })).err().unwrap().code, "E0301");
    let made = run(
        "data.derive",
        json!({ "columns": { "x": binary("*", col("x"), lit(2)), "w": binary("+", col("x"), lit(0.5)) } }),
    )
    .unwrap();
    assert_eq!(made.column("x"), [2, 4]);
    assert_eq!(made.column("w"), [1.5, 2.5]);
    let made = run("filter.rule", json!({ "where": binary(">", col("x"), lit(1)) })).unwrap();
    assert_eq!(made.ids(), ["b"]);
    assert_eq!((made.fates[0].row.as_str(), made.fates[0].why.as_str()), ("a", "not .x > 1"));
    assert_eq!(made.counts["dropped"], 1);
    let inputs = json!({ "one": { "$input": "inputs.one" }, "two": { "$input": "inputs.two" } });
    let args = json!({ "label": "source", "inputs": inputs });
    let made = bench.run("data.concat", args, &[("inputs.one", &d), ("inputs.two", &other)]).unwrap();
    assert_eq!(names(&made), ["id", "y", "source"]);
    assert_eq!(made.column("source"), ["one", "one", "two"]);
    assert_eq!(run("data.count", json!({})).unwrap().meta[""]["value"], 2);
}

#[test]
fn signatures_parse() {
    let catalogue = rbpipe::ops::catalogue();
    for name in ["data.jsonl", "data.blend", "filter.format", "dedup.minhash", "data.disjoint"] {
        assert!(!catalogue.get(name).unwrap().doc.is_empty(), "{name}");
    }
}

fn numbered(n: usize) -> rbpipe::data::table::Table {
    let tier = |i: usize| ["safe", "low", "high"][usize::from(i % 4 == 0) + usize::from(i % 12 == 0)];
    let all: Vec<Json> = (0..n)
        .map(|i| json!({ "id": format!("r{i}"), "x": (i * 37) % n, "tier": tier(i), "pic": [format!("p{}", i / 3)] }))
        .collect();
    rows(Json::Array(all))
}

#[test]
fn rows_are_chosen() {
    let bench = Bench::new();
    let d = numbered(100);
    let run = |op: &str, args: Json| bench.run(op, args, &[("d", &d)]).unwrap();
    let top = run("data.top", json!({ "by": "x", "n": 3, "order": "desc" }));
    let mut values: Vec<i64> = top.column("x").iter().filter_map(Json::as_i64).collect();
    values.sort_unstable();
    assert_eq!(values, [97, 98, 99]);
    assert_eq!(run("data.top", json!({ "by": "x", "n": 200, "order": "asc" })).table().rows(), 100);
    let low = run("data.quantile", json!({ "by": "x", "keep": { "from": null, "to": 0.25 } }));
    assert!(low.table().rows() == 25 && low.column("x").iter().all(|x| x.as_i64() < Some(25)));
    let sorted = run("data.sort", json!({ "by": ["tier", "x"] }));
    let keys: Vec<(String, i64)> = sorted
        .column("tier")
        .iter()
        .zip(sorted.column("x"))
        .map(|(t, x)| (t.to_string(), x.as_i64().unwrap()))
        .collect();
    assert!(keys.is_sorted() && keys.len() == 100);
    let plain = json!({ "n": { "rows": 40 }, "by": null, "weights": null, "equal": false });
    let first = run("data.sample", plain.clone());
    assert_eq!((first.table().rows(), first.ids()), (40, run("data.sample", plain.clone()).ids()));
    // A sample depends on the rows, not on their order.
    let backwards = d.take(&(0..100).rev().collect::<Vec<_>>()).unwrap();
    let mut again = bench.run("data.sample", plain, &[("d", &backwards)]).unwrap().ids();
    again.reverse();
    assert_eq!(again, first.ids());
    let count = |made: &crate::bench::Made, tier: &str| made.column("tier").iter().filter(|t| *t == tier).count();
    let by = |weights: Json, equal: bool| {
        run("data.sample", json!({ "n": { "ratio": 0.12 }, "by": "tier", "weights": weights, "equal": equal }))
    };
    let weighted = by(json!({ "safe": 0.5, "high": 0.5 }), false);
    assert_eq!((count(&weighted, "safe"), count(&weighted, "low"), count(&weighted, "high")), (6, 0, 6));
    let equal = by(Json::Null, true);
    assert_eq!((count(&equal, "safe"), count(&equal, "low"), count(&equal, "high")), (4, 4, 4));
    let stratified = by(Json::Null, false);
    assert_eq!((count(&stratified, "safe"), count(&stratified, "low"), count(&stratified, "high")), (9, 2, 1));
    let shuffled = run("data.shuffle", json!({}));
    let mut ids = shuffled.ids();
    assert_ne!(ids, d.cells("id").unwrap().iter().map(|c| c.text().into_owned()).collect::<Vec<_>>());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

#[test]
fn rows_are_drawn_by_weight() {
    let bench = Bench::new();
    let weighted = |weight: &dyn Fn(usize) -> Json| {
        let all: Vec<Json> =
            (0..2000).map(|i| json!({ "id": format!("r{i}"), "even": i % 2 == 0, "w": weight(i) })).collect();
        rows(Json::Array(all))
    };
    let sample = |d: &rbpipe::data::table::Table, n: usize, by: Option<&str>| {
        bench.run("data.sample", json!({ "n": { "rows": n }, "by": by, "weights": "w", "equal": false }), &[("d", d)])
    };
    let even = |made: &crate::bench::Made| made.column("even").iter().filter(|e| **e == true).count();
    let nine = |scale: f64| move |i: usize| json!(if i % 2 == 0 { 9.0 * scale } else { scale });
    let d = weighted(&nine(1.0));
    let drawn = sample(&d, 200, None).unwrap();
    // 179.3 are expected of 200 draws without replacement, with a deviation of 4.2.
    assert!(drawn.table().rows() == 200 && (167..=192).contains(&even(&drawn)), "{}", even(&drawn));
    assert_eq!(sample(&weighted(&nine(1000.0)), 200, None).unwrap().ids(), drawn.ids());
    let backwards = d.take(&(0..2000).rev().collect::<Vec<_>>()).unwrap();
    let mut again = sample(&backwards, 200, None).unwrap().ids();
    again.reverse();
    assert_eq!(again, drawn.ids());
    // Within groups the weights decide as well, and the groups keep their shares.
    let one = |i: usize| json!(if i % 20 < 2 { 1.0 } else { 1e-9 });
    let heavy = sample(&weighted(&one), 100, Some("even")).unwrap();
    assert_eq!((even(&heavy), heavy.table().rows()), (50, 100));
    assert!(heavy.column("w").iter().all(|w| *w == 1.0));
    // What weighs nothing is never drawn, however many rows are asked for.
    let some = sample(&weighted(&|i| json!(if i < 10 { 0.5 } else { 0.0 })), 2000, None).unwrap();
    assert_eq!(some.table().rows(), 10);
    for (wrong, said) in [(json!(-1.0), "row 8 has -1.0 in `.w`"), (Json::Null, "row 8 has null in `.w`")] {
        let d = weighted(&|i| if i == 7 { wrong.clone() } else { json!(1.0) });
        let e = sample(&d, 10, None).err().unwrap();
        assert!(e.code == "E0612" && e.message.starts_with(said), "{e:?}");
    }
}

#[test]
fn split_keeps_rows_together() {
    let bench = Bench::new();
    let d = numbered(100);
    let args = json!({ "validation": { "ratio": 0.1 }, "test": { "rows": 20 }, "apart": ["pic"], "by": null });
    let made = bench.run("data.split", args, &[("d", &d)]).unwrap();
    let sizes = ["train", "validation", "test"].map(|part| made.tables[part].rows());
    assert_eq!(sizes.iter().sum::<usize>(), 100);
    assert!((8..=10).contains(&sizes[1]) && (18..=20).contains(&sizes[2]), "{sizes:?}");
    let pics = |part: &str| made.tables[part].texts(&["pic".to_owned()]).unwrap();
    for (a, b) in [("train", "validation"), ("train", "test"), ("validation", "test")] {
        assert!(pics(a).iter().all(|p| !pics(b).contains(p)), "{a} and {b} share a picture");
    }
}

#[test]
fn blend_holds_shares_everywhere() {
    let bench = Bench::new();
    let (a, b) = (rows(json!([{ "id": "a0", "u": 1 }, { "id": "a1", "u": 2 }])), numbered(50));
    let args = |rows: Json| json!({ "of": [{ "$input": "of[0]" }, { "$input": "of[1]" }], "weights": [0.7, 0.3], "rows": rows });
    let made = bench.run("data.blend", args(json!(30)), &[("of[0]", &a), ("of[1]", &b)]).unwrap();
    let ids = made.ids();
    assert_eq!(made.table().columns().len(), 1);
    for n in 1..=30 {
        let share = ids[..n].iter().filter(|id| id.starts_with('a')).count() as f64;
        assert!((share - 0.7 * n as f64).abs() <= 1.0, "after {n}");
    }
    let twos: Vec<&String> = ids.iter().filter(|id| id.starts_with('a')).collect();
    assert!(twos.chunks_exact(2).all(|pair| pair[0] != pair[1]), "each round reads every row once: {twos:?}");
    assert_eq!(bench.run("data.blend", args(Json::Null), &[("of[0]", &a), ("of[1]", &b)]).unwrap().table().rows(), 52);
    let wrong = json!({ "of": [{ "$input": "of[0]" }, { "$input": "of[1]" }], "weights": [0.7, 0.7], "rows": null });
    assert!(
        bench.run("data.blend", wrong, &[("of[0]", &a), ("of[1]", &b)]).err().unwrap().message.contains("140.00 %")
    );
}

#[test]
fn format_knows_its_forms() {
    let bench = Bench::new();
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("letter", &["A", "Z"], &["a", "(A)", "A.", "AB", "A. red", " A"]),
        (
            "points",
            &["[(0.5, 0.25)]", "[(0,1), (0.1, 0.2)]"],
            &["(0.5, 0.5)", "[(0.5, 1.5)]", "[(12, 40)]", "[0.1, 0.2]", "[(0.1)]", "[(x, y)]", "[(0.1, 0.2),]"],
        ),
        ("box", &["[0.1, 0.2, 0.5, 0.6]"], &["[0.5, 0.2, 0.1, 0.6]", "[1, 2, 3]", "[0, 0, 2, 2]"]),
        ("number", &["3", "-2", "0.75"], &["three", "3.", "1,000", "NaN"]),
        ("yes_no", &["yes", "No"], &["yes.", "maybe"]),
        ("steps", &["1. Go.\n2. Stop.", "1. Go."], &["1. Go.\n3. Stop.", "Go.", "1.\n2. x", "2. x"]),
        ("json", &["{\"a\": 1}", "[]"], &["{", "1", "\"text\""]),
    ];
    for (form, good, bad) in cases {
        let all: Vec<Json> =
            good.iter().chain(*bad).enumerate().map(|(i, t)| json!({ "id": i.to_string(), "t": t })).collect();
        let args = json!({ "of": "t", "demand": { *form: lit(true) }, "schema": null, "pattern": null, "empty": "drop", "where": lit(true) });
        let made = bench.run("filter.format", args, &[("d", &rows(Json::Array(all)))]).unwrap();
        let expected: Vec<String> = (0..good.len()).map(|i| i.to_string()).collect();
        assert_eq!(made.ids(), expected, "{form}: {:?}", made.fates);
    }
}

#[test]
fn filters_and_dedups() {
    let bench = Bench::new();
    let on = lit(true);
    let d = rows(json!([
        { "id": "a", "q": "How many cubes are on the table?", "a": "2", "s": 0.1 },
        { "id": "b", "q": "how many cubes are on the table ??", "a": "2.", "s": 0.9 },
        { "id": "c", "q": "How many cubes are on the table?", "a": "3", "s": 0.5 },
        { "id": "d", "q": "How many balls lie on the floor today?", "a": "-3", "s": null },
        { "id": "e", "q": "How many balls lie on the floor today?", "a": "3", "s": 0.2 } ]));
    let run = |op: &str, args: Json| {
        let mut all = json!({ "where": on, "within": [], "image_distance": 4, "keep": "first", "best": null, "rule": "components" });
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        bench.run(op, all, &[("d", &d)]).unwrap()
    };
    let conflict = run(
        "filter.conflict",
        json!({ "question": ["q"], "answer": "a", "similar": 1.0, "shingle": 2, "contrast": 0, "keep": "majority", "normalise": true }),
    );
    assert_eq!(
        (conflict.ids(), conflict.column("votes")),
        (vec!["a".to_owned(), "b".into()], vec![json!(2), json!(2)])
    );
    let none = run(
        "filter.conflict",
        json!({ "question": ["q"], "answer": "a", "similar": 1.0, "shingle": 2, "contrast": 0, "keep": "none", "normalise": true }),
    );
    assert_eq!(none.table().rows(), 0);
    let exact = |more: Json| {
        let mut args = json!({ "on": ["q", "a"], "normalise": true });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        run("dedup.exact", args)
    };
    let first = exact(json!({}));
    assert_eq!(first.ids(), ["a", "c", "d", "e"]);
    assert_eq!(first.column("copies"), [2, 1, 1, 1]);
    assert_eq!(first.column("cluster"), ["a", "c", "d", "e"]);
    assert_eq!(first.fates[0].why, "same text as a");
    assert_eq!(exact(json!({ "keep": "best", "best": "s" })).ids(), ["b", "c", "d", "e"]);
    assert_eq!(exact(json!({ "keep": "longest" })).ids(), ["b", "c", "d", "e"]);
    assert_eq!(exact(json!({ "normalise": false })).table().rows(), 5);
    assert_eq!(exact(json!({ "on": ["q"], "within": ["a"] })).ids(), ["a", "c", "d", "e"]);
    assert_eq!(exact(json!({ "where": binary("!=", col("id"), lit("b")) })).table().rows(), 5);
    // A row without a text is like no other; an empty text is like an empty one.
    let gaps = rows(
        json!([{ "id": "a", "q": null, "a": "x" }, { "id": "b", "q": null, "a": "x" }, { "id": "c", "q": "", "a": null },
        { "id": "d", "q": "", "a": null }, { "id": "e", "q": null, "a": null }, { "id": "f", "q": null, "a": null }]),
    );
    let of = |on: &[&str]| {
        let args = json!({ "on": on, "normalise": true, "where": null, "within": [], "image_distance": 4, "keep": "first", "best": null, "rule": "components" });
        bench.run("dedup.exact", args, &[("d", &gaps)]).unwrap().ids()
    };
    assert_eq!(of(&["q"]), ["a", "b", "c", "e", "f"]);
    assert_eq!(of(&["q", "a"]), ["a", "c", "e", "f"]);
    let near = run(
        "dedup.minhash",
        json!({ "on": ["q"], "similar": 0.5, "shingle": 2, "bands": 32, "rows": 4, "verify": true, "contrast": 0 }),
    );
    assert_eq!(near.ids(), ["a", "d"]);
    assert_eq!(near.column("copies"), [3, 2]);
    let near = run("dedup.simhash", json!({ "on": ["q"], "distance": 0, "shingle": 2 }));
    assert_eq!(near.ids(), ["a", "d"]);
    let words = run("filter.words", json!({ "of": ["q"], "keep": { "from": 8, "to": null } }));
    assert_eq!(words.ids(), ["b", "d", "e"]);
    let length = run("filter.length", json!({ "of": ["a"], "keep": { "from": null, "to": 1 } }));
    assert_eq!(
        (length.ids(), length.column("tokens")),
        (vec!["a".to_owned(), "c".into(), "e".into()], vec![json!(1); 3])
    );
}

#[test]
fn dropped_rows_are_counted_by_kind() {
    let bench = Bench::new();
    let on = lit(true);
    let d = rows(json!([
        { "id": "a", "q": "How many cubes are there?", "a": "2" }, { "id": "b", "q": "How many cubes are there?", "a": "2" },
        { "id": "c", "q": "How many red cubes are there?", "a": "2" }, { "id": "d", "q": "Name one.", "a": "" },
        { "id": "e", "q": "How many cubes are there?", "a": "a few" }, { "id": "f", "q": "How many cubes are there?", "a": "3" } ]));
    let many = call(col("q"), "contains", &[lit("How many")]);
    let format = json!({ "of": "a", "demand": { "number": many }, "schema": null, "pattern": null, "empty": "drop", "where": on });
    let made = bench.run("filter.format", format, &[("d", &d)]).unwrap();
    let counts = |c: &std::collections::BTreeMap<String, u64>| serde_json::to_value(c).unwrap();
    let expected = json!({ "dropped": 2, "dropped: empty": 1, "dropped: not a number": 1, "kept": 4, "read": 6 });
    assert_eq!(counts(&made.counts), expected);
    let common =
        json!({ "where": on, "within": [], "image_distance": 4, "keep": "first", "best": null, "rule": "components" });
    let with = |own: Json| {
        let mut args = common.as_object().unwrap().clone();
        args.extend(own.as_object().unwrap().clone());
        Json::Object(args)
    };
    let left = made.table().clone();
    let conflict = with(
        json!({ "question": ["q"], "answer": "a", "similar": 1.0, "shingle": 2, "contrast": 0, "keep": "majority", "normalise": true }),
    );
    let made = bench.run("filter.conflict", conflict, &[("d", &left)]).unwrap();
    assert_eq!(counts(&made.counts), json!({ "dropped": 1, "dropped: outvoted": 1, "kept": 3, "read": 4 }));
    let near = with(
        json!({ "on": ["q"], "similar": 0.4, "shingle": 2, "bands": 32, "rows": 4, "verify": true, "contrast": 0 }),
    );
    let made = bench.run("dedup.minhash", near, &[("d", made.table())]).unwrap();
    let expected = json!({ "clusters": 1, "dropped": 2, "dropped: same text": 1, "dropped: similar text": 1, "kept": 1, "read": 3 });
    assert_eq!(counts(&made.counts), expected);
}

#[test]
fn exchanged_words_tell_texts_apart() {
    use rbpipe::data::dedup::contrast::Contrasts;
    let mut texts: Vec<String> = vec!["Point at the red cube.".into(), "Show me the blue thing, the cube.".into()];
    for (side, thing) in [("left of", "ball"), ("behind", "ball"), ("left of", "can"), ("behind", "can")] {
        texts.push(format!("Is the cube {side} the {thing}?"));
    }
    for thing in ["cube", "ball", "can"] {
        texts.extend(["red", "blue"].map(|colour| format!("Where is the {colour} {thing}?")));
    }
    let at = |text: &str| texts.iter().position(|t| t == text).unwrap();
    let each: Vec<u32> = (0..texts.len() as u32).collect();
    let apart = |least: u32, a: &str, b: &str| Contrasts::mine(texts.as_slice(), &each, least).apart(at(a), at(b));
    assert!(apart(2, "Where is the red cube?", "Where is the blue cube?"));
    assert!(apart(2, "Where is the red cube?", "Where is the red ball?"));
    assert!(apart(2, "Is the cube behind the can?", "Is the cube left of the can?"));
    assert!(
        !apart(3, "Where is the red cube?", "Point at the red cube."),
        "another phrasing: one place, cut in two ways"
    );
    assert!(apart(2, "Point at the red cube.", "Show me the blue thing, the cube."), "learnt elsewhere, true here");
    assert!(!apart(12, "Where is the red cube?", "Where is the blue cube?"), "in eleven surroundings only");
    assert!(!apart(1, "Where is the red cube?", "Where is the red cube?"));
    // In one group: two ways to say one thing.
    let one = vec![0; texts.len()];
    let (red, blue) = (at("Where is the red cube?"), at("Where is the blue cube?"));
    assert!(!Contrasts::mine(texts.as_slice(), &one, 2).apart(red, blue));
}

/// A and C are each near B, but not near each other.
#[test]
fn rules_of_clusters() {
    use rbpipe::data::dedup::clusters::{Links, Rule, resolve};
    let links = Links { class: vec![0, 1, 2, 1], edges: vec![(0, 1), (1, 2)] };
    let rank = |order: [u32; 4]| order;
    assert_eq!(resolve(&links, Rule::Components, &rank([0, 1, 2, 3])), [0, 0, 0, 0]);
    assert_eq!(resolve(&links, Rule::Components, &rank([3, 1, 2, 0])), [3, 3, 3, 3]);
    assert_eq!(resolve(&links, Rule::Star, &rank([0, 1, 2, 3])), [0, 0, 2, 0]);
    assert_eq!(resolve(&links, Rule::Star, &rank([3, 1, 2, 0])), [3, 3, 3, 3]);
}

/// Banding finds what comparing all pairs finds.
#[test]
fn minhash_and_simhash_against_all_pairs() {
    use rbpipe::data::dedup::clusters::Rule;
    use rbpipe::data::dedup::{minhash, simhash};
    let word = |i: usize| format!("w{}", i * 2_654_435_761 % 997);
    let texts: Vec<String> = (0..600)
        .map(|i| {
            (0..40)
                .map(|k| if k == i % 7 * 5 { word(i + 7000) } else { word(i / 6 * 50 + k) })
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let options = minhash::Options { similar: 0.7, shingle: 3, bands: 32, rows: 4, verify: true, rule: Rule::Star };
    let found = minhash::links(&texts, &vec![0; texts.len()], &options, &|_, _| false);
    let mut expected = Vec::new();
    for a in 0..texts.len() {
        for b in a + 1..texts.len() {
            if minhash::jaccard(&texts[a], &texts[b], 3) >= 0.7 {
                expected.push((a as u32, b as u32));
            }
        }
    }
    assert!(expected.len() > 500);
    let hits = expected.iter().filter(|e| found.edges.contains(e)).count();
    assert!(found.edges.len() == hits && hits as f64 >= 0.998 * expected.len() as f64, "{hits} of {}", expected.len());
    let mut state = 1u64;
    let mut hashes: Vec<Option<u64>> = Vec::new();
    for i in 0..5000u32 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let near = hashes.get((i / 2) as usize).copied().flatten().unwrap_or(0) ^ (1 << (i % 64)) ^ (1 << (i % 61));
        hashes.push(Some(if i % 3 == 0 { near } else { state ^ state >> 29 }));
    }
    let found = simhash::links(&hashes, &vec![0; 5000], 10);
    let apart = |a: usize, b: usize| (hashes[a].unwrap() ^ hashes[b].unwrap()).count_ones();
    // Equal hashes are one class, and edges join classes.
    let distinct: Vec<usize> = (0..5000).filter(|&i| found.represents(i as u32)).collect();
    let pairs = distinct.iter().enumerate().flat_map(|(i, &a)| distinct[i + 1..].iter().map(move |&b| (a, b)));
    let expected = pairs.filter(|&(a, b)| (1..=10).contains(&apart(a, b))).count();
    assert!(expected > 500 && found.edges.len() == expected, "{} of {expected}", found.edges.len());
}

/// Whatever the similarity asked for, texts that differ in a sign alone stay, and those that differ in their layout go.
#[test]
fn signs_tell_texts_of_the_same_words_apart() {
    let bench = Bench::new();
    let filler = |n: usize| (0..n).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ");
    for words in [0, 5, 60] {
        let text = |sign: &str| format!("{} if x {sign} 3 then stop", filler(words));
        // More rows than are compared pair by pair.
        let others = (0..80)
            .map(|i| json!({ "id": format!("o{i}"), "t": format!("other {i} text {} of its own {}", i * 7, i * 31) }));
        let signs = ["<", ">", "<", "=", "≤"].into_iter().zip(["a", "b", "c", "d", "e"]);
        let mut all: Vec<Json> = signs.map(|(sign, id)| json!({ "id": id, "t": text(sign) })).collect();
        all.push(json!({ "id": "f", "t": text(">").to_uppercase().replace(" IF", "\nIF") }));
        let few = rows(json!(all));
        all.extend(others);
        let common = json!({ "on": ["t"], "where": null, "within": [], "image_distance": 4, "keep": "first", "best": null, "rule": "components" });
        let minhash = json!({ "similar": 0.4, "shingle": 3, "bands": 32, "rows": 4, "verify": true, "contrast": 0 });
        for (op, own) in [("dedup.minhash", minhash), ("dedup.simhash", json!({ "distance": 3, "shingle": 2 }))] {
            let mut args = common.clone();
            args.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
            for d in [few.clone(), rows(json!(all))] {
                let mut ids = bench.run(op, args.clone(), &[("d", &d)]).unwrap().ids();
                ids.retain(|id| !id.starts_with('o'));
                assert_eq!(ids, ["a", "b", "d", "e"], "{op}, {words} words more, {} rows", d.rows());
            }
        }
    }
}

#[test]
fn csv_parquet_and_arrow() {
    let bench = Bench::new();
    let png = picture(8, 6, image::ImageFormat::Png);
    bench.write("p.png", &png);
    let schema = json!({ "columns": [{ "name": "id", "type": "Str" }, { "name": "n", "type": "Int?" }, { "name": "pic", "type": "Image" }] });
    bench.write("a.csv", b"id;pic;n;more\n\"x;1\";p.png;3;z\ny;p.png;;z\nz;p.png;1.5;z\n\xFF;p.png;1;z\nshort;p.png\n");
    let args = json!({ "path": "a.csv", "as": schema, "media": null, "bad": "skip", "separator": ";", "base64": [] });
    let made = bench.run("data.csv", args, &[]).unwrap();
    assert_eq!((made.ids(), made.column("n")), (vec!["x;1".to_owned(), "y".into()], vec![json!(3), Json::Null]));
    let why: Vec<&str> = made.fates.iter().map(|f| f.row.as_str()).collect();
    assert_eq!(why, ["a.csv:4", "a.csv:5", "a.csv:6"]);

    let load = |text: &[u8]| {
        bench.write("b.csv", text);
        let as_ = json!({ "columns": [{ "name": "id", "type": "Str" }] });
        let args =
            json!({ "path": "b.csv", "as": as_, "media": null, "bad": "quarantine", "separator": ",", "base64": [] });
        bench.run("data.csv", args, &[])
    };
    assert_eq!(load(b"").unwrap().fates[0].why, "the file is empty");
    assert_eq!(load(b"x,x,id\n1,2,3\n").unwrap().ids(), ["3"]);
    let open = load(b"id,x\n1,a\n2,\"b\n3,c\n4,d\n").unwrap();
    let why = "the quote that opens in line 3 is not closed before the file ends";
    assert_eq!((open.ids(), told(&open)), (vec!["1".to_owned()], vec![format!("b.csv:3: {why}")]));
    assert!(load(b"id,\"x\n1,a\n2,b\n").unwrap().fates[0].why.contains("opens in line 1"));
    assert_eq!(load(b"id,x\n1,\"a\nb\"\n2,5\" pipe\n").unwrap().ids(), ["1", "2"]);
    let twice = load(b"id,x,id\n1,2,3\n").err().unwrap();
    assert!(
        twice.code == "E0503" && twice.message.ends_with("its header names the column `id` twice"),
        "{}",
        twice.message
    );

    use arrow::array::{ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray, StructArray};
    use std::sync::Arc;
    let bytes: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(&png), None]));
    let path: ArrayRef = Arc::new(StringArray::from(vec![None, Some("p.png")]));
    let pic: ArrayRef = Arc::new(StructArray::try_from(vec![("bytes", bytes), ("path", path)]).unwrap());
    let n: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let id: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let batch = RecordBatch::try_from_iter([("id", id), ("n", n), ("pic", pic)]).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    bench.write("a.parquet", &writer.into_inner().unwrap());
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    bench.write("a.arrow", &writer.into_inner().unwrap());
    for kind in ["parquet", "arrow"] {
        let args = json!({ "path": format!("a.{kind}"), "as": schema, "media": null, "bad": "fail" });
        let made = bench.run(&format!("data.{kind}"), args.clone(), &[]).unwrap();
        assert_eq!((made.ids(), made.column("n")), (vec!["a".to_owned(), "b".into()], vec![json!(1), Json::Null]));
        assert!(made.column("pic")[0] == made.column("pic")[1] && made.column("pic")[0]["height"] == 6);
        bench.write(&format!("a.{kind}"), b"damaged");
        assert_eq!(bench.run(&format!("data.{kind}"), args, &[]).err().unwrap().code, "E0503");
    }
}

/// Maps are records; what is no number is none where the schema allows none, and a bad row elsewhere.
#[test]
fn maps_and_odd_numbers_of_parquet() {
    use arrow::array::{ArrayRef, Float64Array, Float64Builder, MapBuilder, RecordBatch, StringBuilder};
    use std::sync::Arc;
    let bench = Bench::new();
    let mut scores = MapBuilder::new(None, StringBuilder::new(), Float64Builder::new());
    for row in [&[("a", 1.0), ("b", f64::NAN)][..], &[], &[("a", 2.0), ("a", 3.0)], &[("a", 4.0)], &[("a", 5.0)]] {
        for (key, value) in row {
            scores.keys().append_value(key);
            scores.values().append_value(*value);
        }
        scores.append(true).unwrap();
    }
    let scores: ArrayRef = Arc::new(scores.finish());
    let n: ArrayRef = Arc::new(Float64Array::from(vec![1.5, f64::NAN, 1.0, f64::INFINITY, 2.5]));
    let batch = RecordBatch::try_from_iter([("scores", scores), ("n", n)]).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    bench.write("a.parquet", &writer.into_inner().unwrap());
    let load = |scores: &str, n: &str| {
        let schema = json!({ "columns": [{ "name": "scores", "type": scores }, { "name": "n", "type": n }] });
        let args = json!({ "path": "a.parquet", "as": schema, "media": null, "bad": "quarantine" });
        bench.run("data.parquet", args, &[]).unwrap()
    };
    let made = load("{ a: Float?, b: Float? }", "Float?");
    let expected = [json!({ "a": 1.0, "b": null }), json!({ "a": null, "b": null }), json!({ "a": 5.0, "b": null })];
    assert_eq!(made.column("scores"), expected);
    assert_eq!(made.column("n"), [json!(1.5), Json::Null, json!(2.5)]);
    let twice = "a.parquet[2]: column `scores`: the map has the key \"a\" twice";
    assert_eq!(told(&made), [twice, "a.parquet[3]: column `n`: is infinite, which no row can hold"]);
    let made = load("Json", "Float");
    assert_eq!(made.column("n"), [1.5, 2.5]);
    let nan = "a.parquet[1]: column `n`: is not a number (NaN); a column of `Float?` takes that for none";
    assert_eq!(told(&made)[0], nan);
}

#[test]
fn leaks_are_found() {
    let bench = Bench::new();
    let long = "one two three four five six seven eight nine ten eleven twelve thirteen";
    let d = rows(
        json!([{ "id": "a", "t": format!("Look: {long} fourteen") }, { "id": "b", "t": "How many lemons are there in the picture? Say it." },
        { "id": "c", "t": "yes" }]),
    );
    let from = rows(
        json!([{ "id": "x", "q": format!("{long}.") }, { "id": "y", "q": "how many lemons are there in the picture" }, { "id": "z", "q": "yes" }]),
    );
    let run = |on: &[&str], which: &str, from: &rbpipe::data::table::Table| {
        let args = json!({ "on": on, "match": which, "distance": 4 });
        let met =
            bench.run("data.disjoint", args.clone(), &[("d", &d), ("from", from)]).unwrap().meta[""]["value"] == true;
        let pairs = bench.run("data.overlap", args, &[("d", &d), ("from", from)]).unwrap();
        assert_eq!(met, pairs.table().rows() == 0);
        pairs
            .column("row")
            .iter()
            .zip(pairs.column("other"))
            .map(|(a, b)| format!("{}{}", a.as_str().unwrap(), b.as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(&["13gram"], "any", &from), ["ax", "by"]);
    assert_eq!(run(&["exact"], "any", &from), [""; 0]);
    assert_eq!(run(&["exact", "13gram"], "any", &d), ["aa", "bb"]);
    assert_eq!(run(&["phash", "13gram"], "all", &d), [""; 0]);
}

#[test]
fn layouts_and_profile() {
    let bench = Bench::new();
    let d = rows(json!([{ "id": "a", "instruction": "Look.", "input": "Where?", "output": "left", "images": [1, 2] }]));
    let to = |to: &str| bench.run("data.layout", json!({ "to": to }), &[("d", &d)]).unwrap();
    assert_eq!(to("alpaca").column("instruction"), ["<image><image>Look."]);
    assert_eq!(
        to("messages").column("messages")[0],
        json!([{ "role": "user", "content": "<image><image>Look.\nWhere?" }, { "role": "assistant", "content": "left" }])
    );
    assert_eq!(to("sharegpt").column("conversations")[0][1], json!({ "from": "gpt", "value": "left" }));
    let pair = rows(json!([{ "prompt": "P", "chosen": "good", "rejected": "bad" }]));
    let dpo = bench.run("data.layout", json!({ "to": "dpo" }), &[("d", &pair)]).unwrap();
    assert_eq!(
        (dpo.column("conversations")[0][0]["value"].as_str(), dpo.column("chosen")[0]["value"].as_str()),
        (Some("P"), Some("good"))
    );
    let sft = bench.run("data.as_sft", json!({ "answer": "rejected" }), &[("pairs", &pair)]).unwrap();
    assert_eq!((sft.column("instruction"), sft.column("output")), (vec![json!("P")], vec![json!("bad")]));
    let report = bench.run("data.profile", json!({ "by": ["source", "id"] }), &[("d", &d)]).unwrap();
    assert_eq!(report.meta[""]["rows"], 1);
}
