//! Tables of scores: what is compared with what over several axes, and where a mean has no interval.

use rbpipe::eval::compare::{Cell, Layout, delta, table};
use rbpipe::eval::coords::{Space, Spread, decide};
use rbpipe::eval::read_points::points;
use rbpipe::eval::runs::fold;
use rbpipe::eval::stored::Stored;
use rbpipe::eval::table_text::{csv, html, latex, markdown};
use rbpipe::eval::total::{Unit, total};
use serde_json::{Value as Json, json};

/// A score whose items are clusters of their own, or one cluster.
fn score(right: &[u8], one_cluster: bool) -> Stored {
    let unit = |(i, s): (usize, &u8)| Unit {
        id: format!("q{i}"),
        rotations: vec![f64::from(*s)],
        cluster: if one_cluster { "scene".into() } else { format!("q{i}") },
        groups: [("half".to_owned(), if i < right.len() / 2 { "first" } else { "second" }.to_owned())].into(),
        ..Unit::default()
    };
    let units: Vec<Unit> = right.iter().enumerate().map(unit).collect();
    let headline = json!({ "verb": "total.micro", "args": {} });
    let e = total(&headline).unwrap().estimate(&units).unwrap();
    let meta = json!({ "value": e.value, "se": e.se, "low": e.low, "high": e.high, "n": e.n, "headline": headline, "chance": 0.5,
                       "interval": e.interval, "clusters": e.clusters, "unparsed": 0.25,
                       "answers": [{ "of": "letter", "n": 40, "unreadable": 10, "bars": [{ "answer": "A", "said": 20, "right": 30, "hit": 10 }] }] });
    Stored { meta, items: vec![String::new(); units.len()], units, ..Stored::default() }
}

fn published(value: f64) -> Stored {
    let meta = json!({ "value": value, "source": "a paper", "headline": "published" });
    Stored { meta, ..Stored::default() }
}

