//! What a recipe says of rows, beside what the lock has seen in them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::seen::{Seen, decided};
use super::{Facts, at};
use crate::base::codes::{E0301, E0309, E0802, E0804, W0302};
use crate::base::{Diagnostic, Problems, Span, phrase};
use crate::plan::graph::Node;
use crate::spec::observed::{Column, Columns, fits};
use crate::spec::{RowExpr, Type, column_type};
use crate::syntax::ast::{ItemKind, Name, RowPart, TypeExpr};

/// Looks at all sources and at what reads their columns.
pub(super) fn lint(facts: &Facts, found: &mut Problems) {
    let seen = Seen::new(facts);
    // A function that reads several files has one place for all of them.
    let mut wrong: BTreeMap<(Span, String), (Diagnostic, Vec<String>)> = BTreeMap::new();
    for id in facts.graph.dag.node_indices() {
        let node = facts.graph.node(id);
        if !super::from_user(facts.program, node.span) {
            continue;
        }
        for file in node.paths.iter().filter(|p| !p.media && !p.model) {
            if let Some(columns) = facts.known.columns(file) {
                for misfit in misfits(facts, node, columns) {
                    let key = (misfit.primary.span, misfit.message.clone());
                    let name = format!("`{}`", file.path.display());
                    wrong.entry(key).or_insert_with(|| (misfit, Vec::new())).1.push(name);
                }
            }
        }
        unknown_columns(&seen, node, found);
        idle(facts, &seen, node, found);
        hidden(&seen, node, found);
    }
    for (mut d, mut files) in wrong.into_values() {
        files.dedup();
        let more = files.len().saturating_sub(3);
        files.truncate(3);
        let others = if more > 0 { format!(" and {more} more") } else { String::new() };
        d.message = d.message.replace("FILES", &format!("{}{others}", files.join(", ")));
        found.push(d);
    }
}

/// Where the schema of a source says something else than its rows.
fn misfits(facts: &Facts, node: &Node, columns: &Columns) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    let declared = node.args["as"]["columns"].as_array().into_iter().flatten();
    let declared: Vec<(&str, &str)> =
        declared.filter_map(|c| Some((c["name"].as_str()?, c["type"].as_str()?))).collect();
    let fails = node.args["bad"] == "fail";
    // Other loaders make text of much, and read text as what is asked for.
    let json = node.op == "data.jsonl";
    for (name, text) in &declared {
        let Some(want) = column_type::parse(text) else { continue };
        let Place { name: place, ty: type_place, call } = place(facts, node, name);
        let told = |message: String, label: &str| {
            let d = Diagnostic::new(E0309, place, message, label);
            if call == place { d } else { d.also(call, "read here") }
        };
        let optional = matches!(want, Type::Optional(_));
        let Some(column) = columns.get(*name) else {
            let others = columns.keys().filter(|c| !declared.iter().any(|(d, _)| d == c)).map(String::as_str);
            let others: Vec<&str> = others.collect();
            let near = phrase::nearest(name, others.iter().copied());
            if optional && near.is_none() {
                continue;
            }
            let d = told(format!("FILES has no column `{name}`"), "not in any row");
            out.push(match near {
                Some(near) => {
                    let d = d.help(format!("did you mean `{near}`?"));
                    if place == call { d } else { d.fix(place, quoted(near)) }
                }
                None => {
                    let there: Vec<&str> = columns.keys().map(String::as_str).collect();
                    d.help(format!(
                        "the rows have {}; take `{name}` out of the schema, or write `{name}: {text}?`",
                        phrase::quoted(&there)
                    ))
                }
            });
            continue;
        };
        let inner = if let Type::Optional(inner) = &want { inner } else { &want };
        let types = column.types();
        let texts = matches!(inner, Type::Str | Type::Prompt | Type::Regex | Type::Enum(_));
        let takes = |seen: &Type| match json {
            true => fits(inner, seen),
            false => texts || !matches!(seen, Type::Int | Type::Float | Type::Bool) || fits(inner, seen),
        };
        let wrong = if fails { !types.iter().all(takes) } else { !types.is_empty() && !types.iter().any(takes) };
        if wrong {
            let d = told(
                format!("column `{name}` of FILES holds {}, and the schema asks for {inner}", column.ty),
                "not what the rows hold",
            );
            let as_it_is = if types.len() == 1 { &column.ty } else { "Json" };
            let mark = if optional { "?" } else { "" };
            let d = d.help(format!("write `{name}: {as_it_is}{mark}`, or mend the rows"));
            out.push(if types.len() == 1 && place != call {
                d.fix(type_place, format!("{as_it_is}{mark}"))
            } else {
                d
            });
            continue;
        }
        if let Type::Enum(variants) = inner
            && let Some(d) = strangers(column, variants, fails).map(|(what, help)| {
                told(format!("column `{name}` of FILES holds {what}, which its `enum` does not name"), "not all values")
                    .help(help)
            })
        {
            out.push(d);
            continue;
        }
        let lacks = column.absent == 1.0 || fails && column.absent > 0.0;
        if !optional && lacks && (json || !texts) {
            let share = super::percent(column.absent);
            let d =
                told(format!("column `{name}` is absent in {share} of the rows of FILES"), "not there in every row");
            let skip = if fails { ", or load with `bad: \"quarantine\"` to leave such rows out" } else { "" };
            out.push(
                d.help(format!("write `{name}: {text}?` and say what is meant where it is read, `.{name} ?? …`{skip}")),
            );
        }
    }
    out
}

