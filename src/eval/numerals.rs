//! The numbers of a text, in the ways in which people and models write them.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::letters::tail;
use super::normalise::{number_word, numbers_in_words};
use super::strip::pattern;

static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x) ([-−+]\s?)?
        ( (?: [1-9]\d{0,2}(?:[\ \u{a0}\u{2009}\u{202f}'’]\d{3})+\b | \d{1,3}(?:,\d{3})+\b | [1-9]\d{0,2}(?:\.\d{3}){2,}\b | \d+ ) (?:\.\d+)? | \.\d+ )
        (?: [eE]([-+]?\d+)\b | \s*(?:[×x*·]|\\times|\\cdot)\s*10\s*\^\s*\{?([-−+]?\d+)\}? )?
        (?: \s*/\s*(\d+(?:\.\d+)?) )?
        (?: \s?(hundred|thousand|million|billion|[kK])\b )?",
    )
});
/// A comma before the decimals: `5,2`, `1.200,5`; `1,2,3` is a list and `1,200` has thousands.
static COMMA: LazyLock<Regex> = LazyLock::new(|| pattern(r"(^|[^\d.,])(\d{1,3}(?:\.\d{3})+|\d+),(\d{1,2})(\D|$)"));
/// A whole with a fraction: `3 1/2`.
static MIXED: LazyLock<Regex> = LazyLock::new(|| pattern(r"(^|[^\d./])(\d{1,4}) (\d{1,3})/(\d{1,3})(\D|$)"));
/// A power of ten alone, and numbers that are no amounts: exponents of units, dates, times, tolerances.
static POWER: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(^\s*|[^\d.\w\s*×·]\s*|[A-Za-z]{2,}\s+)10\s*\^\s*\{?(-?\d{1,2})\}?"));
static NO_AMOUNT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x) \b\d{4}-\d\d-\d\d\b | \b\d{1,2}:\d\d(?::\d\d)?\b | (?:±|\\pm|\+/-)\s*\d+(?:\.\d+)? | [\p{L}\)]\s?\^\s*\{?\d+\}? | \b\d[Dd]\b",
    )
});
/// Two numbers that are meant at once: alternatives, ranges, and lengths in two units.
static TWO: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?xi) \d \s? (?:[a-z°%²³]{1,10}\s)? \s* (?: \bor\b | \bto\b | [-–—~] ) \s* \d
        | \d (?:\s?[a-z°%²³]{1,10}) [-–—~] \d
        | \bbetween\s+\S*\d\S*(?:\s[a-z]{1,10})?\s+and\s+\S*\d
        | \d \s* (?: ft | feet | foot | ' | ′ | m | metres? | meters? ) \s* (?:and\s+)? \d+(?:\.\d+)? \s* (?: in\b | inch(?:es)?\b | \x22 | ″ | cm\b | centi )",
    )
});
static EXPONENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:[eE][-+]\d+)|(?:\d[eE][-+]?\d+)\b"));
static NOTHING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)^(?:there\s+(?:are|is)\s+|i\s+(?:can\s+)?see\s+|it\s+has\s+)?no\s+([a-z]+)(?:\s+[a-z]+){0,5}\W*$")
});
/// A bare list without blanks: `1,2,3`.
static LIST: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\W*\d{1,2}(?:,\d{1,2}){2,}\W*$"));
static HAN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[零〇一二两三四五六七八九十百千万]+(?:点[零〇一二三四五六七八九]+)?"));

/// How numbers may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberForm {
    /// English and Chinese number words count.
    pub words: bool,
    /// A minus sign belongs to the number.
    pub signed: bool,
    /// `1,200` is twelve hundred.
    pub thousands: bool,
}

/// Returns all numbers in order; the flag says that it was written in words. Words count only where there are no digits.
pub fn all(text: &str, form: NumberForm) -> Vec<(f64, bool)> {
    let text = plain(text);
    let mut out = Vec::new();
    for found in NUMBER.captures_iter(&text) {
        let start = found.get(0).map_or(0, |m| m.start());
        let before = &text[..start];
        // "x2", "block_3" are names; scripts without blanks have none.
        if before.ends_with(|c: char| c == '_' || c.is_alphabetic() && c < '\u{2e80}') {
            continue;
        }
        let digits = &found[2];
        let apart = |c: char| c == ',' || c == '\'' || c == '’' || c.is_whitespace();
        if digits.contains(apart) && !form.thousands {
            let parts = digits.split(apart);
            out.extend(parts.filter_map(|d| d.parse().ok()).map(|n: f64| (n, false)));
            continue;
        }
        let mut whole: String = digits.chars().filter(|c| !apart(*c)).collect();
        if whole.matches('.').count() > 1 {
            whole.retain(|c| c != '.');
        }
        let Ok(mut n) = whole.parse::<f64>() else { continue };
        let power = found.get(3).or(found.get(4)).map(|e| e.as_str().replace('−', "-"));
        if let Some(e) = power.and_then(|e| e.parse::<i32>().ok()) {
            n *= 10f64.powi(e);
        }
        if let Some(d) = found.get(5).and_then(|d| d.as_str().parse::<f64>().ok()).filter(|d| *d != 0.0) {
            n /= d;
        }
        n *= found.get(6).map_or(1.0, |scale| scaled_by(scale.as_str()));
        if form.signed && negative(&text, before, found.get(1).map_or("", |s| s.as_str())) {
            n = -n;
        }
        if n.is_finite() {
            out.push((n, false));
        }
    }
    if out.is_empty() && form.words && !text.contains(|c: char| c.is_ascii_digit()) {
        out.extend(numbers_in_words(&text, form.signed).into_iter().map(|n| (n, true)));
        if out.is_empty() {
            out.extend(HAN.find_iter(&text).filter_map(|m| han(m.as_str(), &text[m.end()..])).map(|n| (n, true)));
        }
    }
    out
}

