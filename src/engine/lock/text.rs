//! The text of a lock: TOML, each input a table, each file of a model and each column of a source one line, so that changes meet only where they differ.

use toml::{Table, Value};

/// The tables of a lock in the order in which they stand there.
const ORDER: &[&str] = &["environments", "operators", "media", "models", "packages", "servers", "sources", "texts"];

/// Writes a lock, without the line above it.
pub(super) fn write(lock: &Table) -> String {
    let plain = lock.iter().filter(|(_, v)| !v.is_table());
    let mut out: String = plain.map(|(name, value)| format!("{} = {value}\n", entry_name(name))).collect();
    for name in ORDER {
        let Some(entries) = lock.get(*name).and_then(Value::as_table) else { continue };
        if entries.values().any(|v| !v.is_table()) {
            out.push_str(&format!("\n[{name}]\n"));
        }
        entries.iter().for_each(|(key, value)| match value {
            Value::Table(_) => out.push_str(&pin(name, key, value)),
            value => out.push_str(&format!("{} = {value}\n", entry_name(key))),
        });
    }
    out
}

/// Writes one pinned input: its values, then the files of a model, or the columns of a source, one a line.
pub(super) fn pin(table: &str, key: &str, value: &Value) -> String {
    let Some(fields) = value.as_table() else { return format!("{} = {value}\n", entry_name(key)) };
    let head = format!("{table}.{}", entry_name(key));
    let mut out = String::new();
    // A table that holds tables alone has no head of its own.
    if fields.is_empty() || fields.values().any(|v| !v.is_table()) {
        out.push_str(&format!("\n[{head}]\n"));
    }
    for (name, value) in fields.iter().filter(|(_, v)| !v.is_table()) {
        out.push_str(&format!("{} = {value}\n", entry_name(name)));
    }
    for (name, inner) in fields.iter().filter_map(|(n, v)| Some((n, v.as_table()?))) {
        out.push_str(&format!("\n[{head}.{}]\n", entry_name(name)));
        for (file, value) in inner {
            out.push_str(&format!("{} = {value}\n", entry_name(file)));
        }
    }
    out
}

/// Writes a key, quoted where TOML wants it.
pub(super) fn entry_name(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_owned() } else { Value::String(key.to_owned()).to_string() }
}
