//! Operators over rows some at a time: the same result however the rows come.

use std::collections::{BTreeMap, BTreeSet};

use rbpipe::data::chunks;
use rbpipe::data::dedup::leak::{Compared, Leak, Sign, leaks};
use rbpipe::data::profile::Profile;
use rbpipe::data::table::Table;
use serde_json::{Value as Json, json};

use crate::bench::{Bench, rows};
use crate::workbench::Draw;

/// Cuts rows into parts that know which rows come before them.
fn parts(table: &Table, of: usize) -> Vec<Table> {
    (0..table.rows()).step_by(of).map(|from| table.slice(from, of.min(table.rows() - from))).collect()
}

/// Rows with texts of 4 to 30 words; some have a run of words, or the beginning of one, that others have too.
fn worded(count: usize, runs: &[String], draw: &mut Draw) -> Vec<Json> {
    let row = |n: usize| {
        let own: Vec<String> = (0..4 + draw.below(12)).map(|_| format!("w{}", draw.below(4000))).collect();
        let text = match draw.below(4) {
            0 => format!("{} {}", runs[draw.below(12)], own.join(" ")),
            1 => runs[draw.below(12)].split_inclusive(' ').take(8 + draw.below(5)).collect(),
            _ => own.join(" "),
        };
        json!({ "id": format!("r{n}"), "t": text, "more": [own[0], runs[draw.below(12)]] })
    };
    (0..count).map(row).collect()
}

/// Hashes held all at once or a few at a time, rows that come together or in parts, the larger set on either side: the same pairs, and those that a
/// look at each pair finds.
#[test]
fn leaks_are_the_same_however_rows_come() {
    let bench = Bench::new();
    let draw = &mut Draw(11);
    let words = ["red", "cube", "left", "of", "the", "mug"];
    let runs: Vec<String> = (0..12).map(|_| (0..15).map(|_| draw.one(&words)).collect::<Vec<_>>().join(" ")).collect();
    let (many, few) = (worded(120, &runs, draw), worded(30, &runs, draw));
    let texts = |row: &Json| -> Vec<Vec<String>> {
        let all = [&row["t"], &row["more"][0], &row["more"][1]];
        all.iter()
            .map(|t| t.as_str().unwrap().split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect())
            .collect()
    };
    let share = |a: &[String], b: &[String]| match (a.len(), b.len()) {
        (8.., 8..) => {
            let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
            // A short text counts whole; two longer ones share a run of 13.
            let run = short.len().min(13);
            short.windows(run).any(|w| long.windows(run).any(|v| v == w))
        }
        _ => false,
    };
    let same = |a: &[String], b: &[String]| a.len() >= 8 && a == b;
    let (d, from) = (rows(Json::Array(many.clone())), rows(Json::Array(few.clone())));
    let find = |d: &Table, from: &Table, all: bool, held: usize, of: usize| -> Vec<Leak> {
        let how = Compared { signs: BTreeSet::from([Sign::Words, Sign::Text]), all, distance: 4, held };
        let (d, from) = (parts(d, of), parts(from, of));
        leaks(|| Ok(d.iter().cloned().map(Ok)), || Ok(from.iter().cloned().map(Ok)), &how, bench.store()).unwrap()
    };
    for (d, from, ours, theirs) in [(&d, &from, &many, &few), (&from, &d, &few, &many)] {
        let whole = find(d, from, false, usize::MAX, 1000);
        let mut expected = Vec::new();
        for (row, other) in (0..ours.len()).flat_map(|a| (0..theirs.len()).map(move |b| (a, b))) {
            let (a, b) = (texts(&ours[row]), texts(&theirs[other]));
            let any = |test: &dyn Fn(&[String], &[String]) -> bool| a.iter().any(|a| b.iter().any(|b| test(a, b)));
            let shown = [(Sign::Words, any(&share)), (Sign::Text, any(&same))];
            let signs: Vec<Sign> = shown.into_iter().filter(|s| s.1).map(|s| s.0).collect();
            if !signs.is_empty() {
                expected.push(Leak { row: row as u32, other: other as u32, signs });
            }
        }
        assert_eq!(whole, expected);
        assert!(expected.iter().any(|l| l.signs.len() == 2) && expected.iter().any(|l| l.signs.len() == 1));
        for (held, of) in [(usize::MAX, 7), (20_000, 7), (6000, 1000), (2000, 50)] {
            assert_eq!(find(d, from, false, held, of), whole, "{held} bytes of hashes, {of} rows at a time");
        }
        let both: Vec<Leak> = whole.into_iter().filter(|l| l.signs.len() == 2).collect();
        assert_eq!(find(d, from, true, 6000, 9), both);
    }
}

