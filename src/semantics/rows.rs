//! Rows: how the columns of a result follow from the arguments, and where a column that is not there was lost.

use super::check::{Checker, Cx};
use super::misdeclared::Kind;
use super::presence;
use super::sig::{Bound, Given};
use crate::base::codes::{E0202, E0211, E0301, E0303};
use crate::base::{Diagnostic, SourceId, Span, phrase};
use crate::spec::catalogue::Operator;
use crate::spec::{Columns, Effect, Row, Type};
use crate::syntax::BUILTIN_SOURCE;
use crate::syntax::ast::{Arg, Expr, ExprKind, ItemKind, Name, RecordField};

/// One step of the way that rows came: what made them, where, and the columns after it.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) after: Row,
    /// The datasets that it joined, with their columns.
    pub(super) named: Vec<(String, Row)>,
}

impl Checker<'_> {
    /// Applies [`Columns`] of an operator to the type that its signature gives.
    #[allow(clippy::too_many_arguments)] // all parts of one call, named
    pub(super) fn columns_after(
        &mut self,
        op: &Operator,
        bound: &Bound,
        have: &[Option<Type>],
        rest: &[(String, Span, Type)],
        result: Type,
        rows: &Cx,
        callee: Span,
    ) -> Type {
        let before = rows.row.as_ref().map_or_else(Row::any, |r| self.solver.row(r));
        let slot = |name: &str| op.signature.params.iter().position(|p| p.name.text == name);
        let value = |name: &str| slot(name).and_then(|i| bound.slots.get(i)?.as_ref());
        if let (Columns::Select | Columns::Drop, Some(Given::Expr(columns))) = (&op.spec.columns, value("columns")) {
            self.named_once(columns);
        }
        match op.spec.columns {
            Columns::Signature => match (op.spec.effect, value("where"), &result) {
                // A row that stays has what it needs to stay.
                (Effect::RowSubset, Some(Given::Expr(condition)), Type::Dataset(row)) => {
                    Type::Dataset(presence::kept(self.solver.row(row), condition).unwrap_or_else(|| row.clone()))
                }
                _ => result,
            },
            Columns::FromFile => Type::Dataset(Row::any()),
            Columns::FromSchema => {
                let schema = slot("as").and_then(|i| have.get(i)?.clone()).map(|t| self.solver.resolve(&t));
                match schema {
                    Some(Type::Schema(row)) => Type::Dataset(row),
                    _ => Type::Dataset(Row::any()),
                }
            }
            Columns::Select => match value("columns").and_then(column_names) {
                Some(names) => {
                    let fields = names.iter().map(|n| (n.clone(), before.get(n).cloned().unwrap_or(Type::Error)));
                    // A name that is not there was reported; which one was meant is not known.
                    let tail = names.iter().any(|n| before.get(n).is_none()).then_some(Row::ANY);
                    Type::Dataset(Row { fields: fields.collect(), tail })
                }
                None => Type::Dataset(Row::any()),
            },
            Columns::Drop => match value("columns").and_then(column_names) {
                Some(names) => {
                    let mut row = before;
                    row.fields.retain(|(n, _)| !names.contains(n));
                    Type::Dataset(row)
                }
                None => Type::Dataset(Row::any()),
            },
            Columns::Rename => {
                let mut row = before.clone();
                for (new, span, _) in rest {
                    let given = bound.rest.iter().find(|(n, ..)| n == new).map(|(_, _, g)| g);
                    let Some(Given::Expr(Expr { kind: ExprKind::Col(old), .. })) = given else { continue };
                    // An old name that is not there was reported where it stands.
                    if before.get(&old.text).is_none() && !before.is_any() {
                        continue;
                    }
                    if before.get(new).is_some() && !rest.iter().any(|(n, ..)| n == &old.text) && *new != old.text {
                        self.column_exists(new, *span, "rename");
                    }
                    if let Some(field) = row.fields.iter_mut().find(|(n, _)| *n == old.text) {
                        field.0.clone_from(new);
                    }
                }
                Type::Dataset(row)
            }
            Columns::Derive => {
                let mut row = before.clone();
                for (new, span, ty) in rest {
                    if before.get(new).is_some() {
                        self.column_exists(new, *span, "derive");
                        continue;
                    }
                    let ty = match self.solver.resolve(ty) {
                        Type::Text(_) => Type::Str,
                        Type::None => Type::Error,
                        ty => ty,
                    };
                    row.fields.push((new.clone(), ty));
                }
                Type::Dataset(row)
            }
            Columns::Concat => {
                let inputs: Vec<(String, Type)> = rest.iter().map(|(n, _, t)| (n.clone(), t.clone())).collect();
                if inputs.is_empty() && bound.open {
                    return Type::Dataset(Row::any());
                }
                if inputs.is_empty() {
                    self.report(
                        Diagnostic::new(
                            E0211,
                            callee,
                            format!("`{}` has nothing to join", op.name),
                            "no datasets given",
                        )
                        .help(format!(
                            "name each dataset; the names become labels: `{}(a: first, b: second)`",
                            op.name
                        )),
                    );
                    return Type::Dataset(Row::any());
                }
                let (labels, types): (Vec<String>, Vec<Type>) = inputs.into_iter().unzip();
                let mut row = self.shared_row(&types);
                let column = self.text_of(op, value("label"), "label").unwrap_or_else(|| "source".to_owned());
                row.fields.retain(|(n, _)| *n != column);
                row.fields.push((column, Type::Enum(labels)));
                self.join_losses(&op.name, &self.parts(bound, have, rest), &row);
                Type::Dataset(row)
            }
            Columns::Shared => {
                let lists = have.iter().flatten().find_map(|t| match self.solver.resolve(t) {
                    Type::Tuple(types) => Some(types),
                    Type::List(element) => Some(vec![*element]),
                    _ => None,
                });
                let types = lists.unwrap_or_else(|| rest.iter().map(|(_, _, t)| t.clone()).collect());
                let row = self.shared_row(&types);
                self.join_losses(&op.name, &self.parts(bound, have, rest), &row);
                Type::Dataset(row)
            }
            Columns::AddNamed(param) => {
                let Type::Dataset(row) = self.solver.resolve(&result) else { return result };
                let Some(name) = self.text_of(op, value(param), param) else { return Type::Dataset(Row::any()) };
                let mut row = row;
                let added = row.fields.iter().position(|(n, _)| n == param || n == "into");
                let ty = added.map_or(Type::Error, |i| row.fields.remove(i).1);
                row.fields.retain(|(n, _)| *n != name);
                row.fields.push((name, ty));
                Type::Dataset(row)
            }
            Columns::Only(param, columns) => {
                let Type::Dataset(mut row) = self.solver.resolve(&result) else { return result };
                let given = match value(param) {
                    Some(Given::Expr(Expr { kind: ExprKind::Bool(given), .. })) => Some(*given),
                    Some(_) => None,
                    None => Some(false),
                };
                if given != Some(true) {
                    row.fields.retain(|(name, _)| !columns.contains(&name.as_str()));
                }
                // Known only when the recipe is evaluated.
                if given.is_none() {
                    row.tail = Some(Row::ANY);
                }
                Type::Dataset(row)
            }
            // Which column it is stands with the classifier, whose type does not tell.
            Columns::Classify => Type::Dataset(Row { fields: before.fields, tail: Some(Row::ANY) }),
        }
    }

    /// E0202 for a column that a list names again.
    fn named_once(&mut self, columns: &Expr) {
        let ExprKind::List(items) = &columns.kind else { return };
        let column = |e: &Expr| match &e.kind {
            ExprKind::Col(name) => Some(name.text.clone()),
            _ => None,
        };
        for (i, item) in items.iter().enumerate() {
            let Some(name) = column(item) else { continue };
            if let Some(first) = items[..i].iter().find(|e| column(e).as_ref() == Some(&name)) {
                let again = Span { start: items[i - 1].span.end, ..item.span };
                let d =
                    Diagnostic::new(E0202, item.span, format!("column `.{name}` is named twice"), "named again here");
                self.report(d.also(first.span, "first named here").help("name it once").fix(again, ""));
            }
        }
    }

    fn shared_row(&mut self, types: &[Type]) -> Row {
        let mut row: Option<Row> = None;
        for ty in types {
            let next = match self.solver.resolve(ty) {
                Type::Dataset(next) => next,
                _ => Row::any(),
            };
            row = Some(match row {
                None => next,
                Some(first) => self.solver.shared(&first, &next).unwrap_or_default(),
            });
        }
        row.unwrap_or_else(Row::any)
    }

    /// The text of a string argument or of its default.
    fn text_of(&self, op: &Operator, given: Option<&Given>, param: &str) -> Option<String> {
        let e = match given {
            Some(Given::Expr(e)) => *e,
            Some(Given::Spread(_, origin)) => origin,
            None => op.signature.params.iter().find(|p| p.name.text == param)?.default.as_ref()?,
        };
        match &e.kind {
            ExprKind::Str(text) => text.plain(),
            _ => None,
        }
    }

    fn column_exists(&mut self, name: &str, span: Span, verb: &str) {
        self.report(
            Diagnostic::new(
                E0303,
                span,
                format!("column `.{name}` exists already"),
                "would hide the column of that name",
            )
            .help(format!("{verb} it under another name, or `data.drop(columns: [.{name}])` before")),
        );
    }

    /// Reports a column that is not in the current row: where it was added and dropped, if it ever was there.
    pub(super) fn missing_column(&mut self, name: &Name, span: Span, row: &Row, cx: &Cx) {
        let column = &name.text;
        let of = if cx.from.is_some() || cx.callee.is_empty() { "this dataset" } else { "this row" };
        let label =
            if cx.callee.is_empty() { "not there".to_owned() } else { format!("needed here by `{}`", cx.callee) };
        let mut d = Diagnostic::new(E0301, span, format!("column `.{column}` is not in {of}"), label);
        let known: Vec<&str> = row.fields.iter().map(|(n, _)| n.as_str()).collect();
        let steps = cx.from.as_ref().map(|e| self.lineage(e, cx.module)).unwrap_or_default();
        let lost = steps.windows(2).position(|w| w[0].after.get(column).is_none() && w[1].after.get(column).is_some());
        d = if let Some((step, lost)) = self.lost_in_join(&steps, column) {
            self.tell_join(d, step, lost, column)
        } else if let Some(at) = lost {
            let (dropper, before) = (&steps[at], &steps[at + 1]);
            let kept = format!(
                "column dropped here: keeps {} of {}",
                dropper.after.fields.iter().filter(|(n, _)| before.after.get(n).is_some()).count(),
                before.after.fields.len()
            );
            let added = steps[at + 1..]
                .windows(2)
                .find(|w| w[0].after.get(column).is_some() && w[1].after.get(column).is_none())
                .map(|w| &w[0]);
            let ty = before.after.get(column).map(|t| self.show(t)).unwrap_or_default();
            if let Some(new) = renamed(dropper, before, column) {
                let d = d.also(dropper.span, format!("renamed to `.{new}` here"));
                self.report(d.help(format!("write `.{new}`")).fix(span, format!(".{new}")));
                return;
            }
            d = d.also(dropper.span, kept);
            if let Some(added) = added {
                d = d.also(added.span, format!("`.{column}: {ty}` was added here"));
            }
            if dropper.name.ends_with(".drop") {
                d.help(format!("take `.{column}` out of the `{}`, or move `{}` above it", dropper.name, cx.callee))
            } else if dropper.name.contains('.') {
                d.help(format!("add `.{column}` to the `{}`, or move `{}` above it", dropper.name, cx.callee))
            } else {
                d.help(format!(
                    "write `.{column}` into the result type of `{}`, or move `{}` into it; a function keeps only the columns that its result type names",
                    dropper.name, cx.callee
                ))
            }
        } else if cx.callee == "data.rename" {
            d.help(format!(
                "the new name stands first, `data.rename(new: .old)`; the rows have {}",
                phrase::quoted(&known)
            ))
        } else if let Some(near) = phrase::nearest(column, known.iter().copied()) {
            self.guess(Kind::Column, column, near, span);
            d.help(format!("did you mean `.{near}`?")).fix(span, format!(".{near}"))
        } else if known.is_empty() {
            d.help("nothing is known of these rows here; name the column in the parameter's type, as in `Dataset[{ text: Str, ..r }]`")
        } else {
            d.help(format!(
                "it has {}; add the column with `data.derive({column}: …)` or in the schema",
                phrase::quoted(&known)
            ))
        };
        self.report(d);
    }

    /// Returns the steps that rows came through, the latest first.
    pub(super) fn lineage(&self, from: &Expr, module: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut next = Some((from.clone(), module));
        while let Some((e, module)) = next.take() {
            if steps.len() > 64 || e.span.source == BUILTIN_SOURCE || e.span.source == SourceId(u32::MAX) {
                break;
            }
            let after = match self.types.get(&e.span).map(|t| self.solver.resolve(t)) {
                Some(Type::Dataset(row)) => Some(row),
                _ => None,
            };
            match &e.kind {
                ExprKind::Pipe { left, call, .. } => {
                    if let (ExprKind::Call { callee, .. }, Some(after)) = (&call.kind, after) {
                        steps.push(Step { name: dotted(callee), span: callee.span, after, named: Vec::new() });
                    }
                    next = Some(((**left).clone(), module));
                }
                ExprKind::Call { callee, args, .. } => {
                    if let Some(after) = after {
                        let named = self.datasets_among(args);
                        steps.push(Step { name: dotted(callee), span: callee.span, after, named });
                    }
                    next = args.iter().find_map(|a| match a {
                        Arg::Positional(e) => Some((e.clone(), module)),
                        _ => None,
                    });
                }
                ExprKind::Ident(name) => {
                    next = match self.names[module].values.get(name.as_str()) {
                        Some(ItemKind::Let(b) | ItemKind::Stage(b)) => Some((b.value.clone(), module)),
                        _ => None,
                    };
                }
                ExprKind::Field(base, _) => {
                    // A part of a result: its columns are those of the call, which gives a record.
                    if let Some(after) = after {
                        steps.push(Step { name: "this part".to_owned(), span: e.span, after, named: Vec::new() });
                    }
                    next = Some(((**base).clone(), module));
                }
                ExprKind::Paren(inner) => next = Some(((**inner).clone(), module)),
                ExprKind::If { then, other, .. } => {
                    if let Some(after) = after {
                        let branches = [("then", then), ("else", other)];
                        let named = branches
                            .into_iter()
                            .filter_map(|(n, e)| Some((n.to_owned(), self.noted_row(e)?)))
                            .collect();
                        steps.push(Step { name: "if".to_owned(), span: e.span, after, named });
                    }
                    next = Some(((**then).clone(), module));
                }
                _ => {}
            }
        }
        steps
    }

    /// Returns the expression that a field of a record was written with: the last one that sets it.
    pub(super) fn field_origin(&self, e: &Expr, field: &str, cx: &Cx) -> Option<Expr> {
        self.origin(e, field, cx, 0)
    }

    fn origin(&self, e: &Expr, field: &str, cx: &Cx, depth: usize) -> Option<Expr> {
        if depth > 32 {
            return None;
        }
        match &e.kind {
            ExprKind::Paren(inner) => self.origin(inner, field, cx, depth + 1),
            ExprKind::Ident(name) if !cx.locals.iter().any(|(n, _)| n == name) => {
                match self.names[cx.module].values.get(name.as_str()) {
                    Some(ItemKind::Let(b) | ItemKind::Stage(b)) => {
                        self.origin(&b.value, field, &Cx::of(cx.module), depth + 1)
                    }
                    _ => None,
                }
            }
            ExprKind::If { then, other, .. } => {
                self.origin(then, field, cx, depth + 1).or_else(|| self.origin(other, field, cx, depth + 1))
            }
            ExprKind::Record(fields) => fields.iter().rev().find_map(|f| match f {
                RecordField::Named(name, value) if name.text == field => Some(value.clone()),
                RecordField::Pun(name) if name.text == field => {
                    Some(Expr { kind: ExprKind::Ident(name.text.clone()), span: name.span })
                }
                RecordField::Spread(value, _) => self.origin(value, field, cx, depth + 1),
                _ => None,
            }),
            _ => None,
        }
    }
}

/// What a rename called a column, which keeps its place.
fn renamed<'s>(step: &'s Step, before: &Step, column: &str) -> Option<&'s str> {
    let at = before.after.fields.iter().position(|(name, _)| name == column)?;
    let (new, _) = step.after.fields.get(at).filter(|_| step.name.ends_with(".rename"))?;
    Some(new)
}

/// The text of a callee: `data.select`.
fn dotted(e: &Expr) -> String {
    match &e.kind {
        ExprKind::Ident(name) => name.clone(),
        ExprKind::Field(base, name) => format!("{}.{}", dotted(base), name.text),
        _ => String::new(),
    }
}

fn column_names(given: &Given) -> Option<Vec<String>> {
    let e = match given {
        Given::Expr(e) => *e,
        Given::Spread(_, origin) => origin,
    };
    match &e.kind {
        ExprKind::List(items) => items
            .iter()
            .map(|item| match &item.kind {
                ExprKind::Col(name) => Some(name.text.clone()),
                _ => None,
            })
            .collect(),
        ExprKind::Paren(inner) => column_names(&Given::Expr(inner)),
        _ => None,
    }
}
