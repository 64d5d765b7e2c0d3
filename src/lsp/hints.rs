//! Types shown where nobody wrote them: rows of datasets and families of models behind the names of `let` and `stage`.

use super::snapshot::Snapshot;
use crate::spec::{Row, Type};
use crate::syntax::ast::ItemKind;

/// The columns that a hint names; the rest is counted.
const SHOWN_COLUMNS: usize = 6;

/// A type to show behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The byte behind which it stands.
    pub offset: usize,
    /// Short enough for a line.
    pub label: String,
    /// The whole type.
    pub whole: String,
}

/// Returns the hints of a range of a module.
pub fn hints(snapshot: &Snapshot, module: usize, start: usize, end: usize) -> Vec<Hint> {
    let items = &snapshot.program.modules[module].file.items;
    let bindings = items.iter().filter_map(|item| match &item.kind {
        ItemKind::Let(b) | ItemKind::Stage(b) if b.ty.is_none() => Some(&b.name),
        _ => None,
    });
    bindings
        .filter(|name| (start..=end).contains(&(name.span.end as usize)))
        .filter_map(|name| {
            let ty = snapshot.checked.bindings.get(&(module, name.text.clone()))?;
            let label = short(ty)?;
            Some(Hint { offset: name.span.end as usize, label: format!(": {label}"), whole: ty.to_string() })
        })
        .collect()
}

/// Returns what is shown of a type; none for what the text says anyway.
fn short(ty: &Type) -> Option<String> {
    match ty {
        Type::Dataset(row) if row.fields.is_empty() => Some("Dataset".to_owned()),
        Type::Dataset(row) => Some(format!("Dataset[{}]", columns(row))),
        Type::Model(_) => Some(ty.to_string()),
        Type::Record(row) if row.fields.iter().any(|(_, t)| matches!(t, Type::Dataset(_) | Type::Model(_))) => {
            let parts: Vec<String> = row.fields.iter().map(|(n, t)| format!("{n}: {}", kind(t))).collect();
            Some(format!("{{ {} }}", parts.join(", ")))
        }
        _ => None,
    }
}

fn kind(ty: &Type) -> String {
    match ty {
        Type::Dataset(_) => "Dataset".to_owned(),
        other => other.to_string(),
    }
}

fn columns(row: &Row) -> String {
    let mut names: Vec<&str> = row.fields.iter().take(SHOWN_COLUMNS).map(|(n, _)| n.as_str()).collect();
    let more = format!("{} more", row.fields.len().saturating_sub(SHOWN_COLUMNS));
    if row.fields.len() > SHOWN_COLUMNS {
        names.push(&more);
    }
    if row.tail.is_some() {
        names.push("..");
    }
    format!("{{ {} }}", names.join(", "))
}
