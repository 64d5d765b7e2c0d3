//! Where a recipe reads something else than its lock says.

use std::collections::BTreeMap;

use super::observed::Observed;
use super::pins::{Lock, Pin};
use crate::base::{Digest, Span, phrase};
use crate::engine::inputs::servers;
use crate::plan::NodeId;
use crate::spec::observed::{Column, Columns};

/// How an input and its entry differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The entry.
    pub name: String,
    /// Where the recipe names it.
    pub span: Span,
    /// The nodes that read it.
    pub nodes: Vec<NodeId>,
    /// In words, for an entry that says something else; nothing for an entry that is not there.
    pub what: Option<String>,
}

impl Lock {
    /// Says how the columns of a source, as they are now, differ from those that its entry has; nothing if they do not, or nobody has looked.
    pub fn columns_differ(&self, name: &str, now: &Columns) -> Option<String> {
        let locked = &self.sources.get(name).filter(|pin| !pin.columns.is_empty())?.columns;
        let mut out = Vec::new();
        for (column, is) in now {
            match locked.get(column) {
                None => out.push(format!("`{column}: {}` is new", is.ty)),
                Some(was) => out.extend(column_differs(column, was, is)),
            }
        }
        out.extend(locked.keys().filter(|c| !now.contains_key(*c)).map(|c| format!("`{c}` is gone")));
        (!out.is_empty()).then(|| out.join(", "))
    }

    /// Returns where inputs and entries differ, entries that are not there included.
    pub fn differences(&self, now: &Observed) -> Vec<Difference> {
        let mut out = Vec::new();
        for ((table, name), found) in &now.pins {
            let what = match self.table(*table).get(name) {
                None => None,
                Some(locked) => match found.pin.as_ref().and_then(|now| differs(locked, now)) {
                    Some(what) => Some(what),
                    None => continue,
                },
            };
            out.push(Difference { name: name.clone(), span: found.span, nodes: found.nodes.clone(), what });
        }
        for (op, &(version, span)) in &now.operators {
            let what = match self.operators.get(op) {
                Some(&locked) if locked == version => continue,
                Some(locked) => Some(format!("version {version}, the lock has {locked}")),
                None => None,
            };
            out.push(Difference { name: op.clone(), span, nodes: Vec::new(), what });
        }
        out
    }
}

/// Says how an input differs from its entry; nothing if it does not.
fn differs(locked: &Pin, now: &Pin) -> Option<String> {
    if locked.arguments != now.arguments {
        return Some("it is asked for with other arguments".to_owned());
    }
    if let Some(what) = servers::differ(&locked.says, &now.says) {
        return Some(what);
    }
    if locked.revision != now.revision {
        let say = |r: &Option<String>| r.clone().unwrap_or_else(|| "none".to_owned());
        return Some(format!("revision {}, the lock has {}", say(&now.revision), say(&locked.revision)));
    }
    if locked.digest != now.digest {
        let say = |p: &Pin| {
            let files = phrase::count(p.files.unwrap_or(0) as usize, "file");
            format!("{files} of {} bytes", p.bytes.unwrap_or(0))
        };
        let (here, there) = (say(now), say(locked));
        let rows = locked.rows.map_or(String::new(), |rows| format!(" with {}", phrase::count(rows as usize, "row")));
        return Some(match here == there {
            true => format!("{here}, as many as in the lock{rows}, with other content"),
            false => format!("{here}, the lock has {there}{rows}"),
        });
    }
    for (word, there, here) in [("licence", &locked.licence, &now.licence), ("consent", &locked.consent, &now.consent)]
    {
        // What was pinned before anybody told is no promise.
        if let Some(there) = there.as_ref().filter(|there| here.as_ref() != Some(*there)) {
            let here = here.as_ref().map_or("none".to_owned(), |text| format!("\"{text}\""));
            return Some(format!("its {word} is {here}, in the lock it is \"{there}\""));
        }
    }
    // What is fetched by name is looked at while it is fetched.
    if now.arguments.is_some() || locked.parts == now.parts {
        return None;
    }
    let of = |a: &BTreeMap<String, Digest>, b: &BTreeMap<String, Digest>, word: &str| {
        let names: Vec<&String> = a.keys().filter(|name| !b.contains_key(*name)).collect();
        (!names.is_empty()).then(|| format!("{} {word}", phrase::quoted(&names)))
    };
    let changed: Vec<&String> =
        now.parts.iter().filter(|(n, d)| locked.parts.get(*n).is_some_and(|l| l != *d)).map(|(n, _)| n).collect();
    let changed = (!changed.is_empty()).then(|| format!("{} changed", phrase::quoted(&changed)));
    let parts = [changed, of(&now.parts, &locked.parts, "added"), of(&locked.parts, &now.parts, "removed")];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn column_differs(name: &str, was: &Column, is: &Column) -> Option<String> {
    if was.ty != is.ty {
        return Some(format!("`{name}` was {}, now {}", was.ty, is.ty));
    }
    let new: Vec<&String> = is.values.iter().filter(|v| !was.values.contains(v)).collect();
    if !was.values.is_empty() && !new.is_empty() {
        return Some(format!("`{name}` has the values {} too", phrase::quoted(&new)));
    }
    if was.absent == 0.0 && is.absent > 0.0 {
        return Some(format!("`{name}` is absent in {} of rows, was in none", percent(is.absent)));
    }
    None
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 1e2)
}