/// Two rows that share two pictures show one sign, not two.
#[test]
fn pictures_that_are_shared_twice_are_one_sign() {
    let bench = Bench::new();
    let side = |n: u32| {
        let file = format!("{n}.png");
        let picture =
            image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * n) as u8, (y * 9) as u8, (x * y * n) as u8]));
        picture.save(bench.folder().join(&file)).unwrap();
        file
    };
    let (a, b) = (side(3), side(17));
    bench.write("rows.jsonl", json!({ "id": "x", "t": "Look.", "images": [a, b] }).to_string().as_bytes());
    let schema = json!({ "columns": [{ "name": "id", "type": "Str" }, { "name": "t", "type": "Str" }, { "name": "images", "type": "[Image]" }] });
    let d = bench
        .run("data.jsonl", json!({ "path": "rows.jsonl", "as": schema, "media": null, "bad": "fail" }), &[])
        .unwrap();
    let run = |on: &[&str], which: &str| {
        let args = json!({ "on": on, "match": which, "distance": 4 });
        bench.run("data.overlap", args, &[("d", d.table()), ("from", d.table())]).unwrap().column("why")
    };
    assert_eq!(run(&["phash"], "any"), [json!("phash")]);
    assert_eq!(run(&["phash", "13gram"], "all"), [json!(null); 0]);
}

/// What is told of rows does not depend on how many come at a time, and is what is known of them.
#[test]
fn a_profile_is_the_same_however_rows_come() {
    let tiers = ["low", "high"];
    let picture =
        |n: usize| json!({ "digest": format!("{:064x}", n % 5), "width": 10 * (1 + n as i64 % 3), "height": 20 });
    let row = |n: usize| {
        let t = if n % 10 == 9 { json!(null) } else { json!("x".repeat(1 + n % 100)) };
        json!({ "id": format!("r{n}"), "t": t, "tier": tiers[n % 2], "n": n, "f": n as f64 / 7.0, "images": [picture(n)] })
    };
    let d = rows((0..1000).map(row).collect());
    let by = ["tier".to_owned(), "gone".to_owned()];
    let told = |of: usize| {
        let mut profile = Profile::new(&by);
        let count = |text: &str| Ok(text.len() / 2);
        parts(&d, of).iter().for_each(|part| profile.add(part, Some(&count)).unwrap());
        profile.to_json()
    };
    let whole = told(1000);
    for of in [1, 7, 999] {
        assert_eq!(told(of).to_string(), whole.to_string(), "{of} rows at a time");
    }
    assert_eq!((&whole["rows"], &whole["by"]), (&json!(1000), &json!({ "tier": { "low": 500, "high": 500 } })));
    let t = &whole["columns"]["t"];
    // Of each 100 lengths those that end in 0 are absent: 90 different texts, each ten times.
    assert_eq!((&t["absent"], &t["distinct"]), (&json!(100), &json!(90)));
    assert_eq!(
        (&t["characters"]["min"], &t["characters"]["p50"], &t["characters"]["max"]),
        (&json!(1.0), &json!(49.0), &json!(99.0))
    );
    assert_eq!(t["tokens"]["max"], 49.0);
    assert_eq!(t["characters"]["histogram"].as_array().unwrap().iter().filter_map(Json::as_u64).sum::<u64>(), 900);
    let n = &whole["columns"]["n"]["values"];
    assert_eq!((&n["mean"], &n["p25"], &n["p95"]), (&json!(499.5), &json!(249.0), &json!(949.0)));
    // The sum of the numbers in order, bit by bit.
    let sum: f64 = (0..1000).map(|n| f64::from(n) / 7.0).sum();
    assert_eq!(whole["columns"]["f"]["values"]["mean"].as_f64().map(f64::to_bits), Some((sum / 1000.0).to_bits()));
    let sizes = json!({ "10 x 20": 334, "20 x 20": 333, "30 x 20": 333 });
    assert_eq!(
        (&whole["columns"]["images"]["pictures"]["distinct"], &whole["columns"]["images"]["pictures"]["sizes"]),
        (&json!(5), &sizes)
    );
    // Rows repeat the texts of another where text and tier agree: 90 texts and none, with one tier each, but for none in two.
    let texts: BTreeSet<(usize, usize)> =
        (0..1000).map(|n| (if n % 10 == 9 { 0 } else { 1 + n % 100 }, n % 2)).collect();
    assert_eq!(whole["rows with the texts of another"], 1000 - texts.len());
}