/// Says whether a text ends on two numbers at once, so that neither is its answer.
pub fn hedged(text: &str) -> bool {
    let text = NO_AMOUNT.replace_all(text, " ");
    let text = EXPONENT.replace_all(&text, "0");
    let last = |end: usize| {
        let rest = text[end..].trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ',');
        !rest.contains(|c: char| c.is_ascii_digit())
    };
    LIST.is_match(&text) || TWO.find_iter(&text).last().is_some_and(|m| last(m.end()))
}

/// Says whether a text says that there is none of what is counted: "There are no chairs."
pub fn nothing(text: &str) -> bool {
    NOTHING.captures(text).is_some_and(|m| {
        !["idea", "answer", "image", "picture", "way", "number"].contains(&m[1].to_lowercase().as_str())
    })
}

/// Brings decimal commas, fractions and powers of ten into one form, and takes out what is no amount.
fn plain(text: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(text);
    let mut change = |pattern: &Regex, with: &dyn Fn(&regex::Captures) -> String| {
        if pattern.is_match(&out) {
            out = Cow::Owned(pattern.replace_all(&out, |m: &regex::Captures| with(m)).into_owned());
        }
    };
    change(&VULGAR, &|m| {
        let (a, b) = vulgar(&m[2]);
        let whole: f64 = m[1].trim().parse().unwrap_or(0.0);
        format!("{}", whole + a / b)
    });
    change(&NO_AMOUNT, &|m| {
        if m[0].starts_with(|c: char| c.is_alphabetic() || c == ')') {
            m[0].chars().take(1).collect()
        } else {
            " ".into()
        }
    });
    change(&POWER, &|m| format!("{}1e{}", &m[1], &m[2]));
    change(&MIXED, &|m| {
        let part = |i: usize| m[i].parse::<f64>().unwrap_or(0.0);
        format!("{}{}{}", &m[1], part(2) + part(3) / part(4).max(1.0), &m[5])
    });
    change(&COMMA, &|m| format!("{}{}.{}{}", &m[1], m[2].replace('.', ""), &m[3], &m[4]));
    out
}

static VULGAR: LazyLock<Regex> = LazyLock::new(|| pattern(r"(\d*\s?)([½⅓⅔¼¾⅕⅛])"));

fn vulgar(sign: &str) -> (f64, f64) {
    match sign {
        "½" => (1.0, 2.0),
        "⅓" => (1.0, 3.0),
        "⅔" => (2.0, 3.0),
        "¼" => (1.0, 4.0),
        "¾" => (3.0, 4.0),
        "⅕" => (1.0, 5.0),
        _ => (1.0, 8.0),
    }
}

fn scaled_by(word: &str) -> f64 {
    match word {
        "k" | "K" => 1e3,
        "billion" => 1e9,
        word => number_word(word).unwrap_or(1.0),
    }
}

/// A Chinese numeral below a hundred million, unless it is part of a word ("一些", some).
fn han(text: &str, after: &str) -> Option<f64> {
    if text == "一" && after.starts_with(['些', '样', '般', '起', '直', '定', '下', '共'])
        || text == "万"
        || text == "千"
    {
        return None;
    }
    let (whole, decimals) = text.split_once('点').unwrap_or((text, ""));
    let digit = |c: char| {
        "零一二三四五六七八九".chars().position(|d| d == c).or(match c {
            '〇' => Some(0),
            '两' => Some(2),
            _ => None,
        })
    };
    let (mut total, mut group, mut last) = (0.0, 0.0, None::<usize>);
    for c in whole.chars() {
        match c {
            '十' | '百' | '千' => {
                let unit = if c == '十' {
                    10.0
                } else if c == '百' {
                    100.0
                } else {
                    1000.0
                };
                group += last.take().map_or(1.0, |d| d as f64) * unit;
            }
            '万' => {
                total = (total + group + last.take().unwrap_or(0) as f64) * 1e4;
                group = 0.0;
            }
            // Digits one by one: 二〇.
            c => last = Some(last.unwrap_or(0) * 10 + digit(c)?),
        }
    }
    let mut n = total + group + last.unwrap_or(0) as f64;
    for (at, c) in decimals.chars().enumerate() {
        n += digit(c)? as f64 / 10f64.powi(at as i32 + 1);
    }
    Some(n)
}

/// Says whether a number is below nought: by a minus that is no subtraction, range, dash or mark of a list, or by the word.
fn negative(text: &str, before: &str, sign: &str) -> bool {
    let before = tail(before).trim_end_matches([' ', '\t']);
    if sign.starts_with(['-', '−']) {
        return if sign.chars().count() == 1 {
            !before.ends_with(|c: char| c.is_ascii_digit())
        } else {
            before.is_empty() && !text.trim().contains('\n')
                || before.ends_with(['(', '=', ':', '≈'])
                || before.ends_with(" is")
        };
    }
    let mut words = before.rsplit(' ').filter(|w| !w.is_empty());
    let minus = words.next().is_some_and(|w| ["minus", "negative"].contains(&w.to_lowercase().as_str()));
    let less_than = words.next().is_some_and(|w| w.ends_with(|c: char| c.is_ascii_digit()) || number_word(w).is_some());
    sign.is_empty() && minus && !less_than
}