/// The values of a column that an `enum` does not name, and what to do.
fn strangers(column: &Column, variants: &[String], fails: bool) -> Option<(String, String)> {
    let others: Vec<&String> = column.values.iter().filter(|v| !variants.contains(v)).collect();
    if others.is_empty() || !fails && others.len() < column.values.len() {
        return None;
    }
    let near = others.iter().find_map(|v| phrase::nearest(v, variants.iter().map(String::as_str)).map(|n| (v, n)));
    let help = match near {
        Some((value, near)) => format!("is `{value}` a misspelt `{near}`? Mend the rows or the `enum`, or write `Str`"),
        None => format!("add {} to the `enum`, or write `Str`", phrase::quoted(&others)),
    };
    Some((phrase::quoted(&others), help))
}

/// Where a column of a schema stands.
struct Place {
    name: Span,
    ty: Span,
    call: Span,
}

fn place(facts: &Facts, node: &Node, column: &str) -> Place {
    let call = at(node, "as");
    let schema = facts.sources.text(call).rsplit('.').next().unwrap_or_default().trim().to_owned();
    let rows = facts.program.modules.iter().filter(|m| m.folder.is_some()).flat_map(|m| &m.file.items);
    let rows = rows.filter_map(|item| match &item.kind {
        ItemKind::Schema { name, row } if name.text == schema => Some(row),
        _ => None,
    });
    let fields = rows.flat_map(|row| &row.parts).filter_map(|part| match part {
        RowPart::Field { name, ty, .. } if name.text == column => Some((name, ty)),
        _ => None,
    });
    let of = |(name, ty): (&Name, &TypeExpr)| Place { name: name.span, ty: ty.span, call };
    fields.map(of).next().unwrap_or(Place { name: call, ty: call, call })
}

fn quoted(name: &str) -> String {
    let plain =
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_owned() } else { format!("\"{name}\"") }
}