fn layout(of: &[(&str, &[&str])], rest: Json) -> Layout {
    let mut all = json!({ "axes": of.iter().map(|a| a.0).collect::<Vec<_>>(), "labels": of.iter().map(|a| a.1).collect::<Vec<_>>() });
    all.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn cell(labels: &[&str], score: Stored) -> Cell {
    Cell { labels: labels.iter().map(|l| (*l).to_owned()).collect(), score: Ok(score) }
}

#[test]
fn a_column_is_compared_with_the_one_that_shares_its_seed() {
    let axes: &[(&str, &[&str])] = &[("m", &["base", "tuned"]), ("seed", &["1", "2"]), ("b", &["side"])];
    let layout = layout(axes, json!({ "rows": "b", "baseline": "base", "gain": "tuned" }));
    let (bad, good) = ([0, 0, 1, 0, 1, 0, 0, 1], [1, 0, 1, 1, 1, 0, 1, 1]);
    let cells = [
        cell(&["base", "1", "side"], score(&bad, false)),
        cell(&["base", "2", "side"], score(&good, false)),
        cell(&["tuned", "1", "side"], score(&good, false)),
        cell(&["tuned", "2", "side"], score(&good, false)),
    ];
    let made = table(&layout, &cells).unwrap();
    assert_eq!(made.columns, ["base, 1", "base, 2", "tuned, 1", "tuned, 2"]);
    let deltas: Vec<Option<f64>> = made.rows[0].cells.iter().map(|c| c.delta.as_ref().map(|d| d.value)).collect();
    assert_eq!(deltas, [None, None, Some(0.375), Some(0.0)], "each with the baseline of its own seed");
    let gain = made.gain.unwrap();
    let over: Vec<Option<f64>> = gain.over.iter().map(|g| g.as_ref().map(|g| g.difference.value)).collect();
    assert_eq!((gain.of.as_str(), over), ("tuned", vec![Some(0.375), Some(0.0), None, None]));
}

#[test]
fn a_row_of_one_cluster_leaves_the_mean_without_an_interval() {
    let axes: &[(&str, &[&str])] = &[("m", &["base", "tuned"]), ("b", &["many", "one"])];
    let layout = layout(axes, json!({ "rows": "b", "cols": "m", "baseline": "base", "gain": "tuned" }));
    let (bad, good) = ([0, 0, 1, 0, 1, 0, 0, 1], [1, 0, 1, 1, 1, 0, 1, 1]);
    let cells = [
        cell(&["base", "many"], score(&bad, false)),
        cell(&["tuned", "many"], score(&good, false)),
        cell(&["base", "one"], score(&bad, true)),
        cell(&["tuned", "one"], score(&good, true)),
    ];
    let made = table(&layout, &cells).unwrap();
    let mean = made.means[1].clone().unwrap();
    assert_eq!((mean.value, mean.se, mean.delta), (0.75, None, Some((0.375, None, None))));
    let gained = made.gain.as_ref().unwrap().over[0].clone().unwrap();
    assert_eq!((gained.difference.low, gained.difference.high, gained.difference.p), (-1.0, 1.0, 1.0));
    let text = markdown(&made);
    assert!(text.contains("| mean | 37.5 (no interval) | 75.0 (no interval) ▲+37.5 |"), "{text}");
}

#[test]
fn published_numbers_have_no_error_and_take_no_row_from_what_was_measured() {
    let axes: &[(&str, &[&str])] = &[("m", &["ours", "whole", "part"]), ("b", &["one", "two"])];
    let layout = layout(axes, json!({ "rows": "b", "cols": "m" }));
    let ours = [1, 0, 1, 1, 1, 0, 1, 1];
    let mut cells = vec![
        cell(&["ours", "one"], score(&ours, false)),
        cell(&["ours", "two"], score(&ours, false)),
        cell(&["whole", "one"], published(0.5)),
        cell(&["whole", "two"], published(0.6)),
        cell(&["part", "one"], published(0.7)),
    ];
    cells.push(Cell { labels: vec!["part".into(), "two".into()], score: Err("not published".into()) });
    let made = table(&layout, &cells).unwrap();
    assert!(made.left_out.is_empty(), "{:?}", made.left_out);
    let text = markdown(&made);
    let mean = text.lines().find(|l| l.starts_with("| mean |")).unwrap();
    assert!(mean.contains("| 75.0 ±") && mean.contains("| 55.0 † | – |"), "{mean}");
    let header = csv(&made).lines().next().unwrap().split(',').count();
    assert!(csv(&made).lines().all(|line| line.split(',').count() == header), "{}", csv(&made));
}

/// Two models by three seeds by two benchmarks; one cell of the second model failed.
fn seeds() -> (Layout, Vec<Cell>) {
    let axes: &[(&str, &[&str])] = &[("m", &["base", "tuned"]), ("seed", &["1", "2", "3"]), ("b", &["side", "near"])];
    let layout = layout(axes, json!({ "rows": "b", "cols": "m", "baseline": "base", "gain": "tuned", "see": 0.05 }));
    let right = |n: usize| -> Vec<u8> { (0..40).map(|i| u8::from(i * 7 % 40 < n)).collect() };
    let mut cells = Vec::new();
    for (m, base) in [("base", 16), ("tuned", 24)] {
        for (seed, more) in [("1", 0), ("2", 2), ("3", 4)] {
            cells.push(cell(&[m, seed, "side"], score(&right(base + more), false)));
            cells.push(cell(&[m, seed, "near"], score(&right(base + 4 - more), false)));
        }
    }
    cells[11].score = Err("out of memory".to_owned());
    (layout, cells)
}

/// Scores of seeds as one: their mean, their spread, and an interval that is wider than that of a seed alone, in every form of the table.
#[test]
fn a_sweep_over_seeds_is_mean_and_spread() {
    let (layout, cells) = seeds();
    let (layout, folded) = fold(&layout, cells, &["seed".to_owned()]).unwrap();
    let made = table(&layout, &folded).unwrap();
    assert_eq!(
        (made.columns.as_slice(), made.over.as_slice()),
        (&["base".to_owned(), "tuned".to_owned()][..], &["seed".to_owned()][..])
    );
    let side = &made.rows[0].cells;
    assert!((side[0].value.unwrap() - 0.45).abs() < 1e-12 && (side[1].value.unwrap() - 0.65).abs() < 1e-12);
    let runs = side[0].runs.clone().unwrap();
    assert_eq!((runs.n, runs.of, runs.sd.map(|sd| (1e6 * sd).round())), (3, 3, Some(50_000.0)), "0.40, 0.45, 0.50");
    assert_eq!(runs.values.iter().map(|v| v.0.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    let alone = score(&(0..40).map(|i| u8::from(i * 7 % 40 < 18)).collect::<Vec<_>>(), false);
    let width = |cell: &rbpipe::eval::compare::ScoreCell| cell.high.unwrap() - cell.low.unwrap();
    assert!(width(&side[0]) > alone.meta["high"].as_f64().unwrap() - alone.meta["low"].as_f64().unwrap());
    let delta = side[1].delta.clone().unwrap();
    assert!((delta.value - 0.2).abs() < 1e-12 && delta.test == "t over runs", "{delta:?}");
    // A seed that failed is left out of both sides of the difference, and told.
    let near = &made.rows[1].cells[1];
    assert_eq!(near.runs.clone().map(|r| (r.n, r.of)), Some((2, 3)));
    assert!((near.delta.clone().unwrap().value - 0.2).abs() < 1e-12, "{:?}", near.delta);
    // In the mean over rows the seeds cancel here: side rises where near falls.
    let mean = made.means[0].clone().unwrap();
    assert!(mean.runs.unwrap().sd.unwrap() < 1e-12 && mean.half.is_some());

    // Groups and answers are those of all runs.
    let (of, facts) = (&folded[0].labels, &folded[0].score.as_ref().unwrap().meta);
    let group = &facts["groups"]["half"]["first"];
    assert_eq!(
        (of.join("|"), group["n"].as_u64(), group["interval"].as_str()),
        ("base|side".into(), Some(20), Some("runs"))
    );
    assert!(group["low"].as_f64() < group["value"].as_f64() && group["value"].as_f64() < group["high"].as_f64());
    assert_eq!(facts["answers"][0]["n"], 120);
    assert_eq!(facts["answers"][0]["bars"], json!([{ "answer": "A", "said": 60, "right": 90, "hit": 30 }]));

    let text = markdown(&made);
    assert!(
        text.contains("45.0 ±") && text.contains("(sd 5.0, 3 runs)") && text.contains("(sd 3.5, 2 of 3 runs)"),
        "{text}"
    );
    assert!(
        text.contains("± covers other questions and other runs") && text.contains("mean of its runs over seed"),
        "{text}"
    );
    assert!(html(&made).contains("(sd 5.0, 3 runs)") && latex(&made).contains("(sd 5.0, 3 runs)"));
    let lines: Vec<Vec<String>> = csv(&made).lines().map(|l| l.split(',').map(str::to_owned).collect()).collect();
    let column = |name: &str| lines[0].iter().position(|n| n == name).unwrap();
    assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{lines:?}");
    assert_eq!((lines[1][column("runs")].as_str(), lines[1][column("covers")].as_str()), ("3", "questions and runs"));
    assert!(lines[1][column("runs_sd")].starts_with("0.05") || lines[1][column("runs_sd")].starts_with("0.04999"));
    let back: rbpipe::eval::compare::ScoreTable = serde_json::from_value(serde_json::to_value(&made).unwrap()).unwrap();
    assert_eq!(back, made);
}

/// A second seed that says the same adds nothing to what is known of other questions.
#[test]
fn a_question_asked_under_two_seeds_is_one_question() {
    let two: &[(&str, &[&str])] = &[("m", &["base", "tuned"]), ("seed", &["1", "2"])];
    let right = |n: usize| -> Vec<u8> { (0..40).map(|i| u8::from(i * 7 % 40 < n)).collect() };
    let scored = |m: &str, seed: &str| cell(&[m, seed], score(&right(if m == "base" { 16 } else { 24 }), false));
    let cells = [scored("base", "1"), scored("base", "2"), scored("tuned", "1"), scored("tuned", "2")];
    let both = delta(&layout(two, json!({})), &cells, "base", "tuned").unwrap();
    let one: &[(&str, &[&str])] = &[("m", &["base", "tuned"]), ("seed", &["1"])];
    let alone = delta(&layout(one, json!({})), &[cells[0].clone(), cells[2].clone()], "base", "tuned").unwrap();
    assert!((both.value - alone.value).abs() < 1e-12 && (both.se / alone.se - 1.0).abs() < 1e-9, "{both:?} {alone:?}");
    assert!(both.high - both.low > 0.99 * (alone.high - alone.low), "{both:?} {alone:?}");
}

/// The same model twice, in every column and seed: nothing moves, nothing is starred.
#[test]
fn a_model_against_itself_is_no_difference() {
    let (mut layout, mut cells) = seeds();
    for i in 0..6 {
        cells[i + 6].score = cells[i].score.clone();
    }
    for over in [vec![], vec!["seed".to_owned()]] {
        layout.cols = (!over.is_empty()).then(|| "m".to_owned());
        let (layout, cells) = match over.is_empty() {
            true => (layout.clone(), cells.clone()),
            false => fold(&layout, cells.clone(), &over).unwrap(),
        };
        let made = table(&layout, &cells).unwrap();
        let compared: Vec<_> = made.rows.iter().flat_map(|r| &r.cells).filter(|c| c.delta.is_some()).collect();
        assert_eq!(compared.len(), if over.is_empty() { 6 } else { 2 });
        for cell in compared {
            let d = cell.delta.clone().unwrap();
            assert_eq!((d.value, d.low, d.high, cell.adjusted), (0.0, 0.0, 0.0, Some(1.0)), "{d:?}");
        }
        let text = markdown(&made);
        assert!(!text.lines().any(|l| l.starts_with('|') && l.contains('*')), "{text}");
    }
}

#[test]
fn axes_that_cannot_be_averaged_over_are_named() {
    for (over, words) in [("sead", "no axis `sead`"), ("b", "cannot be averaged over and laid out too")] {
        let (layout, cells) = seeds();
        let error = fold(&layout, cells, &[over.to_owned()]).map(|_| ()).unwrap_err();
        assert!(error.code == "E0604" && error.message.contains(words), "{error:?}");
    }
    let (layout, mut cells) = seeds();
    cells[0].score.as_mut().unwrap().items[3] = "another question".to_owned();
    let (_, folded) = fold(&layout, cells, &["seed".to_owned()]).unwrap();
    let hole = folded[0].score.as_ref().map(|_| ()).unwrap_err();
    assert!(hole.contains("different questions"), "{hole}");
}

/// How many questions a difference of 5 points needs: four times as many for half of it.
#[test]
fn a_table_says_what_it_could_see() {
    let axes: &[(&str, &[&str])] = &[("m", &["base", "tuned"]), ("b", &["side"])];
    let rest = |baseline: Json, see: f64| {
        json!({ "rows": "b", "cols": "m", "baseline": baseline, "see": see,
                      "show": ["ci", "n", "detectable"] })
    };
    let right = |n: usize| -> Vec<u8> { (0..40).map(|i| u8::from(i * 7 % 40 < n)).collect() };
    let cells =
        || [cell(&["base", "side"], score(&right(20), false)), cell(&["tuned", "side"], score(&right(26), false))];
    // Theory: 2.80·sqrt(2·¼·½/40) = 22.1 points.
    let plain = table(&layout(axes, rest(Json::Null, 0.05)), &cells()).unwrap();
    let least = plain.rows[0].detectable.unwrap();
    assert!((least - 2.80 * (0.25_f64 / 40.0).sqrt()).abs() < 1e-12, "{least}");
    assert_eq!(plain.rows[0].needed, Some((40.0 * (least / 0.05).powi(2)).ceil() as u64));
    // Measured: 6 of 40 moved, so the standard error of the mean difference is what they say.
    let measured = table(&layout(axes, rest(json!("base"), 0.025)), &cells()).unwrap();
    let se = measured.rows[0].cells[1].delta.clone().unwrap().se;
    assert!((measured.rows[0].detectable.unwrap() - 2.80 * se).abs() < 1e-12 && se > 0.0);
    let twice = table(&layout(axes, rest(json!("base"), 0.05)), &cells()).unwrap();
    let ratio = measured.rows[0].needed.unwrap() as f64 / twice.rows[0].needed.unwrap() as f64;
    assert!((3.9..=4.1).contains(&ratio), "{ratio}");
    let text = markdown(&measured);
    assert!(text.contains("| detects | n for 2.5 |") && text.contains("80 % power"), "{text}");
}

/// An interval over few clusters bears a mark, and the legend says why.
#[test]
fn few_clusters_are_marked() {
    let axes: &[(&str, &[&str])] = &[("m", &["base"]), ("b", &["many", "few"])];
    let mut few = score(&[1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0], false);
    few.units.iter_mut().enumerate().for_each(|(i, u)| u.cluster = format!("scene {}", i % 3));
    let e = total(&few.meta["headline"]).unwrap().estimate(&few.units).unwrap();
    (few.meta["clusters"], few.meta["interval"]) = (json!(e.clusters), json!(e.interval));
    let many = score(&[1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0], false);
    let cells = [cell(&["base", "many"], many), cell(&["base", "few"], few)];
    let text = markdown(&table(&layout(axes, json!({ "rows": "b", "cols": "m" })), &cells).unwrap());
    let line = |name: &str| text.lines().find(|l| l.starts_with(&format!("| {name} |"))).unwrap().to_owned();
    assert!(line("few").contains('‡') && !line("many").contains('‡') && text.contains("‡ fewer than 10"), "{text}");
}

/// Replies of a run, what their numbers are taken for, and the share that is written otherwise.
const SPACES: &[(&[(usize, &str)], Space, f64)] = &[
    (&[(1, "(2000, 1)"), (29, "(0.5, 0.25)")], Space::Unit, 1.0 / 30.0),
    (&[(15, "(0.5, 0.25)"), (15, "(320, 200)")], Space::Unit, 0.5),
    (&[(3, "(0.5, 0.25)"), (20, "(320, 200)")], Space::PixelOriginal, 3.0 / 23.0),
    (&[(30, r#"{"point_2d": [500, 250]}"#)], Space::Norm1000, 0.0),
    (&[(10, r#"{"point_2d": [500, 250]}"#), (10, r#"{"point_2d": [1500, 250]}"#)], Space::PixelOriginal, 0.0),
    (&[(4, "(0, 1)")], Space::Unit, 0.0),
    (&[], Space::Unit, 0.0),
];

#[test]
fn most_replies_decide_what_their_numbers_mean() {
    for (replies, space, strange) in SPACES {
        let all = replies.iter().flat_map(|(n, reply)| std::iter::repeat_n(points(reply, false, false).unwrap().0, *n));
        let all: Vec<_> = all.collect();
        let found = decide(all.iter());
        let share = Spread::of(all.iter()).strange(found);
        assert!((found, (share - strange).abs() < 1e-12) == (*space, true), "{replies:?}: {found:?}, {share}");
    }
}