/// Votes are counted over all rows, also those of other chunks.
#[test]
fn conflicts_are_found_across_chunks() {
    let mut bench = Bench::new();
    let total = chunks::ROWS + 3000;
    let draw = &mut Draw(5);
    let answers = ["one", "two", "three"];
    let said: Vec<(usize, usize)> = (0..total).map(|n| (n % 20_011, draw.below(3))).collect();
    let row = |n: usize, (q, a): (usize, usize)| json!({ "id": n.to_string(), "q": format!("What is {q}?"), "a": answers[a] });
    let d = rows(said.iter().enumerate().map(|(n, said)| row(n, *said)).collect());
    let mut votes: BTreeMap<(usize, usize), i64> = BTreeMap::new();
    said.iter().for_each(|said| *votes.entry(*said).or_default() += 1);
    let count = |q: usize, a: usize| votes.get(&(q, a)).copied().unwrap_or(0);
    let stays = |&(q, a): &(usize, usize)| (0..3).all(|other| other == a || count(q, other) < count(q, a));
    let kept: Vec<usize> = (0..total).filter(|n| stays(&said[*n])).collect();
    for threads in [1, 2] {
        bench.threads = threads;
        let args = json!({ "question": ["q"], "answer": "a", "within": [], "image_distance": 4, "similar": 1.0, "shingle": 2, "contrast": 0,
            "keep": "majority", "normalise": true });
        let made = bench.run("filter.conflict", args, &[("d", &d)]).unwrap();
        assert_eq!(made.ids(), kept.iter().map(usize::to_string).collect::<Vec<_>>());
        let own: Vec<Json> = kept.iter().map(|n| json!(count(said[*n].0, said[*n].1))).collect();
        assert_eq!(made.column("votes"), own);
        assert_eq!(made.fates.len(), total - kept.len());
    }
}

/// A model may give no number; whichever end is best, such a row is never among the best.
#[test]
fn scores_that_are_no_numbers_are_none() {
    use rbpipe::engine::{Builtin, Context, Outputs};
    use rbpipe::ops::filter::scored::{Best, Selection, keep};
    fn run(cx: &mut Context) -> Result<Outputs, rbpipe::base::OpError> {
        let selection: Selection = cx.args()?;
        let best = if cx.args["best"] == "low" { Best::Lowest } else { Best::Highest };
        let table = cx.table("d")?;
        let said = [f64::NAN, 2.0, -f64::NAN, 1.0].map(Ok).into_iter().chain([Err("it is too long".to_owned())]);
        keep(cx, &table, "score", &selection, best, None, |_, chosen| Ok(said.take(chosen.len()).collect()))
    }
    static SCORED: Builtin = Builtin { spec: rbpipe::spec::OpSpec::BASE, run: Some(run) };
    let bench = crate::workbench::Workbench::new();
    let d = rows(json!([{ "id": "a" }, { "id": "b" }, { "id": "c" }, { "id": "d" }, { "id": "e" }]));
    for (keep, best, kept) in [
        (json!({ "top": 1 }), "low", json!([1.0])),
        (json!({ "top": 1 }), "high", json!([2.0])),
        (json!({ "top": 4 }), "high", json!([2.0, 1.0])),
        (json!({ "from": 1.5, "to": null }), "high", json!([2.0])),
    ] {
        let made = bench.run(&SCORED, json!({ "keep": keep, "best": best }), &[("d", &d)]).unwrap();
        assert_eq!(json!(crate::workbench::column(&made.table, "score")), kept, "{keep} {best}");
        let why: Vec<&str> =
            made.fates.iter().filter(|f| ["a", "c", "e"].contains(&f.row.as_str())).map(|f| f.why.as_str()).collect();
        assert_eq!(why, ["score is not a number", "score is not a number", "it is too long"]);
        assert_eq!(made.counts["dropped: no score"], 3);
    }
}
