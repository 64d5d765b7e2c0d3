//! Renaming: all places of a name in all recipes at hand, or a sentence why not.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::goto::{self, Meaning};
use super::names::{Kind, Target, Use};
use super::snapshot::Snapshot;
use super::text;
use crate::base::world::OverlayWorld;
use crate::semantics::ParseCache;
use crate::spec::{Catalogue, prelude};
use crate::syntax::RESERVED;

/// One change of a text: bytes, and what comes there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// What comes there.
    pub text: String,
}

/// Returns the name at a byte that can be renamed.
///
/// # Errors
/// Why it cannot.
pub fn renamable(snapshot: &Snapshot, module: usize, offset: usize) -> Result<&Use, String> {
    let name = snapshot.name_at(module, offset).ok_or("nothing that has a name of yours stands here")?;
    match &name.target {
        Target::Declared(id, _, kind) => {
            let path = &snapshot.program.modules[*id].path;
            if goto::in_std(path) {
                return Err(format!("`{}` is declared in the standard library", snapshot.slice(name.span)));
            }
            if *kind == Kind::Field {
                return Err("columns are names of data: rename the field in the data, or use `data.rename`".to_owned());
            }
            Ok(name)
        }
        Target::Column => Err("columns are names of data: use `data.rename` in the recipe".to_owned()),
        _ => Err(format!("`{}` belongs to the language or its library", snapshot.slice(name.span))),
    }
}

/// Returns the changes that give the name at a byte another one, by file. `snapshots` are all recipes that may use it, that of
/// the file itself first.
///
/// # Errors
/// Why the new name does not do: it is no name, it is taken, or it would change what another name means.
pub fn rename(
    world: &OverlayWorld,
    catalogue: &Catalogue,
    snapshots: &[&Snapshot],
    offset: usize,
    new: &str,
) -> Result<BTreeMap<PathBuf, Vec<Change>>, String> {
    let snapshot = snapshots.first().ok_or("no recipe is open")?;
    let name = renamable(snapshot, 0, offset)?;
    let old = snapshot.slice(name.span).to_owned();
    let Target::Declared(_, _, kind) = name.target else { return Err("this has no declaration".to_owned()) };
    valid(new, kind)?;
    if new == old {
        return Ok(BTreeMap::new());
    }
    let meaning = goto::meaning(snapshot, &name.target).ok_or("this has no declaration")?;
    let mut changes: BTreeMap<PathBuf, Vec<Change>> = BTreeMap::new();
    for snapshot in snapshots {
        for (id, u) in goto::uses(snapshot, &meaning) {
            let path = snapshot.program.modules[id].path.clone();
            let change = change(snapshot, u, kind, &old, new);
            let list = changes.entry(path).or_default();
            if !list.contains(&change) {
                list.push(change);
            }
        }
    }
    changes.values_mut().for_each(|list| list.sort());
    still_the_same(world, catalogue, snapshots, &meaning, &changes, new)?;
    Ok(changes)
}

fn valid(new: &str, kind: Kind) -> Result<(), String> {
    let capital = kind == Kind::Schema;
    let first = |c: char| if capital { c.is_ascii_uppercase() } else { c.is_ascii_lowercase() || c == '_' };
    if !new.starts_with(first) || !new.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let rule = if capital {
            "a schema is named `LikeThis`"
        } else {
            "a name is written `like_this`, in a–z, 0–9 and `_`"
        };
        return Err(format!("`{new}` is no name: {rule}"));
    }
    if RESERVED.contains(&new) {
        return Err(format!("`{new}` is a word of the language"));
    }
    if prelude::FUNCTION_NAMES.contains(&new) {
        return Err(format!("`{new}` is a function of the prelude"));
    }
    Ok(())
}

fn change(snapshot: &Snapshot, u: &Use, kind: Kind, old: &str, new: &str) -> Change {
    let (start, end) = (u.span.start as usize, u.span.end as usize);
    match (u.short, kind) {
        (true, Kind::Import) if u.declares => Change { start: end, end, text: format!(" as {new}") },
        (true, _) if !in_profile(snapshot, u) => Change { start, end, text: format!("{old}: {new}") },
        _ => Change { start, end, text: new.to_owned() },
    }
}

/// In a profile `{ n }` names the param and its value at once, so both change.
fn in_profile(snapshot: &Snapshot, u: &Use) -> bool {
    use crate::syntax::ast::{ItemKind, RecordField};
    snapshot.program.modules.iter().flat_map(|m| &m.file.items).any(|item| match &item.kind {
        ItemKind::Profile { fields, .. } => {
            fields.iter().any(|f| matches!(f, RecordField::Pun(name) if name.span == u.span))
        }
        _ => false,
    })
}

/// Applies the changes to copies and compares: as many uses as before, and no name that is unknown, doubled or hidden.
fn still_the_same(
    world: &OverlayWorld,
    catalogue: &Catalogue,
    snapshots: &[&Snapshot],
    meaning: &Meaning,
    changes: &BTreeMap<PathBuf, Vec<Change>>,
    new: &str,
) -> Result<(), String> {
    let mut world = world.clone();
    let mut moved = meaning.clone();
    for snapshot in snapshots {
        for (id, module) in snapshot.program.modules.iter().enumerate() {
            let Some(list) = changes.get(&module.path) else { continue };
            world.texts.insert(module.path.clone(), applied(snapshot.text(id), list).into());
            if let Meaning::Declared(path, at) = meaning
                && *path == module.path
            {
                // An import that gets an alias is declared by it from now on.
                let after = text::word(snapshot.text(id), *at as usize).1;
                let alias = list.iter().find(|c| c.start == after && c.end == after);
                let at = alias.map_or(shifted(*at, list), |c| shifted(c.start as u32, list) + " as ".len() as u32);
                moved = Meaning::Declared(path.clone(), at);
            }
        }
    }
    for snapshot in snapshots {
        let root = &snapshot.program.modules[0].path;
        let after = Snapshot::new(&world, catalogue, root, &mut ParseCache::default(), None);
        let codes = |s: &Snapshot| s.problems.iter().filter(|d| d.code.0.starts_with("E02")).count();
        if codes(&after) > codes(snapshot) {
            let of_new =
                after.problems.iter().find(|d| d.code.0.starts_with("E02") && d.message.contains(&format!("`{new}`")));
            let why = of_new.map_or("names would clash".to_owned(), |d| d.message.clone());
            return Err(format!("`{new}` does not do: {why}"));
        }
        if goto::uses(&after, &moved).count() != goto::uses(snapshot, meaning).count() {
            return Err(format!("`{new}` does not do: another thing of that name is in scope"));
        }
    }
    Ok(())
}

/// Returns a text with changes made; they are sorted and do not overlap.
pub fn applied(text: &str, changes: &[Change]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for change in changes {
        out.push_str(&text[at..change.start]);
        out.push_str(&change.text);
        at = change.end;
    }
    out.push_str(&text[at..]);
    out
}

/// Returns where a byte lies after the changes before it.
fn shifted(at: u32, changes: &[Change]) -> u32 {
    let before = changes.iter().filter(|c| c.end <= at as usize && c.start < at as usize);
    let grown: i64 = before.map(|c| c.text.len() as i64 - (c.end - c.start) as i64).sum();
    (i64::from(at) + grown) as u32
}
