//! Tables of scores: what is compared with what over several axes, and where a mean has no interval.

use rbpipe::eval::compare::{Cell, Layout, table};
use rbpipe::eval::coords::{Space, Spread, decide};
use rbpipe::eval::read_points::points;
use rbpipe::eval::score::Stored;
use rbpipe::eval::table_text::{csv, markdown};
use rbpipe::eval::total::{Unit, total};
use serde_json::{Value as Json, json};

/// A score whose items are clusters of their own, or one cluster.
fn score(right: &[u8], one_cluster: bool) -> Stored {
    let unit = |(i, s): (usize, &u8)| Unit {
        id: format!("q{i}"),
        rotations: vec![f64::from(*s)],
        cluster: if one_cluster { "scene".into() } else { format!("q{i}") },
        ..Unit::default()
    };
    let units: Vec<Unit> = right.iter().enumerate().map(unit).collect();
    let headline = json!({ "verb": "total.micro", "args": {} });
    let e = total(&headline).unwrap().estimate(&units).unwrap();
    let meta = json!({ "value": e.value, "se": e.se, "low": e.low, "high": e.high, "n": e.n, "headline": headline, "chance": 0.5 });
    Stored { meta, items: vec![String::new(); units.len()], units }
}

fn published(value: f64) -> Stored {
    let meta = json!({ "value": value, "source": "a paper", "headline": "published" });
    Stored { meta, units: Vec::new(), items: Vec::new() }
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
