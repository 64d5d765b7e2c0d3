//! Text forms that several readers share: number words, and FlagEvalMM's string normaliser.

use std::sync::LazyLock;

use regex::Regex;

use super::strip::pattern;

static UNIT: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(\d+)\s*[A-Za-z%°]+$"));
static TEXT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\\text\s*\{([^{}]*)\}"));

/// Returns the value of one English number word below a hundred, or of a multiplier (`hundred`, `thousand`, `million`).
pub fn number_word(word: &str) -> Option<f64> {
    const SMALL: &[&str] = &[
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: &[&str] = &["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let word = word.to_lowercase();
    if let Some(i) = SMALL.iter().position(|w| *w == word) {
        return Some(i as f64);
    }
    if let Some(i) = TENS.iter().position(|w| *w == word) {
        return Some(20.0 + 10.0 * i as f64);
    }
    match word.as_str() {
        "hundred" => Some(100.0),
        "thousand" => Some(1e3),
        "million" => Some(1e6),
        _ => None,
    }
}

/// Returns all numbers written in words, in order: "two", "twenty-three", "one hundred and five", "three point five"; with `signed` also "minus two".
pub fn numbers_in_words(text: &str, signed: bool) -> Vec<f64> {
    let mut out = Vec::new();
    let (mut total, mut group, mut open) = (0.0, 0.0, false);
    let mut last: Option<f64> = None;
    let (mut sign, mut minus) = (1.0, false);
    // Behind "point": the place of the next decimal.
    let (mut point, mut share) = (false, 1.0);
    for word in text.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()) {
        match number_word(word) {
            Some(m) if m >= 1000.0 && open => {
                total += f64::max(group, 1.0) * m;
                group = 0.0;
                last = Some(m);
            }
            Some(m) if m == 100.0 && open => {
                group = f64::max(group, 1.0) * m;
                last = Some(m);
            }
            Some(n) if point && n < 10.0 => {
                share /= 10.0;
                group += n * share;
                last = Some(n);
            }
            Some(n) => {
                // "two three" are two numbers; "twenty three" and "hundred five" are one.
                if open && !last.is_some_and(|l| (n < 10.0 && (20.0..100.0).contains(&l)) || l >= 100.0) {
                    out.push(sign * (total + group));
                    (total, group, open) = (0.0, 0.0, false);
                }
                if !open {
                    sign = if minus { -1.0 } else { 1.0 };
                }
                group += n;
                open = true;
                last = Some(n);
            }
            None if word.eq_ignore_ascii_case("point") && open && !point => point = true,
            None if word.eq_ignore_ascii_case("and") && last.is_some_and(|l| l >= 100.0) => {}
            None => {
                if open {
                    out.push(sign * (total + group));
                }
                // "ten minus two" is a subtraction.
                minus = signed && !open && ["minus", "negative"].contains(&word.to_lowercase().as_str());
                (total, group, open, last) = (0.0, 0.0, false, None);
                (point, share) = (false, 1.0);
                continue;
            }
        }
        minus = false;
    }
    if open {
        out.push(sign * (total + group));
    }
    out
}

/// Returns what FlagEvalMM's string normaliser makes of a text, for compat readers only.
///
/// # Source
/// Behaviour of FlagEvalMM at `fef27ec`; the Chinese keyword list is inferred.
pub fn flagevalmm_string(text: &str) -> String {
    const KEYWORDS: &[&str] = &[
        "Answer:",
        "Answer is",
        "answer is",
        "Answer",
        "answer",
        "答案是",
        "答案为",
        "答案：",
        "答案",
        "结果",
        "为",
        "因此",
        " = ",
    ];
    const MAP: &[(&str, &str)] = &[
        ("，", ","),
        ("。", "."),
        ("：", ":"),
        ("；", ";"),
        ("（", "("),
        ("）", ")"),
        ("！", "!"),
        ("？", "?"),
        ("％", "%"),
        ("$", ""),
        ("\\pi", "π"),
        ("①", "1"),
        ("②", "2"),
        ("③", "3"),
        ("④", "4"),
        ("⑤", "5"),
        ("⑥", "6"),
        ("⑦", "7"),
        ("⑧", "8"),
        ("⑨", "9"),
    ];
    let mut out = text.to_owned();
    if !out.contains('$') {
        out = out.replace('×', "错误").replace("not correct", "错误").replace("不正确", "错误");
    }
    out = TEXT.replace_all(&out, "$1").into_owned();
    for (from, to) in MAP {
        out = out.replace(from, to);
    }
    out = match out.as_str() {
        "√" | "T" | "对" => "正确".to_owned(),
        "F" | "错" => "错误".to_owned(),
        _ => out,
    };
    if let Some((at, keyword)) = KEYWORDS.iter().find_map(|k| out.rfind(k).map(|at| (at, k))) {
        out = out[at + keyword.len()..].to_owned();
    }
    let mut rest = out.trim();
    rest = rest.strip_prefix(':').unwrap_or(rest).trim_start();
    rest = rest.strip_suffix(['.', ',', ':', ';']).unwrap_or(rest);
    UNIT.replace(rest, "$1").into_owned()
}
