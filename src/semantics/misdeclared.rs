//! Names misspelt where they are declared: all who read such a name by its right spelling make one error, whose fix is at the declaration.

use std::collections::{BTreeMap, BTreeSet};

use super::declared::declared;
use super::modules::Program;
use crate::base::codes::{Code, E0201, E0215, E0301, E0302};
use crate::base::{Diagnostic, Span, phrase};
use crate::syntax::ast::{
    Arg, Expr, ExprKind, ItemKind, RecordField, RowPart, StrLit, StrPart, TypeExpr, TypeExprKind,
};
use crate::syntax::ast::{RowType, With};
use crate::syntax::{expressions, type_parts, types};

/// Errors of a name that is not there.
const CODES: &[Code] = &[E0201, E0215, E0301, E0302];

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A param, secret, function, operator, `let` or `stage` of this module.
    Value(usize),
    /// A schema of this module.
    Schema(usize),
    /// A column, of whatever schema.
    Column,
}

/// A name that is not there, and the declared one that is near to it.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    pub(super) kind: Kind,
    pub(super) said: String,
    pub(super) near: String,
    pub(super) span: Span,
}

/// Makes one of all errors that rest on one declaration: those of a name that is read more than once in one spelling, and never as it is
/// declared.
pub(super) fn merge(mut problems: Vec<Diagnostic>, guesses: &[Guess], program: &Program) -> Vec<Diagnostic> {
    let mut meant: BTreeMap<(Kind, &str), Vec<&Guess>> = BTreeMap::new();
    for guess in guesses {
        meant.entry((guess.kind, &guess.near)).or_default().push(guess);
    }
    for ((kind, near), uses) in meant {
        let said = uses[0].said.as_str();
        let spans: BTreeSet<Span> = uses.iter().map(|guess| guess.span).collect();
        if spans.len() < 2 || uses.iter().any(|guess| guess.said != said) {
            continue;
        }
        let Some(place) = declaration(program, kind, near, said) else { continue };
        let about = |d: &Diagnostic| spans.contains(&d.primary.span) && CODES.contains(&d.code);
        let Some(first) = problems.iter().position(about) else { continue };
        let mut one = problems[first].clone();
        one.others.retain(|label| label.span != place);
        one = one.also(place, format!("declared here as `{near}`, which nothing reads"));
        for d in problems.iter().skip(first + 1).filter(|d| about(d)) {
            one = one.also(d.primary.span, "and here");
        }
        one = one
            .help(format!(
                "did you mean `{said}` where it is declared? It is read so in {}",
                phrase::count(spans.len(), "place")
            ))
            .fix(place, said);
        problems[first] = one;
        let mut at = 0;
        problems.retain(|d| {
            at += 1;
            at - 1 <= first || !about(d)
        });
    }
    problems
}

/// Returns the only place where a name stands, if that declares it and nothing is declared as `said`.
fn declaration(program: &Program, kind: Kind, name: &str, said: &str) -> Option<Span> {
    let mut found = None;
    let mut elsewhere = false;
    for module in &program.modules {
        let own = matches!(kind, Kind::Value(id) | Kind::Schema(id) if id == module.id);
        for item in &module.file.items {
            if let Some((declared, space)) = declared(&item.kind)
                && declared.text == name
            {
                let fits = matches!((kind, space), (Kind::Value(_), "value") | (Kind::Schema(_), "schema"));
                elsewhere |= !fits || !own || found.replace(declared.span).is_some();
            }
            if let (Kind::Column, ItemKind::Schema { row, .. }) = (kind, &item.kind) {
                for part in &row.parts {
                    if let RowPart::Field { name: column, .. } = part
                        && column.text == name
                    {
                        elsewhere |=
                            found.replace(column.span).is_some() || row.parts.iter().any(|p| is_field(p, said));
                    }
                }
            }
            let is_schema = kind == Kind::Column && matches!(item.kind, ItemKind::Schema { .. });
            words(&item.kind, !is_schema, &mut |word| elsewhere |= word == name);
        }
    }
    found.filter(|_| !elsewhere)
}

fn is_field(part: &RowPart, name: &str) -> bool {
    matches!(part, RowPart::Field { name: column, .. } if column.text == name)
}

/// Gives every word of an item that may name something declared elsewhere; `columns`: those of its written rows too.
fn words(item: &ItemKind, columns: bool, see: &mut dyn FnMut(&str)) {
    match item {
        ItemKind::Fn(f) => f.locals.iter().for_each(|local| with_name(local.with.as_ref(), see)),
        ItemKind::Let(b) | ItemKind::Stage(b) => with_name(b.with.as_ref(), see),
        ItemKind::Output { to: Some(text), .. } => text_words(text, see),
        ItemKind::Expect { message: Some(text), .. } | ItemKind::Warn { message: Some(text), .. } => {
            text_words(text, see)
        }
        ItemKind::Profile { fields, with, .. } => {
            fields.iter().for_each(|field| field_word(field, see));
            with_name(with.as_ref(), see);
        }
        ItemKind::Schema { row, .. } => row_words(row, columns, see),
        _ => {}
    }
    expressions(item, &mut |e| e.walk(&mut |e| expression_words(e, see)));
    types(item, &mut |ty| type_words(ty, see));
}

fn expression_words(e: &Expr, see: &mut dyn FnMut(&str)) {
    match &e.kind {
        ExprKind::Ident(name) => see(name),
        ExprKind::TypeName(name) => see(name.rsplit('.').next().unwrap_or(name)),
        ExprKind::Col(name) | ExprKind::Field(_, name) => see(&name.text),
        ExprKind::Str(text) => text_words(text, see),
        ExprKind::Record(fields) => fields.iter().for_each(|field| field_word(field, see)),
        ExprKind::Call { args, .. } => args.iter().for_each(|arg| {
            if let Arg::Named(name, _) = arg {
                see(&name.text);
            }
        }),
        _ => {}
    }
}

fn field_word(field: &RecordField, see: &mut dyn FnMut(&str)) {
    if let RecordField::Named(name, _) | RecordField::Pun(name) = field {
        see(&name.text);
    }
}

fn text_words(text: &StrLit, see: &mut dyn FnMut(&str)) {
    for part in &text.parts {
        match part {
            StrPart::Text(text) => see(text),
            StrPart::Name(name) => see(&name.text),
        }
    }
}

fn with_name(with: Option<&With>, see: &mut dyn FnMut(&str)) {
    if let Some(With::Name(name)) = with {
        see(&name.text);
    }
}

fn row_words(row: &RowType, columns: bool, see: &mut dyn FnMut(&str)) {
    for part in &row.parts {
        match part {
            RowPart::Tail(name) => see(name.text.rsplit('.').next().unwrap_or(&name.text)),
            RowPart::Field { name, .. } if columns => see(&name.text),
            RowPart::Field { .. } => {}
        }
    }
}

fn type_words(ty: &TypeExpr, see: &mut dyn FnMut(&str)) {
    match &ty.kind {
        TypeExprKind::Named { name, .. } => see(name.text.rsplit('.').next().unwrap_or(&name.text)),
        TypeExprKind::Row(row) => row_words(row, true, see),
        _ => {}
    }
    type_parts(ty, &mut |part| type_words(part, see));
}
