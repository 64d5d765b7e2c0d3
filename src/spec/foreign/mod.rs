//! What other trainers call their options, and how the same is said here.

mod rows;
mod training;
mod words;

pub use rows::{METHOD_HINTS, METHODS, OPERATORS, ROW_HINTS, ROWS};
pub use training::{FOREIGN, MEASURING, WITH};
pub use words::{MODULES, TYPES, UNITS, VARIANTS};

/// Returns the second of a pair whose first is `name`.
pub fn ours(table: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours)
}

/// Returns the hint for an option as another tool writes it: case and `_` are of no account, and a name that ends with `_` in the table is
/// the beginning of several.
pub fn option(table: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    let bare = folded(name);
    let begins = |theirs: &str| theirs.ends_with('_') && name.starts_with(theirs);
    let found = ours(table, name).or_else(|| table.iter().find(|(n, _)| folded(n) == bare).map(|(_, ours)| *ours));
    found.or_else(|| table.iter().find(|(n, _)| begins(n)).map(|(_, ours)| *ours))
}

fn folded(name: &str) -> String {
    name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
}

/// Returns the option of an operator over rows that `name` means, of those that it has.
pub fn row_option(name: &str, has: &[&str]) -> Option<&'static str> {
    let bare = folded(name);
    let (_, ours) = ROWS.iter().find(|(theirs, _)| folded(theirs) == bare)?;
    ours.iter().copied().find(|option| has.contains(option))
}

/// Says whether an option of another tool is near ours but no other name of it: its value means something else.
pub fn loose(name: &str) -> bool {
    let loose =
        ["num_perm", "num_permutations", "num_hashes", "score", "key", "hue", "strength", "token", "instruction"];
    loose.contains(&name) || ["system_prompt", "ignore_errors", "skip_invalid", "size"].contains(&name)
}

/// Returns the argument that the hint of a foreign option tells to write.
pub fn argument(hint: &str) -> Option<&str> {
    hint.strip_prefix("write `")?.split_once(':').map(|(name, _)| name)
}

/// Returns the argument that a hint tells to write, where it says no more than its name and perhaps an example: "write `batch:`".
pub fn exact(hint: &str) -> Option<&str> {
    let (ours, after) = hint.strip_prefix("write `")?.split_once(":`")?;
    (after.is_empty() || after.starts_with(", as in ")).then_some(ours)
}

/// Returns what a hint tells to write as a whole: "write `best: true`".
pub fn whole(hint: &str) -> Option<&str> {
    let written = hint.strip_prefix("write `")?.strip_suffix('`')?;
    let (ours, value) = written.split_once(": ")?;
    (!value.is_empty() && !written.contains('`') && ours.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        .then_some(written)
}
