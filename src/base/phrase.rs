//! Small grammar for messages: plurals, quoted lists, did-you-mean.

/// Returns `1 row`, `2 rows`.
pub fn count(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

/// Returns "`a`, `b` and `c`".
pub fn quoted<S: AsRef<str>>(items: &[S]) -> String {
    let quoted: Vec<String> = items.iter().map(|s| format!("`{}`", s.as_ref())).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Returns the nearest of `names` at an edit distance of at most a third of the word, ties by order. Any single letter is as near as
/// any other, so there is none for them; small and capital letters, and `_` between words, count as little as they mean.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect::<String>();
    let length = word.chars().count();
    let limit = if length < 2 { 0 } else { (length / 3).max(1) };
    let bare = plain(word);
    names
        .into_iter()
        .filter(|name| name.chars().count().abs_diff(length) <= limit.max(2))
        .map(|name| {
            let distance = strsim::damerau_levenshtein(word, name);
            (if distance > 0 && length > 1 && plain(name) == bare { distance.min(1) } else { distance }, name)
        })
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// Returns the text, cut to `limit` characters with an ellipsis.
pub fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

/// Returns the last `most` lines of a text that are not blank.
pub fn last_lines(text: &str, most: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(most)..].join("\n")
}

/// Returns the end of a sentence about a program: its last words, up to `most` lines. Nothing if it said nothing.
pub fn said_last(text: &str, most: usize) -> String {
    match last_lines(text, most) {
        last if last.is_empty() => last,
        last => format!("; it said last:\n{last}"),
    }
}

/// Prints a whole number as a recipe has it: its digits in groups of three.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && c.is_ascii_digit() && digits.len() > 3 {
            out.push('_');
        }
        out.push(c);
    }
    out
}

/// Prints bytes as people say them.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Prints seconds as people say them.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}