/// Columns of rows that nobody has declared, read by names that the lock does not know.
fn unknown_columns(seen: &Seen, node: &Node, found: &mut Problems) {
    let Some(input) = node.inputs.iter().find(|i| i.slot == "d") else { return };
    let Some(columns) = seen.undeclared(input) else { return };
    let facts = seen.facts;
    let Some(args) = node.args.as_object() else { return };
    for (parameter, value) in args {
        let mut read = Vec::new();
        names(value, &mut read);
        for name in read {
            // Every benchmark counts its rows.
            if columns.iter().any(|c| c == name) || name == "row_number" {
                continue;
            }
            let whole = at(node, parameter);
            let span = within(facts, whole, name).unwrap_or(whole);
            let file = seen.source(input).map_or("the file".to_owned(), |f| format!("`{f}`"));
            let d = Diagnostic::new(
                E0301,
                span,
                format!("column `.{name}` is not in {file}, as the lock has seen it"),
                format!("needed here by `{}`", node.op),
            );
            found.push(match phrase::nearest(name, columns.iter().map(String::as_str)) {
                Some(near) => d.help(format!("did you mean `.{near}`?")).fix(span, format!(".{near}")),
                None => d.help(format!("it has {}", phrase::quoted(&columns))),
            });
        }
    }
}

/// The columns that row expressions among arguments read.
fn names<'j>(value: &'j Json, out: &mut Vec<&'j str>) {
    match value {
        Json::Object(fields) => match fields.get("col").and_then(Json::as_str).filter(|_| fields.len() == 1) {
            Some(name) => out.push(name),
            None => fields.iter().filter(|(key, _)| *key != "lit").for_each(|(_, v)| names(v, out)),
        },
        Json::Array(items) => items.iter().for_each(|v| names(v, out)),
        _ => {}
    }
}

/// Where `.name` stands within an argument.
fn within(facts: &Facts, argument: Span, name: &str) -> Option<Span> {
    let text = facts.sources.text(argument);
    let dotted = format!(".{name}");
    let ends = |at: usize| !text[at + dotted.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let (at, _) = text.match_indices(&dotted).find(|(at, _)| ends(*at))?;
    let start = argument.start + u32::try_from(at).ok()?;
    Some(Span { start, end: start + u32::try_from(dotted.len()).ok()?, ..argument })
}

/// A filter whose condition no row fulfils, or every row, by the values that the lock has seen.
fn idle(facts: &Facts, seen: &Seen, node: &Node, found: &mut Problems) {
    let Some(input) = node.input("d").filter(|_| node.op == "filter.rule") else { return };
    let Ok(condition) = serde_json::from_value::<RowExpr>(node.args["where"].clone()) else { return };
    let written = facts.sources.text(at(node, "where"));
    // A value that a param gives is meant to have others.
    let columns = |name: &str| seen.values(input, name);
    let Some((keeps, why)) = decided(&condition, written, &columns) else { return };
    let does = if keeps { "keeps every row" } else { "keeps no row" };
    let d = Diagnostic::new(W0302, at(node, "where"), format!("`{}` {does}: {}", node.op, why.seen), does);
    found.push(match why.near {
        Some(near) => d.help(format!("did you mean \"{near}\"?")),
        None => d.help("leave the step out, or mend its condition"),
    });
}

/// A benchmark whose answers are not among its rows.
fn hidden(seen: &Seen, node: &Node, found: &mut Problems) {
    let Some(input) = node.input("d").filter(|_| node.op == "bench.sample") else { return };
    let mut read = Vec::new();
    names(&node.args["key"], &mut read);
    let [name] = read[..] else { return };
    let Some(columns) = seen.values(input, name) else { return };
    let place = at(node, "key");
    if columns.iter().all(|c| c.absent == 1.0) {
        let d = Diagnostic::new(
            E0802,
            place,
            format!("no row has a `.{name}`, and it is the key of every item"),
            "never there",
        );
        found.push(d.help("use a split whose answers are published, or name the column that has them"));
    } else if columns.iter().all(|c| !c.values.is_empty() && c.values.iter().all(|v| v.eq_ignore_ascii_case("hidden")))
    {
        let d = Diagnostic::new(
            E0804,
            place,
            format!("the answers are hidden: every `.{name}` is the word `hidden`"),
            "no answer",
        );
        found.push(d.help("nothing scored here would mean anything; use a split whose answers are published"));
    }
}
