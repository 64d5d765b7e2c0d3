//! Replies as models put them: what each reader makes of them, by which rule, and what it must not read.

use rbpipe::eval::coords::{Coords, Space};
use rbpipe::eval::numerals::NumberForm;
use rbpipe::eval::read_choice::{choice, choice_backtick};
use rbpipe::eval::read_number::number;
use rbpipe::eval::read_points::points;
use rbpipe::eval::read_text::text;
use rbpipe::eval::read_yes_no::{YesNoMode, yes_no};

fn options(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

/// Compares what was read with what should be, all cases before it fails.
fn same<T: PartialEq + std::fmt::Debug>(cases: impl Iterator<Item = (String, T, T)>) {
    let wrong: Vec<String> = cases
        .filter(|(_, got, want)| got != want)
        .map(|(reply, got, want)| format!("{reply:?}: {got:?}, not {want:?}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn letters(cases: &[(&str, &str, &str)], read: fn(&str, &[String]) -> Option<(char, &'static str)>, texts: &[&str]) {
    let options = options(texts);
    same(cases.iter().map(|(reply, want, rule)| {
        let got = read(reply, &options).map(|(c, rule)| (c.to_string(), rule)).unwrap_or_default();
        ((*reply).to_owned(), got, ((*want).to_owned(), *rule))
    }));
}

const SIDES: &[&str] = &["left", "right", "above", "below"];

/// An `A` is a letter before a word that no noun phrase begins with, and after "option"; else it is an article.
#[test]
fn the_letter_a_and_the_article() {
    letters(
        &[
            ("Looking at the image, A is closest", "A", "standalone"),
            ("Looking at the image, B is closest", "B", "standalone"),
            ("A because it is closer", "A", "standalone"),
            ("Option A is right.", "A", "standalone"),
            ("I choose option A since it is red.", "A", "standalone"),
            ("A seems right to me", "A", "standalone"),
            ("It must be A as the cup hides it", "A", "standalone"),
            ("A would be my choice", "A", "standalone"),
            ("I take A, it is nearer", "A", "standalone"),
            ("Option A red mug", "A", "standalone"),
            ("Answer: A because the cup hides it", "A", "labelled"),
            ("The answer is A since it is nearer", "A", "labelled"),
            ("Answer A is right", "A", "labelled"),
            ("I pick A over B", "", ""),
            ("A or B", "", ""),
            ("A red cup is on the table, so B", "B", "standalone"),
            ("A can stands there, so B", "B", "standalone"),
            ("A so-called mug, so B", "B", "standalone"),
            ("A clearly visible mug: B", "B", "standalone"),
            ("A glass is near. I would say C", "C", "standalone"),
            ("Answer: A red cup is nearest", "", ""),
            ("I think a cup is nearest", "", ""),
            ("A cup is nearest", "", ""),
        ],
        choice,
        SIDES,
    );
    let nine = ["a1", "b1", "c1", "d1", "e1", "f1", "g1", "h1", "i1"];
    letters(
        &[
            ("Option I is right", "I", "standalone"),
            ("I is the nearest", "I", "standalone"),
            ("I was unsure, but B", "B", "standalone"),
            ("The answer I choose is C", "C", "standalone"),
            ("I'd say D", "D", "standalone"),
            ("Answer: I'd say D", "D", "standalone"),
        ],
        choice,
        &nine,
    );
}

/// A stated letter that the item does not have, or two of them, ends the search; a letter that is turned down is none.
#[test]
fn letters_that_are_not_the_answer() {
    letters(
        &[
            ("B is wrong.\nAnswer: E", "", ""),
            ("Answer: E. But B is wrong.", "", ""),
            ("B is near.\nAnswer: e", "", ""),
            ("B is near, so \\boxed{E}", "", ""),
            ("B is near.\nE", "", ""),
            ("E. The one next to B", "", ""),
            ("Answer: B or C", "", ""),
            ("Answer: A/D", "", ""),
            ("Answer: (B) and (C)", "", ""),
            ("Answer: N/A", "", ""),
            ("Option B is wrong", "", ""),
            ("It is not B", "", ""),
            ("Answer B is wrong, so C", "C", "standalone"),
            ("Option A is wrong, C it is", "C", "standalone"),
            ("D rather than A", "D", "standalone"),
            ("Answer: B and the cup is near", "B", "labelled"),
            ("E is not there.\nAnswer: B", "B", "labelled"),
            ("Answer: X-ray of C", "C", "standalone"),
        ],
        choice,
        SIDES,
    );
    letters(
        &[("Answer: L shape", "A", "option_text"), ("Answer: T-shape", "B", "option_text"), ("Answer: L", "", "")],
        choice,
        &["L shape", "T-shape"],
    );
}

#[test]
fn forms_of_letters() {
    letters(
        &[
            ("Ｂ", "B", "single"),
            ("答案：Ｂ", "B", "labelled"),
            ("（Ｃ）", "C", "lone_line"),
            ("{\"answer\": \"b\"}", "B", "single"),
            ("{\"answer\": \"B\"}", "B", "single"),
            ("{\"answer\": \"c\", \"why\": \"it is near\"}", "C", "single"),
            ("answer is b", "B", "labelled"),
            ("The answer is (a).", "A", "labelled"),
            ("The answer is a", "", ""),
            ("b) green can", "B", "line_start"),
            ("(c) blue box", "C", "line_start"),
            ("a. red\nb. green", "", ""),
            ("be quick", "", ""),
        ],
        choice,
        &["red mug", "green can", "blue box", "nothing"],
    );
}

/// Backticks, braces, the first letter that no word follows, then the rules of a plain choice.
#[test]
fn letters_in_backticks() {
    letters(
        &[
            ("``B``", "B", "backtick"),
            ("`b) right`", "B", "backtick"),
            ("I say ``C``, not `A`", "C", "backtick"),
            ("{D}", "D", "backtick"),
            ("D is wrong, so the answer is B", "B", "standalone"),
            ("Option C is wrong.\nAnswer: B", "B", "standalone"),
            ("A cup hides D. So B", "D", "standalone"),
            ("Answer: B right", "B", "labelled"),
            ("`a cup` is near. B", "B", "standalone"),
            ("B is wrong.\nAnswer: E", "", ""),
        ],
        choice_backtick,
        SIDES,
    );
}

const FORM: NumberForm = NumberForm { words: true, signed: true, thousands: true };

fn read_numbers(form: NumberForm, cases: &[(&str, Option<f64>, &str)]) {
    same(cases.iter().map(|(reply, want, rule)| {
        let got = number(reply, form);
        ((*reply).to_owned(), (got.map(|g| g.0), got.map_or("", |g| g.1)), (*want, *rule))
    }));
}

#[test]
fn labels_of_numbers() {
    read_numbers(
        FORM,
        &[
            ("The answer is 5.\nExplanation: the answer follows from the picture.", Some(5.0), "labelled"),
            ("Answer: 5\nThis result is approximate.", Some(5.0), "labelled"),
            ("Answer: 5\nI got this answer by counting 2 rows.", Some(5.0), "labelled"),
            ("Answer: 5\nThe answer is in the 2nd row.", Some(5.0), "labelled"),
            ("Answer: 4\nNo, the answer is 5.", Some(5.0), "labelled"),
            ("The answer is about five metres", Some(5.0), "labelled"),
            ("Answer 5\nI see 2 rows", Some(5.0), "labelled"),
            ("**Answer:**\n5", Some(5.0), "labelled"),
            ("Final answer = 5 m", Some(5.0), "labelled"),
            ("{\"answer\": 5}", Some(5.0), "last"),
            ("答案：５", Some(5.0), "labelled"),
            ("3 + 2, so \\boxed{5} of 7", Some(5.0), "boxed"),
            ("Answer: \\boxed{5}", Some(5.0), "labelled"),
            ("I see 3.\nAnswer: unclear", None, ""),
            ("I see 3. The answer is unclear.", None, ""),
            ("Answer: 3 or 4", None, ""),
            ("\\boxed{3, 4}", None, ""),
            ("My answer counts 2 rows of 3", Some(3.0), "last"),
        ],
    );
}

#[test]
fn signs_and_thousands() {
    read_numbers(
        FORM,
        &[
            ("- 5", Some(-5.0), "last"),
            ("Answer: - 5", Some(-5.0), "labelled"),
            ("The answer is −5", Some(-5.0), "labelled"),
            ("minus five", Some(-5.0), "words"),
            ("minus 5", Some(-5.0), "last"),
            ("It is negative twenty-three degrees", Some(-23.0), "words"),
            ("ten minus five", Some(5.0), "words"),
            ("10 minus 5", Some(5.0), "last"),
            ("3 - 5", None, ""),
            ("3-5", None, ""),
            ("cups - 5", Some(5.0), "last"),
            ("- two cups\n- 5 cans", Some(5.0), "last"),
            ("1 200", Some(1200.0), "last"),
            ("Answer: 12 345 678 mm", Some(12_345_678.0), "labelled"),
            ("1\u{202f}200.5", Some(1200.5), "last"),
            ("1 20", Some(20.0), "last"),
            ("1 2000", Some(2000.0), "last"),
            ("in 2020 300", Some(300.0), "last"),
            ("１，２００", Some(1200.0), "last"),
        ],
    );
    let plain = NumberForm { words: false, signed: false, thousands: false };
    read_numbers(
        plain,
        &[
            ("- 5", Some(5.0), "last"),
            ("minus 5", Some(5.0), "last"),
            ("1 200", Some(200.0), "last"),
            ("five", None, ""),
        ],
    );
}

#[test]
fn the_prompt_echoed_says_neither_yes_nor_no() {
    use YesNoMode::{LabelledThenOnlyOne, OnlyOne};
    let cases = [
        ("Answer yes or no: no", LabelledThenOnlyOne, Some(false)),
        ("Answer (yes/no): Yes", LabelledThenOnlyOne, Some(true)),
        ("Yes or no? No.", LabelledThenOnlyOne, Some(false)),
        ("I was asked for \"yes\" or \"no\".\nAnswer: yes", LabelledThenOnlyOne, Some(true)),
        ("Answer: yes or no", LabelledThenOnlyOne, None),
        ("Answer yes or no: it depends", LabelledThenOnlyOne, None),
        ("{\"answer\": \"no\"}", LabelledThenOnlyOne, Some(false)),
        ("yes or no: no", OnlyOne, Some(false)),
        ("yes, no", OnlyOne, None),
    ];
    same(cases.iter().map(|(reply, mode, want)| ((*reply).to_owned(), yes_no(reply, *mode).map(|g| g.0), *want)));
}

#[test]
fn short_texts() {
    let cases = [
        ("**3**.", "3", "whole"),
        ("\"three\".", "3", "whole"),
        ("\\boxed{3}", "3", "boxed"),
        ("So it is \\boxed{\\text{uphill}}", "uphill", "boxed"),
        ("Answer: \\boxed{3}", "3", "labelled"),
        ("**Answer:** Three", "3", "labelled"),
        ("Answer: 3\nThe answer follows from the picture.", "3", "labelled"),
        ("ＵＰ", "up", "whole"),
        ("", "", ""),
    ];
    same(cases.iter().map(|(reply, want, rule)| {
        let got = text(reply, true, false).unwrap_or_default();
        ((*reply).to_owned(), got, ((*want).to_owned(), *rule))
    }));
}

/// Points after the last "Answer:" count alone, all of them; those of the reasoning do not.
#[test]
fn points_of_the_answer() {
    let half = (320, 240);
    let far = (576, 432);
    let cases: &[(&str, &[(i64, i64)], &str)] = &[
        ("The mug is at (0.9, 0.9).\nAnswer: [(0.5, 0.5)]", &[half], "pairs"),
        ("The table spans [0.0, 0.9]. Answer: [(0.5, 0.5)]", &[half], "pairs"),
        ("Answer: [(0.5, 0.5)]\nThe mug at (0.9, 0.9) hides it.", &[half], "pairs"),
        ("Answer: [(0.5, 0.5)]\nThe answer is left of the mug.", &[half], "pairs"),
        ("Not (0.9, 0.9).\n**Answer:**\n[[0.5, 0.5],\n [0.9, 0.9]]", &[half, far], "json"),
        ("Not (0.1, 0.1).\nAnswer:\n- (0.5, 0.5)\n- (0.9, 0.9)\n\nThe mug is at (0.2, 0.2).", &[half, far], "pairs"),
        ("Not (0.1, 0.1). Answer:\n```json\n[{\"point_2d\": [0.5, 0.5]}]\n```", &[half], "json"),
        ("The answer is the free place at (0.5, 0.5)", &[half], "pairs"),
        ("Answer: see above\nIt is [(0.5, 0.5)]", &[half], "pairs"),
        ("It is [(0.5, 0.5)].\nAnswer: see above", &[half], "pairs"),
        ("[0.5, 0.5], [0.9, 0.9]", &[half, far], "json"),
        ("{\"point_2d\": [0.5, 0.5]}\n{\"point_2d\": [0.9, 0.9]}", &[half, far], "json"),
        ("{\"answer\": [[0.5, 0.5]]}", &[half], "json"),
        ("[{\"point_2d\": [0.5, 0.5], \"box\": [0, 0, 1, 1]}]", &[half], "json"),
        ("```json\n[0.5, 0.5]\n```\nand\n```json\n[0.9, 0.9]\n```", &[half, far], "json"),
        ("（0.5，0.5）", &[half], "pairs"),
        ("(0.5; 0.5)", &[half], "pairs"),
        ("Answer: on the left", &[], ""),
    ];
    same(cases.iter().map(|(reply, want, rule)| {
        let got = points(reply, false, false);
        let pixels = got.as_ref().map(|(p, _)| Coords::default().pixels(p, (640, 480), (640, 480))).unwrap_or_default();
        ((*reply).to_owned(), (pixels, got.map_or("", |g| g.1)), (want.to_vec(), *rule))
    }));
}

/// Pixels are of the picture shown, also where the mask has another size.
#[test]
fn a_mask_of_another_size() {
    let at = |reply: &str, space: Space| {
        let (found, _) = points(reply, true, false).unwrap();
        Coords { space, ..Coords::default() }.pixels(&found, (640, 480), (320, 240))
    };
    for (reply, space, want) in [
        ("(320, 240)", Space::PixelOriginal, vec![(160, 120)]),
        ("(640, 240)", Space::PixelOriginal, vec![(320, 120)]),
        ("(322, 238)", Space::PixelInput, vec![(160, 120)]), // the model saw 644 x 476
        ("(0.5, 0.5)", Space::Unit, vec![(160, 120)]),
        ("(1.0, 1.0)", Space::Unit, vec![(319, 239)]),
        ("(500, 500)", Space::Norm1000, vec![(160, 120)]),
        ("(50%, 50%)", Space::PixelOriginal, vec![(160, 120)]),
        ("(0, 0, 4, 2)", Space::PixelOriginal, vec![(0, 0), (1, 0)]),
    ] {
        assert_eq!(at(reply, space), want, "{reply} {space:?}");
    }
}
