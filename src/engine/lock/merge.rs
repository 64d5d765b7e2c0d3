//! Merges two people's changes of a lock, entry by entry: a merge driver for version control.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::text::{entry_name as quote, pin};

/// What came of a merge.
#[derive(Debug, PartialEq)]
pub struct Merged {
    /// The lock. Where both sides say different things of one entry, it holds both between the marks of a conflict.
    pub text: String,
    /// The entries that both sides changed, and not alike.
    pub conflicts: Vec<String>,
}

/// Merges `ours` and `theirs`, which both began as `base`.
///
/// # Errors
/// One of them is no TOML: which, and why.
pub fn merge(base: &str, ours: &str, theirs: &str) -> Result<Merged, String> {
    let read =
        |name: &str, text: &str| text.parse::<Table>().map_err(|e| format!("{name} cannot be read: {}", e.message()));
    let (base, left, right) =
        (read("the common ancestor", base)?, read("our side", ours)?, read("their side", theirs)?);
    let mut conflicts = Vec::new();
    let head: String = ours.lines().take_while(|l| l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    let mut text = head;
    // Plain values first, as TOML wants it.
    for name in keys([&base, &left, &right]) {
        let parts = [&base, &left, &right].map(|t| t.get(name).filter(|v| !v.is_table()));
        entry(name, &|value| format!("{name} = {value}\n"), parts, &mut text, &mut conflicts);
    }
    for name in keys([&base, &left, &right]) {
        let tables = [&base, &left, &right].map(|t| t.get(name).and_then(Value::as_table));
        if tables.iter().all(Option::is_none) {
            continue;
        }
        let empty = Table::new();
        let tables = tables.map(|t| t.unwrap_or(&empty));
        // A table of plain values has one head, a table of tables none of its own.
        let (mut plain, mut nested) = (String::new(), String::new());
        for key in keys(tables) {
            let parts = tables.map(|t| t.get(key));
            let full = format!("{name}.{key}");
            if parts.iter().flatten().any(|v| v.is_table()) {
                entry(&full, &|value| pin(name, key, value), parts, &mut nested, &mut conflicts);
            } else {
                let quoted = quote(key);
                entry(&full, &|value| format!("{quoted} = {value}\n"), parts, &mut plain, &mut conflicts);
            }
        }
        if !plain.is_empty() {
            text.push_str(&format!("\n[{name}]\n{plain}"));
        }
        text.push_str(&nested);
    }
    Ok(Merged { text, conflicts })
}

fn keys<'t>(tables: [&'t Table; 3]) -> BTreeSet<&'t str> {
    tables.into_iter().flat_map(|t| t.keys().map(String::as_str)).collect()
}

/// Decides about one entry: base, ours, theirs.
fn entry(
    name: &str,
    write: &dyn Fn(&Value) -> String,
    [base, ours, theirs]: [Option<&Value>; 3],
    out: &mut String,
    conflicts: &mut Vec<String>,
) {
    let chosen = match () {
        () if ours == theirs || theirs == base => ours,
        () if ours == base => theirs,
        () => {
            conflicts.push(name.to_owned());
            let side = |value: Option<&Value>| value.map(write).unwrap_or_default();
            out.push_str(&format!("<<<<<<< ours\n{}=======\n{}>>>>>>> theirs\n", side(ours), side(theirs)));
            return;
        }
    };
    out.push_str(&chosen.map(write).unwrap_or_default());
}
