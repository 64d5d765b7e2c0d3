//! Golden vectors of the readers and marks.

use rbpipe::eval::coords::{Coords, Space, smart_resize};
use rbpipe::eval::marker::mra;
use rbpipe::eval::numerals::NumberForm;
use rbpipe::eval::polygon::{PolygonRule, inside, parse};
use rbpipe::eval::read_choice::{choice, choice_backtick, choice_flagevalmm};
use rbpipe::eval::read_choices::choices;
use rbpipe::eval::read_number::{number, number_flagevalmm};
use rbpipe::eval::read_points::{points, points_flagevalmm};
use rbpipe::eval::read_text::{plain, text};
use rbpipe::eval::read_yes_no::{YesNoMode, yes_no};
use rbpipe::eval::similarity::ratio;
use rbpipe::eval::strip::strip;

fn options(n: usize) -> Vec<String> {
    ["left", "right", "above", "below", "near", "far"][..n].iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn choice_as_flagevalmm() {
    for (reply, want) in [
        ("A", "A"),
        ("a", "A"),
        ("B.", "B"),
        ("(B)", "B"),
        ("B. left", "B"),
        ("The answer is (C).", "C"),
        ("**Answer:** C", "C"),
        ("Answer: A. The cup is on the left", "A"),
        ("I think it is B", "B"),
        ("\\boxed{D}", "D"),
        ("`C`", "C"),
        ("答案：C", "C"),
        ("Answer: North (A)", "A"),
        ("The correct option is C because Option A is wrong", "C"),
        ("Looking at the image, B is closest", "L"),
        ("Option B", "O"),
        ("Answer: b", ""),
        ("Answer: I", ""),
        ("<answer>B</answer>", ""),
        ("B\nExplanation: the answer above", ""),
        ("Let us choose A. Answer A is right. However B", "A"),
        ("Error code 400", "E"),
    ] {
        assert_eq!(choice_flagevalmm(reply).map(String::from).unwrap_or_default(), want, "{reply}");
    }
}

#[test]
fn choice_robust() {
    for (reply, want) in [
        ("A", "A"),
        ("a", "A"),
        ("B.", "B"),
        ("(B)", "B"),
        ("B. left", "B"),
        ("The answer is (C).", "C"),
        ("**Answer:** C", "C"),
        ("Answer: A. The cup is on the left", "A"),
        ("I think it is B", "B"),
        ("\\boxed{D}", "D"),
        ("`C`", "C"),
        ("答案：C", "C"),
        ("Answer: North (A)", "A"),
        ("The correct option is C because Option A is wrong", "C"),
        ("Looking at the image, B is closest", "B"),
        ("Option B", "B"),
        ("Answer: b", "B"),
        ("Answer: I", ""),
        ("<answer>B</answer>", "B"),
        ("<think>A or B? A.</think><answer>B</answer>", "B"),
        ("<think>A", ""),
        ("B\nExplanation: the answer above", "B"),
        ("Error code 400", ""),
        ("", ""),
        ("E", ""),
        ("A\nB", "B"),
        ("the right one", "B"),
        ("It is right, not left", ""),
        ("A cup is left of it", "A"),
        ("```\nC\n```", "C"),
    ] {
        let got = choice(reply, &options(4)).map(|(c, _)| c.to_string()).unwrap_or_default();
        assert_eq!(got, want, "{reply}");
    }
    assert_eq!(choice_backtick("I say ``C``, not `A`", &options(4)).map(|c| c.0), Some('C'));
}

#[test]
fn several_letters() {
    for (reply, want, rule) in [
        ("ABD", "ABD", "letters"),
        ("A, b and D", "ABD", "letters"),
        ("(C)/(A)", "AC", "letters"),
        ("<think>B?</think><answer>B</answer>", "B", "letters"),
        ("Both A and C.", "AC", "letters"),
        ("It holds water.\nAnswers: A, C", "AC", "labelled"),
        ("The correct options are B and D.", "BD", "labelled"),
        ("答案：AC", "AC", "labelled"),
        ("So it is \\boxed{A, D} here", "AD", "boxed"),
        ("I look at each of them.\nB D", "BD", "last_line"),
        ("A. the cup\nC. the mug", "AC", "listed"),
        ("A, E", "", ""),
        ("bad", "", ""),
        ("none of them", "", ""),
        ("A is right but B is not", "", ""),
        ("", "", ""),
    ] {
        assert_eq!(choices(reply, &options(4)).unwrap_or_default(), (want.to_owned(), rule), "{reply}");
    }
}

#[test]
fn stripping_twice_changes_nothing() {
    for reply in [
        "<think>x</think> B",
        "<answer><think>a</think>b</answer>",
        "```json\n[1]\n```",
        "B</answer>",
        "<thought>open",
        " x ",
    ] {
        let once = strip(reply);
        assert_eq!(strip(&once), once, "{reply}");
    }
    assert_eq!(strip("reasoning</think>\n<answer>B</answer>"), "B");
}

/// No reader panics on odd text, and none names an option that is not there.
#[test]
fn odd_replies() {
    for reply in [
        "🦀",
        "Answer:",
        "((((",
        "[[[[",
        "<point x=",
        "答案",
        "-",
        "1/0",
        "9e999",
        "(1,2,3)",
        "\u{0}",
        "Answer: 𝔸",
        "İ",
        "{\"point\": [1]}",
    ] {
        assert!(choice(reply, &options(2)).is_none_or(|(c, _)| c <= 'B'));
        let _ = (
            choice_backtick(reply, &options(2)),
            choice_flagevalmm(reply),
            points(reply, true, false),
            text(reply, true, false),
        );
        let _ = (
            number_flagevalmm(reply),
            points_flagevalmm(reply, 10, 10, true),
            yes_no(reply, YesNoMode::LastLineStartsWith),
        );
        let form = NumberForm { words: true, signed: true, thousands: true };
        assert!(number(reply, form).is_none_or(|(n, _)| n.is_finite()));
    }
}

#[test]
fn numbers() {
    let form = NumberForm { words: true, signed: true, thousands: true };
    for (reply, want) in [
        ("3", Some(3.0)),
        ("Answer: 1,200 mm", Some(1200.0)),
        ("There are 2 cups.\nAnswer: 3", Some(3.0)),
        ("Answer: 3 or 4", None),
        ("-2.5", Some(-2.5)),
        ("three", Some(3.0)),
        ("twenty-three apples", Some(23.0)),
        ("one hundred and five", Some(105.0)),
        ("two thousand", Some(2000.0)),
        ("1/2", Some(0.5)),
        ("about 3.5 m", Some(3.5)),
        ("none", None),
        ("", None),
        ("<think>5</think>7", Some(7.0)),
    ] {
        assert_eq!(number(reply, form).map(|(n, _)| n), want, "{reply}");
    }
    for (reply, want) in [("-3", 3.0), ("1,200", 1.0), ("three cups", 3.0), ("many", 0.0), ("Answer: 4.5", 4.5)] {
        assert_eq!(number_flagevalmm(reply), want, "{reply}");
    }
}

#[test]
fn yes_and_no() {
    use YesNoMode::{LabelledThenOnlyOne, LastLineStartsWith, OnlyOne, StartsWith};
    for (reply, mode, want) in [
        ("The mug fits.\nAnswer: yes", LabelledThenOnlyOne, Some(true)),
        ("No, it is not. There is no room.", LabelledThenOnlyOne, Some(false)),
        ("yes or no", LabelledThenOnlyOne, None),
        ("Yes, it does", StartsWith, Some(true)),
        ("I say yes", StartsWith, None),
        ("It fits.\nyes", LastLineStartsWith, Some(true)),
        ("nothing", OnlyOne, None),
    ] {
        assert_eq!(yes_no(reply, mode).map(|(b, _)| b), want, "{reply}");
    }
}

#[test]
fn texts() {
    assert_eq!(plain(" Three. ", true, false), "3");
    assert_eq!(text("Reasoning.\nAnswer: The Mug.", false, false).map(|t| t.0).as_deref(), Some("the mug"));
    for (a, b, want) in [
        ("no", "not", 0.80),
        ("12", "120", 0.80),
        ("7", "17", 0.667),
        ("Yes", "yes", 0.667),
        ("downhill", "Downhill", 0.875),
        ("Three", "3", 0.0),
    ] {
        assert!((ratio(a, b) - want).abs() < 1e-3, "{a} {b}: {}", ratio(a, b));
    }
}

#[test]
fn points_as_flagevalmm() {
    for (reply, want) in [
        ("[(0.5, 0.75)]", vec![(320, 360)]),
        ("[(320, 240)]", vec![(320, 240)]),
        ("[(1, 0)]", vec![(1, 0)]),
        ("[(0, 0.5)]", vec![(0, 240)]),
        ("[(1.0, 1.0)]", vec![(640, 480)]),
        ("[(320.5, 240)]", vec![(205_120, 115_200)]),
        ("[(500, 500)]", vec![(500, 500)]),
        ("[[0.5,0.5]]", vec![]),
        ("[( 0.5, 0.5)]", vec![]),
        ("(0.5 , 0.5)", vec![]),
        ("(.5,.5)", vec![]),
        ("(50%, 20%)", vec![]),
        ("[{\"point_2d\": [5, 5]}]", vec![]),
        ("[(0.5, 0.5)]\nso there", vec![]),
        ("[(1, 2, 3)]", vec![]),
        ("(10, 10, 12, 11)", vec![(10, 10), (11, 10)]),
    ] {
        assert_eq!(points_flagevalmm(reply, 640, 480, false), want, "{reply}");
    }
    assert_eq!(points_flagevalmm("(500, 2000)", 640, 480, true), vec![(320, 479)]);
}

#[test]
fn points_robust() {
    let unit = Coords::default();
    for (reply, want) in [
        ("[(0.5, 0.75)]", vec![(320, 360)]),
        ("[[0.5,0.5]]", vec![(320, 240)]),
        ("[( 0.5, 0.5)]", vec![(320, 240)]),
        ("(0.5 , 0.5)", vec![(320, 240)]),
        ("(.5,.5)", vec![(320, 240)]),
        ("(50%, 25%)", vec![(320, 120)]),
        ("[{\"point_2d\": [0.5, 0.5], \"label\": \"mug\"}]", vec![(320, 240)]),
        ("```json\n[{\"point\": [0.25, 0.5]}]\n```", vec![(160, 240)]),
        ("<answer>[(0.1, 0.1), (0.2, 0.2)]</answer>", vec![(64, 48), (128, 96)]),
        ("[(0.5, 0.5)]\nso there", vec![(320, 240)]),
        ("<point x=\"50\" y=\"25\">mug</point>", vec![(320, 120)]),
        ("[(0.4, 0.4, 0.6, 0.6)]", vec![(320, 240)]),
        ("[(1.0, 1.0)]", vec![(639, 479)]),
        ("[(1.2, 0.5)]", vec![(768, 240)]),
    ] {
        let found =
            points(reply, false, false).map(|(p, _)| unit.pixels(&p, (640, 480), (640, 480))).unwrap_or_default();
        assert_eq!(found, want, "{reply}");
    }
    assert!(points("on the left", false, false).is_none());
    let norm = Coords { space: Space::Norm1000, ..unit };
    let (found, rule) = points("{\"point_2d\": [500, 250]}", false, false).unwrap();
    assert_eq!((norm.pixels(&found, (640, 480), (640, 480)), rule), (vec![(320, 120)], "json"));
    let swapped = Coords { space: Space::Norm1000, yx: true, ..unit };
    assert_eq!(swapped.pixels(&found, (640, 480), (640, 480)), vec![(160, 240)]);
}

#[test]
fn mean_relative_accuracy() {
    for (p, t, want) in [
        (4., 5., 0.6),
        (6., 5., 0.6),
        (5., 4., 0.6),
        (3., 4., 0.6),
        (9., 10., 0.9),
        (11., 10., 0.9),
        (19., 20., 1.0),
        (95., 100., 1.0),
        (2., 4., 0.1),
        (3., 2., 0.1),
        (11., 20., 0.1),
        (1.9, 4., 0.0),
        (0., 3., 0.0),
        (2.2, 2., 0.9),
        (0., 0., 1.0),
    ] {
        assert_eq!(mra(p, t), want, "{p} for {t}");
    }
}

#[test]
fn polygons() {
    let rectangle = parse("[(0.2, 0.3), (0.8, 0.3), (0.8, 0.9), (0.2, 0.9)]").unwrap();
    let triangle = parse("[(0.1, 0.1), (0.9, 0.1), (0.5, 0.9)]").unwrap();
    let bow_tie = parse("[[0.2, 0.2], [0.8, 0.8], [0.8, 0.2], [0.2, 0.8]]").unwrap();
    for (shape, point, v1, fixed, hull) in [
        (&rectangle, (0.5, 0.6), false, true, true),
        (&rectangle, (0.8, 0.6), false, true, true),
        (&rectangle, (0.2, 0.6), false, false, false),
        (&rectangle, (0.5, 0.3), false, false, false),
        (&rectangle, (0.5, 0.9), false, true, true),
        (&rectangle, (0.9, 0.6), false, false, false),
        (&triangle, (0.5, 0.3), true, true, true),
        (&bow_tie, (0.5, 0.3), true, false, true),
        (&bow_tie, (0.3, 0.5), false, true, true),
    ] {
        assert_eq!(inside(point, shape, PolygonRule::EvenOddV1), v1, "{point:?} v1");
        assert_eq!(inside(point, shape, PolygonRule::EvenOdd), fixed, "{point:?} even-odd");
        assert_eq!(inside(point, shape, PolygonRule::Hull), hull, "{point:?} hull");
    }
}

#[test]
fn sizes_as_the_model_sees_them() {
    for (h, w, most, want) in [
        (480, 640, 12_845_056, (476, 644)),
        (434, 368, 12_845_056, (448, 364)),
        (1080, 1920, 1_003_520, (728, 1316)),
        (1080, 1920, 12_845_056, (1092, 1932)),
    ] {
        assert_eq!(smart_resize(h, w, 3136, most), Some(want));
    }
    assert_eq!(smart_resize(10, 3000, 3136, 1_000_000), None);
}
