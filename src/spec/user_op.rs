//! What a user's own `op` is to the other rooms: the two operators that run it, the words after `runs "…"`, and the names that its process knows.

use super::{Class, Effect};

/// The operator that runs the command on the columns which the `op` names. No recipe can call it: `op` is no module.
pub const RUN: &str = "op.run";
/// The operator that joins the other columns back.
pub const JOIN: &str = "op.join";
/// Semantic version of both.
pub const VERSION: u32 = 1;

/// Options of `with` beyond the common ones.
pub const WITH: &[&str] = &["at_most", "gpus", "gpu_mem"];

/// Starts the argument of a node that stands for a file of the operator: its programs and the lock of its environment.
pub const FILES: &str = "files/";
/// The column that names a row to the process.
pub const ROW: &str = "__row";
/// Says how rows pass: `jsonl` or `arrow`.
pub const ENV_IO: &str = "RBPIPE_IO";
/// Holds the arguments as a JSON object.
pub const ENV_ARGS: &str = "RBPIPE_ARGS";
/// Holds the seed of a `sampled` operator.
pub const ENV_SEED: &str = "RBPIPE_SEED";
/// Starts the variable that holds a secret; the parameter's name in capitals follows.
pub const ENV_SECRET: &str = "RBPIPE_SECRET_";
/// Starts a line of stderr that gives up a single row.
pub const BAD_ROW: &str = "RBPIPE_ERROR";

/// Classes, as written.
pub const CLASSES: &[(&str, Class)] = &[
    ("deterministic", Class::Deterministic),
    ("numeric", Class::Numeric),
    ("sampled", Class::Sampled),
    ("external", Class::External),
];
/// Effects, as written.
pub const EFFECTS: &[(&str, Effect)] = &[
    ("row_map", Effect::RowMap),
    ("row_subset", Effect::RowSubset),
    ("row_expand", Effect::RowExpand),
    ("reduce", Effect::Reduce),
];
/// How rows pass, as written.
pub const FORMATS: &[&str] = &["jsonl", "arrow"];

/// Returns the class that the words name; `external` without one.
pub fn class<'w>(mut words: impl Iterator<Item = &'w str>) -> Class {
    words.find_map(|w| named(CLASSES, w)).unwrap_or(Class::External)
}

/// Returns the effect that the words name; `row_map` without one.
pub fn effect<'w>(mut words: impl Iterator<Item = &'w str>) -> Effect {
    words.find_map(|w| named(EFFECTS, w)).unwrap_or(Effect::RowMap)
}

/// Returns how rows pass; `jsonl` if nothing is said.
pub fn format<'w>(mut words: impl Iterator<Item = &'w str>) -> &'static str {
    words.find_map(|w| FORMATS.iter().find(|f| **f == w)).copied().unwrap_or(FORMATS[0])
}

fn named<T: Copy>(list: &[(&str, T)], word: &str) -> Option<T> {
    list.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

/// Splits a command into words as a shell does: blanks part, quotes and backslashes hold together. Nothing is expanded.
///
/// # Errors
/// A quote that is not closed, or no word at all.
pub fn words(command: &str) -> Result<Vec<String>, &'static str> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => out.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word);
    match (quote, out.is_empty()) {
        (Some(_), _) => Err("a quote is not closed"),
        (None, true) => Err("there is no command"),
        (None, false) => Ok(out),
    }
}

/// Says whether a word of a command is a script's name: it starts with `./` or ends as scripts do.
pub fn is_script(word: &str) -> bool {
    let ends = [".py", ".sh", ".bash", ".pl", ".rb", ".js", ".mjs", ".ts", ".R", ".jl", ".lua", ".awk", ".jq"];
    !word.starts_with('-')
        && !word.contains(char::is_whitespace)
        && (word.starts_with("./") || ends.iter().any(|e| word.ends_with(e)))
}

/// Says whether a name of a file is a pattern of several.
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '[', '{'])
}
