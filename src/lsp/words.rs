//! Words that can go on behind what is whole: `then` and `else`, `and` and `or`, `with`, `to`, `as`, `in`.

use super::text;
use crate::syntax::{self, Kind, RESERVED};

/// Returns the words that may follow what stands before the word at the cursor, where that is the end of something.
pub fn going_on(text: &str, cursor: usize) -> Vec<&'static str> {
    let (from, _) = text::word(text, cursor);
    let outline = syntax::outline(text);
    let Some(&(start, _)) = outline.items.iter().rev().find(|(start, _)| *start <= from) else { return Vec::new() };
    // Up to the end of its line, blanks behind it included.
    let line = text[..from].rfind('\n').map_or(0, |at| at + 1);
    let comment = outline.comments.iter().any(|c| (line..from).contains(&(c.span.start as usize)));
    let tokens: Vec<_> = outline.tokens.iter().filter(|t| t.start >= start && t.end <= from).collect();
    let words: Vec<&str> = tokens.iter().map(|t| &text[t.start..t.end]).collect();
    let (Some(last), Some(&before), Some(&item)) = (tokens.last(), words.last(), words.first()) else {
        return Vec::new();
    };
    let apart = last.end < from;
    if comment || !apart || tokens.len() < 2 {
        return Vec::new();
    }
    let has = |word: &str| words.contains(&word);
    match item {
        "recipe" => return if has("requires") { vec!["strict_numerics"] } else { vec!["requires"] },
        "import" => return if has("as") || has("{") { Vec::new() } else { vec!["as"] },
        "secret" if before == "from" => return vec!["env", "file", "cmd"],
        "secret" => return if has("from") { Vec::new() } else { vec!["from"] },
        "param" if !has("=") => return if has("in") || !has(":") || before == ":" { Vec::new() } else { vec!["in"] },
        "schema" => return Vec::new(),
        _ => {}
    }
    let whole = match last.kind {
        Kind::Word => !RESERVED.contains(&before) || matches!(before, "true" | "false" | "none"),
        Kind::TypeName | Kind::Number | Kind::Str | Kind::Close => true,
        _ => false,
    };
    if !whole {
        return Vec::new();
    }
    let mut open: Vec<Vec<&str>> = vec![Vec::new()];
    for (token, word) in tokens.iter().zip(&words) {
        match token.kind {
            Kind::Open => open.push(Vec::new()),
            Kind::Close if open.len() > 1 => {
                open.pop();
            }
            _ if *word == "if" || *word == "then" => open.last_mut().into_iter().for_each(|ifs| ifs.push(word)),
            // An `else` ends the `if` and the `then` before it.
            _ if *word == "else" => {
                open.last_mut().into_iter().for_each(|ifs| ifs.truncate(ifs.len().saturating_sub(2)))
            }
            _ => {}
        }
    }
    let inside = open.len() > 1;
    let conditions = ["and", "or", "in"];
    match open.last().and_then(|ifs| ifs.last()) {
        Some(&"if") => [&["then"], conditions.as_slice()].concat(),
        Some(_) => vec!["else"],
        None if inside => conditions.to_vec(),
        None if matches!(item, "expect" | "warn") => [conditions.as_slice(), &["else"]].concat(),
        None if item == "output" => vec!["to"],
        None if matches!(item, "let" | "stage" | "profile") => vec!["with"],
        None => Vec::new(),
    }
}
